import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresTarget } from 'headgate/postgres'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { people } from '../people.js'
import { PartWorld, whole } from './partitions-support.js'

describe('an ingestion that is cut by bounds, without a cursor', () => {
  let registry: JobRegistry
  let written: JobRecord[]
  beforeEach(() => {
    written = []
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
  })
  afterEach(() => registry.close())

  const { partition: _, ...uncut } = testDatasource([])

  const job = (more: Partial<IngestionJob>): IngestionJob => ({
    id: 'people',
    datasource: iterableDatasource(({ range = {} }) =>
      people(1, 30).filter(({ id }) => Number(id) >= Number(range.from ?? 0) && Number(id) < Number(range.until ?? 99)),
    ),
    partitions: [11, 21],
    batchSize: 3,
    target: (batch) => void written.push(...batch.records()),
    ...more,
  })
  const run = async () => (await registry.start('ingestion', 'people')).finished
  const ids = () => written.map(({ id }) => Number(id)).sort((a, b) => a - b)
  const all = (to: number) => Array.from({ length: to }, (_, index) => index + 1)

  it('gives a function of records the range of each part, and all again in every run', async () => {
    registry.define(job({}))
    expect(await run()).toMatchObject({ state: 'successful', count: 30, detail: { parts: { total: 3, done: 3 } } })
    expect(ids()).toEqual(all(30))
    written = []
    expect(await run()).toMatchObject({ state: 'successful', count: 30 })
    expect(ids()).toEqual(all(30))
  })

  it('lets every part go on by itself, where the source says how', async () => {
    let last = 30
    const asked: unknown[] = []
    const datasource = iterableDatasource(
      ({ range = {}, lastId = 0 }) => {
        asked.push([range.from, lastId])
        return people(1, last).filter(
          ({ id }) => Number(id) > Number(lastId) && Number(id) % 3 === ['1', '2'].indexOf(range.from ?? '') + 1,
        )
      },
      { resumes: true },
    )
    registry.define(job({ datasource, partitions: ['1', '2'], pkField: 'id' }))
    expect(await run()).toMatchObject({ state: 'successful', count: 30, detail: { split: false } })
    last = 36
    asked.length = 0
    expect(await run()).toMatchObject({ state: 'successful', count: 6, detail: { split: true } })
    expect(asked.sort()).toEqual(
      [
        [undefined, '30'],
        ['1', '28'],
        ['2', '29'],
      ].sort(),
    )
    expect(ids()).toEqual(all(36))
  })

  it('is refused by other bounds, and uncut, once its parts have gone on by themselves', async () => {
    const storage = memoryStorage()
    const of = (more: Partial<IngestionJob>) => {
      const other = new JobRegistry({ storage })
      other.define(
        job({
          datasource: testDatasource(() => people(1, 9)),
          pkField: 'id',
          query: ({ from = '' }) => ({ text: 'all', values: [from] }),
          ...more,
        }),
      )
      return other
    }
    const runOf = async (other: JobRegistry) => (await other.start('ingestion', 'people')).finished
    expect(await runOf(of({}))).toMatchObject({ state: 'successful' })
    const failure = { state: 'error', error: [expect.stringMatching(/other `partitions`.*fullRefresh/)] }
    expect(await runOf(of({ partitions: [11] }))).toMatchObject(failure)
    const { partitions: _, ...uncut } = job({
      datasource: testDatasource(people(1, 9)),
      pkField: 'id',
      query: () => ({ text: 'all', values: [] }),
    })
    const other = new JobRegistry({ storage })
    other.define(uncut)
    expect(await runOf(other)).toMatchObject(failure)
  })

  it('tells functions of the job, and of no part', async () => {
    const names = new Set<string>()
    registry.define(job({ target: (_, { type, id }) => void names.add(`${type}/${id}`) }))
    await run()
    expect(names).toEqual(new Set(['ingestion/people']))
  })

  it.each<[string, Partial<IngestionJob>, RegExp]>([
    ['a number without a cursor', { partitions: 3 }, /`cursor` to be set when `partitions` is a number/],
    ['an array, of which no part is a range', { datasource: iterableDatasource(people(1, 3)) }, /cannot read a range/],
    ['a query without a range', { query: 'select 1' }, /`query` to be one with \{\{from\}\}/],
    ['half a range', { query: 'select {{#from}}{{from}}{{/from}}' }, /`query`/],
    [
      'a file',
      { target: ndjsonFile({ path: '/nowhere/file', strategy: 'append' }) },
      /`target` to be one that supports `partitions`, got one of the kind .+, whose .* omit `partitions`, or .*`parallel`/,
    ],
    [
      'a target that replaces',
      { target: postgresTarget({ connectionString: 'postgres://x', table: 't', strategy: 'replace' }) },
      /one that appends/,
    ],
    [
      'a target that does not say',
      { target: { ...collectingTarget(), capabilities: {} } },
      /one that supports `partitions`/,
    ],
    [
      'dead letters that go to a file',
      { failures: { deadLetters: ndjsonFile({ path: '/nowhere/file', strategy: 'append' }) } },
      /one that supports `partitions`/,
    ],
    ['`parallel`', { parallel: 1 }, /`parallel` to be omitted/],
    ['`maxRecords`', { maxRecords: 5 }, /`maxRecords` to be omitted/],
    ['a cursor over a source that cannot be cut', { cursor: 'id', datasource: uncut }, /does not support it/],
    ['no part', { partitions: 0 }, /`partitions`/],
    ['too many parts', { partitions: 257 }, /`partitions`/],
    ['no bound', { partitions: [] }, /`partitions`/],
    ['bounds out of order', { partitions: [2, 1] }, /in ascending order/],
    ['a bound twice', { partitions: ['a', 'a'] }, /in ascending order/],
    ['a bound that is no number', { partitions: [Number.NaN] }, /`partitions`/],
  ])('is refused with %s', (_, more, message) => {
    const datasource = more.query === undefined ? {} : { datasource: testDatasource([]) }
    expect(() => registry.define(job({ ...datasource, ...more }))).toThrow(message)
  })

  it.each<[string, Partial<IngestionJob>, RegExp]>([
    ['nulls', { cursor: { columns: 'id', nulls: 'first' } }, /`cursor\.nulls` to be `fail` or `skip`/],
    ['lookback', { cursor: { columns: 'id', lookback: 5 } }, /`cursor\.lookback` to be omitted/],
    [
      'pages',
      { cursor: { columns: 'id', consistency: 'pages' } },
      /`cursor\.consistency` to be `statement` or `snapshot`/,
    ],
    ['pkField', { cursor: 'id', pkField: 'name' }, /`pkField` to be a column of `cursor`/],
    ['a template', { cursor: 'id', query: '{{#from}}{{from}}{{until}}{{/from}}' }, /`query`/],
  ])('is refused with a cursor and %s', (_, more, message) => {
    const datasource = { ...testDatasource([]), partition: () => Promise.reject(new Error()) }
    expect(() => registry.define(job({ datasource, partitions: 3, query: 'all', ...more }))).toThrow(message)
  })
})

describePostgres('an ingestion from Postgres that is cut by bounds', (database) => {
  let world: PartWorld
  beforeEach(async () => {
    world = new PartWorld(database.url)
    await world.fill(300)
    await world.admin.query('drop table if exists headgate_checkpoint')
    world.registry({ isAlone: true })
  })
  afterEach(() => world.close())
  const run = async () => (await (world.registries[0] as JobRegistry).start('ingestion', 'copy')).finished
  const grow = () => world.admin.query(`insert into source select id, 'more' from generate_series(301, 350) id`)

  it('reads those of a cursor in the order of the column, and none again', async () => {
    world.define({ partitions: ['90', '200', '101'] })
    expect(await run()).toMatchObject({ state: 'successful', count: 300, detail: { parts: { total: 4, done: 4 } } })
    await grow()
    expect(await run()).toMatchObject({
      state: 'successful',
      count: 50,
      lastId: '350',
      detail: { parts: { total: 1 } },
    })
    expect(await world.difference()).toEqual(whole)
  })

  it('reads those of a cursor in the collation of the column', async () => {
    await world.admin.query(`alter table source add key text collate "en-x-icu"; alter table copy add key text;
      update source set key = chr(97 + id::int % 26 - 32 * (id::int % 2)) || id`)
    world.define({ query: 'select id, name, key from source', cursor: ['key', 'id'], partitions: ['a', 'B', 'k', 'P'] })
    expect(await run()).toMatchObject({ state: 'successful', count: 300, detail: { parts: { total: 5, done: 5 } } })
    expect(await world.difference()).toEqual(whole)
  })

  const where = `where true {{#from}}and id >= {{from}}{{/from}} {{#until}}and id < {{until}}{{/until}}`
  it.each<[string, IngestionJob['query']]>([
    ['a template', `select id, name from source ${where} {{#last_id}}and id > {{last_id}}{{/last_id}} order by id`],
    [
      'a function',
      ({ from = '0', until = '1000', lastId = '0' }) => ({
        text: 'select id, name from source where id >= $1 and id < $2 and id > $3 order by id',
        values: [from, until, lastId],
      }),
    ],
  ])('goes on in each part by what %s says', async (_, query) => {
    const { cursor: __, ...job } = world.job({ query: query as string, partitions: [101, 201], pkField: 'id' })
    ;(world.registries[0] as JobRegistry).define(job)
    expect(await run()).toMatchObject({ state: 'successful', count: 300, lastId: '300', detail: { split: false } })
    await grow()
    expect(await run()).toMatchObject({ state: 'successful', count: 50, lastId: '350', detail: { split: true } })
    expect(await world.difference()).toEqual(whole)
  })

  const byKey = `select id, name, key from source ${where.replaceAll('id', 'key')} order by key`
  it.each<[string, Partial<IngestionJob>, RegExp]>([
    ['a cursor of another column', { cursor: 'key' }, /made by the `cursor` `id`, and reads by the `cursor` `key` now/],
    [
      'a template',
      { cursor: undefined as never, query: byKey },
      /made by the `cursor` `id`, and reads without a `cursor` now/,
    ],
  ])('refuses %s while parts that have found nothing are done', async (_, other, message) => {
    await world.admin.query(`alter table source add key bigint; alter table copy add key bigint;
      update source set key = 3001 - id`)
    const redefine = (more: Partial<IngestionJob>) => {
      for (const registry of world.registries) registry.remove('ingestion', 'copy')
      world.define({ query: 'select id, name, key from source', partitions: [1001, 2001], ...more })
    }
    redefine({ transform: () => Promise.reject(new Error('No.')) })
    expect(await run()).toMatchObject({ state: 'error' })
    redefine(other)
    expect(await run()).toMatchObject({
      error: expect.arrayContaining([expect.stringMatching(message)]),
    })
    redefine({})
    expect(await run()).toMatchObject({ state: 'successful', count: 300 })
    expect(await world.difference()).toEqual(whole)
  })
})

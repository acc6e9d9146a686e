import { setImmediate } from 'node:timers/promises'
import {
  type Datasource,
  type IngestionDetail,
  type IngestionJob,
  type JobRecord,
  JobRegistry,
  type Logger,
  memoryStorage,
} from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { collectingTarget, fakeClock, testDatasource } from 'headgate/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

describe('define refuses', () => {
  const reading = testDatasource([])
  const { readByCursor: _, ...people } = testDatasource([])
  const columns = 'the name of a column, or an array of different names'
  test.each([
    [{ cursor: '' }, `Expected \`cursor\` to be ${columns}, or an object, got \`\` (string)`],
    [{ cursor: [] }, `Expected \`cursor\` to be ${columns}, or an object, got an array`],
    [{ cursor: ['a', 'a'] }, `Expected \`cursor\` to be ${columns}, or an object, got an array`],
    [{ cursor: 5 }, `Expected \`cursor\` to be ${columns}, or an object, got \`5\` (number)`],
    [{ cursor: null }, `Expected \`cursor\` to be ${columns}, or an object, got null`],
    [{ cursor: {} }, `Expected \`cursor.columns\` to be ${columns}, got nothing`],
    [{ cursor: ['a', 'b', 'a'] }, 'or an object, got an array that names `a` twice'],
    [{ cursor: { columns: 'a', order: 'desc' } }, 'Expected `cursor` to be an object with `columns`, `nulls`, `ties`'],
    [
      { cursor: { columns: 'a', nulls: 'last' } },
      'Expected `cursor.nulls` to be one of `fail`, `skip`, `first`, got `last`',
    ],
    [{ cursor: { columns: 'a', ties: 'keep' } }, 'Expected `cursor.ties` to be one of `refuse`, `drain`, got `keep`'],
    [
      { cursor: { columns: 'a', lookback: -1 } },
      'Expected `cursor.lookback` to be a number from 0 up, got `-1` (number)',
    ],
    [
      { cursor: { columns: 'a', lookback: 5 }, target: collectingTarget({ strategy: 'replace' }) },
      'Expected `cursor.lookback` to be 0 with a target that replaces, as each run of it loads everything, got `5` (number)',
    ],
    [{ cursor: { columns: 'a', consistency: 'none' } }, 'to be one of `statement`, `snapshot`, `pages`, got `none`'],
    [
      { cursor: 'id', query: 'all {{#last_id}}after {{last_id}}{{/last_id}}' },
      'Expected `query` to be a template without variables, as `cursor` defines where to resume, got `all {{#last_id}}',
    ],
    [
      { cursor: 'id', datasource: people },
      'Expected `cursor` to be omitted, as the datasource [test] does not support cursors, got `id` (string)',
    ],
    [
      { cursor: ['id'], datasource: 'people' },
      'Expected `cursor` to be omitted, as the datasource [people] does not support cursors, got an array',
    ],
  ])('%j', async (job, message) => {
    await using registry = new JobRegistry({ storage: memoryStorage(), datasources: { people } })
    const define = () => registry.define({ id: 'people', datasource: reading, target: () => {}, ...job } as never)
    expect(define).toThrow(message)
  })
})

describePostgres('an ingestion by a cursor', (database) => {
  const clock = fakeClock()
  let pool: pg.Pool
  let storage: ReturnType<typeof memoryStorage>
  let registry: JobRegistry
  let warnings: string[]

  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())
  beforeEach(async () => {
    await pool.query(`drop table if exists people, copies, headgate_checkpoint;
      create table people (id int primary key, at timestamptz, name text);
      insert into people select id, timestamptz '2024-01-01 00:00:00Z' + (id / 2) * interval '1 s', 'person ' || id
        from generate_series(1, 9) id`)
    storage = memoryStorage({ clock })
    warnings = []
    open()
  })
  afterEach(() => registry.close())

  /** A new process, as it were: the storage stays. */
  function open(progressInterval = 0): void {
    const logger = {
      debug() {},
      info() {},
      warn: (_details: object, message: string) => void warnings.push(message),
      error() {},
    } satisfies Logger
    const datasources = { postgres: postgresDatasource({ pool }) }
    registry = new JobRegistry({ storage, clock, logger, datasources, progressInterval })
  }
  type Fields = { [Field in keyof IngestionJob]?: IngestionJob[Field] | undefined }
  async function run(job: Fields, progressInterval?: number) {
    await registry.close()
    open(progressInterval)
    const whole = { id: 'people', datasource: 'postgres', query: 'table people', cursor: ['at', 'id'], ...job }
    registry.define({ target: () => {}, ...whole } as IngestionJob)
    const { finished } = await registry.start('ingestion', 'people')
    let isOver = false
    const over = finished.then(() => {
      isOver = true
    })
    // Tries wait for each other.
    while (!isOver) await Promise.race([over, setImmediate().then(() => clock.advance(1))])
    const status = await finished
    return { ...status, detail: 'detail' in status ? (status.detail as IngestionDetail) : undefined }
  }
  const checkpoint = async () => JSON.stringify((await storage.find('ingestion', 'people'))?.checkpoint)
  const ids = (records: readonly JobRecord[]) => records.map(({ id }) => id)

  test('reads what is new, and the last column gives the last id', async () => {
    const target = collectingTarget()
    expect(await run({ target, batchSize: 4 })).toMatchObject({ state: 'successful', count: 9, lastId: '9' })
    await pool.query(`update people set at = at + interval '1 day' where id in (3, 5); delete from people where id = 9`)
    expect(await run({ target })).toMatchObject({ state: 'successful', count: 2, lastId: '5' })
    expect(ids(target.records)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 5])
  })

  test('leaves the query function without variables', async () => {
    const seen: unknown[] = []
    const query: IngestionJob['query'] = (variables) => {
      seen.push(variables)
      return { text: 'select * from people where name like $1', values: ['person%'] }
    }
    expect(await run({ query })).toMatchObject({ count: 9 })
    expect(await run({ query })).toMatchObject({ count: 0 })
    expect(seen).toEqual([{ params: {} }, { params: {} }])
  })

  test('takes another column for the last id', async () => {
    expect(await run({ pkField: 'name' })).toMatchObject({ lastId: 'person 9' })
  })

  test('leaves the checkpoint alone when it reads nothing', async () => {
    const template = 'select * from people {{#last_id}}where id > {{last_id}}{{/last_id}} order by id'
    await pool.query('create table copies (id int primary key, at timestamptz, name text)')
    for (const make of [() => () => {}, collectingTarget, () => postgresTarget({ pool, table: 'copies' })]) {
      for (const job of [{}, { cursor: undefined, query: template, pkField: 'id' }]) {
        storage = memoryStorage({ clock })
        await pool.query('truncate copies; drop table if exists headgate_checkpoint')
        const target = make()
        expect(await run({ ...job, target })).toMatchObject({ count: 9 })
        const before = await checkpoint()
        expect(before).toContain('lastRecordTimestamp')
        await clock.advance(1000)
        expect(await run({ ...job, target })).toMatchObject({ state: 'successful', count: 0 })
        expect(await checkpoint()).toBe(before)
      }
    }
  })

  test('takes a checkpoint that was made without a cursor for none of its own', async () => {
    const template = 'select * from people where id < 5 {{#last_id}}and id > {{last_id}}{{/last_id}} order by id'
    await run({ cursor: undefined, query: template, pkField: 'id' })
    const before = await checkpoint()
    expect(await run({})).toMatchObject({
      state: 'error',
      count: 0,
      error: [
        'Could not execute datasource query [postgres].',
        'The checkpoint was made without `cursor`: start the job with `fullRefresh: true` (`?full_refresh=true`), call `reset`, or give it another id.',
      ],
    })
    expect(await checkpoint()).toBe(before)
    expect(await run({ resume: 'restart' })).toMatchObject({ state: 'successful', count: 9 })
    expect(await run({})).toMatchObject({ state: 'successful', count: 0 })
  })

  describe('that becomes a template', () => {
    const errorOf = (status: object) => 'error' in status && String(status.error)
    const by = (column: string, comparison = '>') =>
      `select * from people {{#last_id}}where ${column} ${comparison} {{last_id}}{{/last_id}} order by ${column}`
    const template = { cursor: undefined, query: by('id'), pkField: 'id' }
    const timed =
      'select * from people {{#last_id}}where id > {{last_id}} and at > {{last_record_timestamp}}{{/last_id}}'

    test('resumes after the last id that it is reset to', async () => {
      const target = collectingTarget()
      expect(await run({ cursor: 'id', maxRecords: 4, target })).toMatchObject({ state: 'successful', count: 4 })
      expect(errorOf(await run({ ...template, target }))).toContain('reset the job to the `lastId`')
      await registry.reset('ingestion', 'people', { checkpoint: { lastId: '4' } })
      expect(await run({ ...template, target })).toMatchObject({ state: 'successful', count: 5 })
      expect(ids(target.records)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect(errorOf(await run({ cursor: 'id', target }))).toContain('The checkpoint was made without `cursor`')
    })

    test.each<[string, Fields, Fields]>([
      ['the same column', { cursor: 'id' }, {}],
      [
        'another column under its name',
        { cursor: 'id' },
        { query: 'select name as id from people {{#last_id}}where name > {{last_id}}{{/last_id}} order by name' },
      ],
      ['another column', { cursor: 'id' }, { query: by('name'), pkField: 'name' }],
      ['one of several columns', { cursor: ['at', 'id'] }, {}],
      ['the column of a cursor with other ids', { cursor: 'id', pkField: 'name' }, {}],
      ['the other ids of a cursor', { cursor: 'id', pkField: 'name' }, { query: by('name'), pkField: 'name' }],
      ['falling ids', { cursor: 'id' }, { query: by('id', '<') }],
      ['a time', { cursor: 'id' }, { query: timed }],
      ['a function', { cursor: 'id' }, { query: () => ({ text: 'select * from people', values: [] }) }],
    ])('is refused: %s', async (_, before, after) => {
      expect(await run({ ...before, maxRecords: 4 })).toMatchObject({ state: 'successful', count: 4 })
      const stored = await checkpoint()
      const failed = await run({ ...template, ...after })
      expect(failed).toMatchObject({ state: 'error', count: 0 })
      expect(errorOf(failed)).toMatch(
        /The checkpoint was made with a `cursor` by `.*keep the `cursor`, .* call `reset`/,
      )
      expect(await checkpoint()).toBe(stored)
    })

    test('refuses the ids of another `pkField`, and takes those of an earlier version', async () => {
      const other = { ...template, query: by('name'), pkField: 'name' }
      await run({ ...template, maxRecords: 4 })
      const failed = await run(other)
      expect(failed).toMatchObject({ state: 'error', count: 0 })
      expect(errorOf(failed)).toMatch(/made with `pkField: 'id'`, whose ids say nothing about `name`.* call `reset`/)
      expect(await run(template)).toMatchObject({ state: 'successful', count: 5 })
      expect(await run(other)).toMatchObject({ state: 'error', count: 0 })
      // A reset stores no `pkField`.
      await registry.reset('ingestion', 'people', { checkpoint: { lastId: 'person 4' } })
      expect(await run(other)).toMatchObject({ state: 'successful', count: 5 })
    })
  })

  test('fails at ties, and goes on when the cursor was mended', async () => {
    const target = collectingTarget()
    const job = { target, cursor: 'at', batchSize: 1 }
    expect(await run(job)).toMatchObject({
      state: 'error',
      count: 2,
      error: ['Could not execute datasource query [postgres].', expect.stringContaining("cursor: ['at', 'id']")],
    })
    expect(await run(job)).toMatchObject({ state: 'error', count: 0 })
    expect(await run({ ...job, cursor: ['at', 'id'] })).toMatchObject({ state: 'successful', count: 8, lastId: '9' })
    // The last of the records that were written was tied: it came again.
    expect(ids(target.records)).toEqual([1, 2, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test('says no more than is durable while it drains ties, and makes no key twice', async () => {
    await pool.query('update people set at = $1 where id > 2', ['2025-01-01'])
    const keys: string[] = []
    const written: JobRecord[] = []
    let fails = true
    const job: Partial<IngestionJob> = {
      cursor: { columns: 'at', ties: 'drain' },
      batchSize: 2,
      pkField: 'id',
      target: (batch, { idempotencyKey }) => {
        if (fails && written.length >= 6) throw new RangeError('full')
        written.push(...batch.records())
        keys.push(idempotencyKey)
      },
    }
    const failed = await run(job)
    expect(failed).toMatchObject({ state: 'error', count: 2, lastId: '2', detail: { read: 2, written: 2 } })
    expect(written.length).toBe(6)
    fails = false
    expect(await run(job)).toMatchObject({ state: 'successful', count: 7, detail: { read: 7, split: true } })
    expect(new Set(ids(written)).size).toBe(9)
    expect(new Set(keys).size).toBe(keys.length)
  })

  test('keeps what came before ties that it did not come through, also of a target that flushes seldom', async () => {
    await pool.query('update people set at = $1 where id > 2', ['2025-01-01'])
    const target = collectingTarget({ failAt: 5 })
    const job: Partial<IngestionJob> = { cursor: { columns: 'at', ties: 'drain' }, batchSize: 2, pkField: 'id', target }
    expect(await run(job, 60_000)).toMatchObject({ state: 'error', count: 2, lastId: '2' })
    target.faults = {}
    expect(await run(job, 60_000)).toMatchObject({ state: 'successful', count: 7 })
    expect(ids(target.records).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test('looks back without going back', async () => {
    const found = new Map<unknown, JobRecord>()
    const job: Partial<IngestionJob> = {
      cursor: { columns: ['at', 'id'], lookback: 2000 },
      batchSize: 2,
      target: (batch) => {
        for (const record of batch.records()) found.set(record.id, record)
      },
    }
    expect(await run(job)).toMatchObject({ count: 9, lastId: '9' })
    await pool.query(
      `insert into people values (100, '2024-01-01 00:00:02.5Z', 'late'), (101, '2024-01-01 00:00:01Z', 'too late')`,
    )
    const before = JSON.parse((await checkpoint()) ?? '')
    // 9 lies at second 4, as does 8: what begins with second 2 comes again.
    expect(await run(job)).toMatchObject({ state: 'successful', count: 7, lastId: '9' })
    expect(found.get(100)).toMatchObject({ name: 'late' })
    expect(found.has(101)).toBe(false)
    const after = JSON.parse((await checkpoint()) ?? '')
    expect([after.lastId, after.cursor]).toEqual([before.lastId, before.cursor])
    const failing = collectingTarget({ failAt: 3 })
    expect(await run({ ...job, target: failing })).toMatchObject({ state: 'error', count: 4, lastId: '9' })
    expect(JSON.parse((await checkpoint()) ?? '')).toMatchObject({ lastId: '9', cursor: before.cursor })
    await pool.query(`insert into people values (200, '2024-01-01 00:01:00Z', 'new')`)
    expect(await run({ ...job, maxRecords: 1 })).toMatchObject({ count: 8, lastId: '200' })
  })

  test.each<[string, object, boolean]>([
    ['a table that appends', {}, true],
    ['a table that appends, and is emptied by a full refresh', { onFullRefresh: 'truncate' }, true],
    ['an upsert', { mode: 'upsert', key: 'id' }, false],
    ['an upsert that refuses a full refresh', { mode: 'upsert', key: 'id', onFullRefresh: 'refuse' }, false],
  ])('warns once of records that `lookback` writes twice: %s', async (_, options, isWarned) => {
    await pool.query('create table copies (like people including all)')
    if (isWarned) await pool.query('alter table copies drop constraint copies_pkey')
    const cursor = { columns: ['at', 'id'], lookback: 2000 }
    const target = postgresTarget({ pool, table: 'copies', ...options })
    registry.define({ id: 'a', datasource: 'postgres', query: 'table people', cursor, target })
    for (const _ of [1, 2])
      expect(await (await registry.start('ingestion', 'a')).finished).toMatchObject({ state: 'successful' })
    const found = warnings.filter((message) => message.includes("`mode: 'upsert'`"))
    expect(found).toHaveLength(isWarned ? 1 : 0)
    const { rows } = await pool.query('select count(*)::int from copies')
    expect(rows).toEqual([{ count: isWarned ? 15 : 9 }])
  })

  test('does not warn of a function', async () => {
    expect(await run({ cursor: { columns: ['at', 'id'], lookback: 2000 } })).toMatchObject({ state: 'successful' })
    expect(warnings).toEqual([])
  })

  test('counts records that it repeats as no progress: its tries come to an end', async () => {
    const cursor = { columns: ['at', 'id'], lookback: 2000 }
    expect(await run({ cursor, target: () => {} })).toMatchObject({ state: 'successful' })
    await pool.query(`insert into people values (200, '2024-01-01 00:01:00Z', 'new')`)
    let failures = 0
    const target: IngestionJob['target'] = (batch) => {
      if (!batch.records().some(({ id }) => Number(id) === 200)) return
      // More than the limit, in case they do not come to an end.
      if (++failures < 10) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
    }
    const retry = { limit: 2, delay: 1 }
    expect(await run({ cursor, retry, target, batchSize: 1 })).toMatchObject({ state: 'error' })
    expect(failures).toBe(3)
  })

  test('is exactly once in a table of Postgres, by every consistency, though its target fails', async () => {
    for (const consistency of ['statement', 'snapshot', 'pages'] as const) {
      for (const ties of ['refuse', 'drain'] as const) {
        await pool.query('drop table if exists copies, headgate_checkpoint; create table copies (like people)')
        await pool.query(`alter table copies add constraint small check (name <> 'person 6')`)
        storage = memoryStorage({ clock })
        const cursor = { columns: ties === 'drain' ? 'at' : ['at', 'id'], ties, consistency }
        const job = { cursor, batchSize: 1, target: postgresTarget({ pool, table: 'copies' }) }
        expect(await run(job)).toMatchObject({ state: 'error' })
        await pool.query('alter table copies drop constraint small')
        expect(await run(job)).toMatchObject({ state: 'successful', detail: { consistency, split: true } })
        const { rows } = await pool.query('select id from copies order by id')
        expect(ids(rows)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      }
    }
  })

  test('leaves rows encoded on their way to a table of the same types', async () => {
    await pool.query('create table copies (like people)')
    const formats = new Set<string | undefined>()
    const postgres = postgresDatasource({ pool })
    const datasource: Datasource = {
      ...postgres,
      async *readByCursor(query, options) {
        for await (const read of postgres.readByCursor?.(query, options) ?? []) {
          formats.add(read.batch.encoded?.format)
          yield read
        }
      },
    }
    const target = postgresTarget({ pool, table: 'copies' })
    for (const consistency of ['statement', 'pages'] as const) {
      const cursor = { columns: ['at', 'id'], consistency }
      expect(await run({ datasource, cursor, target, batchSize: 2, maxRecords: 4 })).toMatchObject({
        state: 'successful',
      })
    }
    expect(formats).toEqual(new Set(['postgres-binary']))
    const { rows } = await pool.query('table copies except all select * from people where id <= 8')
    expect(rows).toEqual([])
    expect((await pool.query('table copies')).rowCount).toBe(8)
  })

  test('tells what its records have in common, and whether a checkpoint parts them', async () => {
    await pool.query('update people set at = null where id > 7')
    const cursor = { columns: ['at', 'id'], nulls: 'skip' as const }
    const counts = { read: 7, written: 7, failed: 0, skipped: 0 }
    expect((await run({ cursor, pkField: 'id' })).detail).toMatchObject({
      ...counts,
      withoutCursor: 2,
      consistency: 'statement',
      split: false,
      attempt: 1,
      bytes: expect.any(Number),
      position: '2024-01-01T00:00:03.000Z',
      lag: expect.any(Number),
    })
    expect((await run({ cursor: { ...cursor, consistency: 'pages' } })).detail).toMatchObject({
      read: 0,
      withoutCursor: 2,
      consistency: 'pages',
      split: true,
    })
    expect((await run({ cursor: undefined, resume: 'restart' })).detail).toMatchObject({
      consistency: 'statement',
      split: false,
    })
    expect(
      (await run({ cursor: undefined, query: undefined, datasource: testDatasource([]) })).detail,
    ).not.toHaveProperty('consistency')
  })

  test('warns of an order that no index serves, once, and of none that one serves', async () => {
    await pool.query(
      `insert into people select id, now() + id * interval '1 s', '' from generate_series(10, 20000) id; analyze people`,
    )
    let failures = 2
    // Each try fails before it has told of anything.
    const job = {
      retry: { limit: 5, delay: 0 },
      maxRecords: 3,
      batchSize: 1,
      target: () => {
        if (failures-- > 0) throw Object.assign(new Error('busy'), { isTransient: true })
      },
    }
    expect(await run(job)).toMatchObject({ state: 'successful' })
    expect(warnings.filter((warning) => warning.includes('No index serves'))).toEqual([
      expect.stringMatching(/^Job \[ingestion\/people\]: No index serves the order by `at`, `id`/),
    ])
    warnings.length = 0
    await pool.query('create index on people (at, id)')
    expect(await run(job)).toMatchObject({ state: 'successful' })
    expect(warnings).toEqual([])
  })
})

import { type IngestionJob, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { compareKeys, type KeyKind } from '../../../src/ingestion/definition/key-comparison.js'
import { compileQuery } from '../../../src/ingestion/definition/query-template.js'
import { describePostgres } from '../../support/describe-postgres.js'

describe('keys', () => {
  it.each<[KeyKind, string, string]>([
    ['number', '9007199254740992', '9007199254740993'],
    ['number', '-9007199254740993', '-9007199254740992'],
    ['number', '-1', '0'],
    ['number', '-0.5', '0.25'],
    ['number', '0.1', '0.10000000000000000000000000000001'],
    ['number', '99', '1e+20'],
    ['number', '1e-7', '1e-6'],
    ['number', '1.5e300', '1.6e300'],
    ['number', '2', '10'],
    ['number', `${'9'.repeat(5000)}`, `1${'0'.repeat(5000)}`],
    ['text', 'a', 'b'],
    ['time', '2024-05-06 07:08:09+00', '2024-05-06 07:08:09.5+00'],
  ])('of the kind %s compare exactly: %s < %s', (kind, a, b) => {
    expect([compareKeys(a, b, kind), compareKeys(b, a, kind), compareKeys(a, a, kind)]).toEqual([-1, 1, 0])
  })

  it.each<[KeyKind, string]>([
    ['number', 'NaN'],
    ['number', 'Infinity'],
    ['number', 'x'],
    ['time', 'infinity'],
    ['time', '10000-01-01'],
    ['time', '0044-03-15 BC'],
    ['unknown', 'a'],
  ])('of the kind %s that only the server can compare are told: %s', (kind, key) => {
    expect(compareKeys(key, kind === 'time' ? '2024-01-01' : '1', kind)).toBeUndefined()
  })

  it('take equal numbers of other scales for equal', () => {
    expect(['1', '1.00', '1e0', '+1', '01'].map((key) => compareKeys(key, '1.0', 'number'))).toEqual([0, 0, 0, 0, 0])
  })
})

describe('a template', () => {
  const strict = { variable: 'last_id', direction: 'rising', isOrdered: false, isInclusive: false }

  it.each([
    ['{{#last_id}}where id > {{last_id}}{{/last_id}} order by id', { isOrdered: true }],
    [`{{#last_id}}where t."id">='{{last_id}}'{{/last_id}}`, { isInclusive: true }],
    [
      '{{#last_id}}where ID < {{last_id}}{{/last_id}} order /* a */ by id desc',
      { direction: 'falling', isOrdered: true },
    ],
    ['{{#max_primary_key}}where id > {{max_primary_key}}{{/max_primary_key}}', { variable: 'max_primary_key' }],
    ["{{#last_id}}where id > {{last_id}} and a <> 'order by'{{/last_id}}", {}],
    ['{{#last_id}}where {{last_id}} < id{{/last_id}}', {}],
    [`{{#last_id}}where '{{last_id}}'::int <= s.t."id" and true{{/last_id}}`, { isInclusive: true }],
    ['{{#last_id}}where {{last_id}} > id{{/last_id}}', { direction: 'falling' }],
    ['{{#last_id}}where t.id::bigint > {{last_id}}{{/last_id}}', { kind: 'number' }],
    ['{{#last_id}}where {{last_id}} < id :: TIMESTAMPTZ{{/last_id}}', { kind: 'time' }],
  ])('is known to compare: %s', (template, differences) => {
    expect(compileQuery(template).comparisonOf('id')).toEqual({ ...strict, ...differences })
  })

  it.each([
    '{{#last_id}}where seq > (select seq from t where id = {{last_id}}){{/last_id}}',
    '{{#last_id}}where other > {{last_id}}{{/last_id}}',
    '{{#last_id}}where id::text > {{last_id}}{{/last_id}}',
    '{{#last_id}}where not id <= {{last_id}}{{/last_id}}',
    '{{#last_id}}where -t.id > {{last_id}}{{/last_id}}',
    '{{#last_id}}where {{last_id}} < id * -1{{/last_id}}',
    '{{#last_id}}where {{last_id}} < id(a){{/last_id}}',
    '{{#last_id}}where {{last_id}} < id.a{{/last_id}}',
    '{{#last_id}}where {{last_id}} < idle{{/last_id}}',
    '{{#last_id}}where {{last_id}} < id::text{{/last_id}}',
    '{{#last_id}}where at > {{last_record_timestamp}} or id > {{last_id}}{{/last_id}}'.replace(
      '{{last_record_timestamp}}',
      '{{#last_record_timestamp}}{{last_record_timestamp}}{{/last_record_timestamp}}',
    ),
    'select 1',
  ])('is not known to compare: %s', (template) => {
    expect(compileQuery(template).comparisonOf('id')).toBeUndefined()
  })

  it.each([
    ['{{#last_id}}where t."seq" > {{last_id}}{{/last_id}}', 'seq'],
    ['{{#last_id}}where {{last_id}} < seq{{/last_id}}', 'seq'],
    ['{{#last_id}}where seq > {{last_id}} or id > {{last_id}}{{/last_id}}', undefined],
    ['{{#last_id}}where seq > (select seq from t where id = {{last_id}}){{/last_id}}', undefined],
    ['select 1', undefined],
  ])('is known to compare another column: %s', (template, column) => {
    expect(compileQuery(template).otherKeyOf('id')).toBe(column)
  })
})

describePostgres('a job that resumes by its ids', (database) => {
  let pool: pg.Pool
  let storage: JobStorage
  let registry: JobRegistry
  let read: string[]
  let failsAt: number

  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
    await pool.query(`create table shuffled as select n * 37 % 101 as id, 'x' || n as name from generate_series(1, 100) n;
      create table lucky as select n as id from generate_series(1, 100) n;
      create table texts as select 'k' || lpad(n::text, 4, '0') as id from generate_series(1, 100) n;
      create table strange as select unnest(array['1', 'NaN', '2'])::numeric as id;
      create table big as select n::numeric + 9007199254740992 as id from generate_series(1, 9) n;
      create table ties as select n / 3 as id from generate_series(1, 100) n order by n;
      create table holes as select nullif(n % 5, 0) * 100 + n as id from generate_series(1, 100) n;
      create table numbers as select n::text as id from generate_series(1, 100) n`)
  })
  afterAll(() => pool.end())
  beforeEach(() => {
    read = []
    failsAt = Number.POSITIVE_INFINITY
    storage = memoryStorage()
  })
  afterEach(() => registry.close())

  const define = (query: string, more: Partial<IngestionJob> = {}) => {
    registry = new JobRegistry({
      storage,
      datasources: { postgres: postgresDatasource({ pool }) },
      progressInterval: 0,
    })
    registry.define({
      ...{ id: 'job', datasource: 'postgres', pkField: 'id', batchSize: 10, query },
      target: (batch) => {
        if (read.length >= failsAt) throw new RangeError('the target is down')
        for (const record of batch.records()) read.push(String(record.id))
      },
      ...more,
    })
  }
  const run = async () => {
    const status = await (await registry.start('ingestion', 'job')).finished
    return { state: status.state, error: 'error' in status ? (status.error?.join(' ') ?? '') : '' }
  }
  const isWhole = (count: number) => expect(new Set(read).size).toBe(count)

  const last = (table: string, rest = '') =>
    `select * from ${table} {{#last_id}}where id > {{last_id}}{{/last_id}} ${rest}`
  const most = (table: string, rest = '') =>
    `select * from ${table} {{#max_primary_key}}where id > {{max_primary_key}}{{/max_primary_key}} ${rest}`

  it('warns where the query compares another column than `pkField`, whose values differ', async () => {
    const resumesAfter = (column: string) =>
      `select ${column}, id * 10 as ten from lucky {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`
    const warnings: string[] = []
    const logger = { info() {}, error() {}, debug() {}, warn: (_: object, text: string) => void warnings.push(text) }
    const aliased = resumesAfter('id as key')
    const cases = [
      ['ten', resumesAfter('id')],
      ['id', resumesAfter('id')],
      ['key', aliased],
    ] as const
    for (const [pkField, query] of cases) {
      await registry?.close()
      registry = new JobRegistry({
        storage: memoryStorage(),
        logger,
        datasources: { postgres: postgresDatasource({ pool }) },
      })
      registry.define({ id: 'job', datasource: 'postgres', query, pkField, target: () => undefined })
      expect(await run()).toMatchObject({ state: 'successful' })
    }
    expect(warnings).toEqual([
      expect.stringContaining('The query compares `id` with {{last_id}}, which is the last `ten`, and these differ'),
    ])
  })

  it.each(['', 'order by id desc', 'order by name'])('fails where ids are not in order: %s', async (rest) => {
    define(last('shuffled', rest))
    expect((await run()).error).toContain('The ids of `id` are not rising')
    expect((await run()).error).toContain('order by id')
    define(last('shuffled', 'order by id'))
    expect(await run()).toMatchObject({ state: 'error', error: expect.stringContaining('fullRefresh: true') })
  })

  it.each([
    ['last_id', last('lucky')],
    ['max_primary_key', most('lucky')],
    ['max_primary_key', most('shuffled')],
  ])('does not resume by %s where the server promises no order: %s', async (_, query) => {
    define(query)
    failsAt = 30
    expect(await run()).toMatchObject({ state: 'error', error: expect.stringContaining('the target is down') })
    failsAt = Number.POSITIVE_INFINITY
    expect((await run()).error).toContain('The previous run stopped between ids of `id` that are out of order')
    read = []
    define(query, { resume: 'restart' })
    expect(await run()).toMatchObject({ state: 'successful' })
    isWhole(100)
  })

  it.each([
    ['last_id', last('shuffled', 'order by id'), 100],
    ['last_id', last('texts', 'order by id'), 100],
    ['last_id, falling', 'select * from shuffled {{#last_id}}where id < {{last_id}}{{/last_id}} order by id desc', 100],
    ['max_primary_key', most('shuffled', 'order by id'), 100],
    ['max_primary_key', most('big', 'order by id'), 9],
  ])('resumes by %s where ids are in order: %s', async (_, query, count) => {
    define(query, { batchSize: 3 })
    failsAt = 6
    expect(await run()).toMatchObject({ state: 'error' })
    failsAt = Number.POSITIVE_INFINITY
    expect(await run()).toMatchObject({ state: 'successful' })
    isWhole(count)
    expect(read).toHaveLength(count)
  })

  it.each([
    ['last_id', last('lucky')],
    ['ties', last('ties', 'order by id')],
    ['max_primary_key', most('shuffled')],
  ])('goes on after a success, by %s: %s', async (_, query) => {
    define(query)
    expect(await run()).toMatchObject({ state: 'successful' })
    const { length } = read
    expect(length).toBe(100)
    expect(await run()).toMatchObject({ state: 'successful' })
    expect(read).toHaveLength(length)
  })

  it.each([
    ['last_id', last('ties', 'order by id'), 100],
    ['max_primary_key', most('ties', 'order by id'), 100],
    ['last_id, nulls first', last('holes', 'order by id nulls first'), 80],
  ])('loses no record between ids that are equal or null, by %s', async (_, query) => {
    for (let at = 1; at < 90; at += 8) {
      for (const batchSize of [1, 3, 10]) {
        ;[read, storage, failsAt] = [[], memoryStorage(), at]
        define(query, { batchSize })
        expect(await run()).toMatchObject({ state: 'error', error: expect.stringContaining('the target is down') })
        const { length } = read
        failsAt = Number.POSITIVE_INFINITY
        const { state, error } = await run()
        if (state === 'successful') expect(read).toHaveLength(100)
        else {
          expect(error).toContain('out of order, equal or null')
          expect(read).toHaveLength(length)
        }
        await registry.close()
      }
    }
  })

  it('resumes where a group of equal ids ends, as a limit of records may', async () => {
    // Ids are 0 twice, and then three of each.
    const limits: [records: number, batchSize: number][] = [
      [5, 2],
      [3, 3],
    ]
    for (const [records, batchSize] of limits) {
      define(last('ties', 'order by id'), { maxRecords: records, batchSize })
      expect(await run()).toMatchObject({ state: 'successful' })
      await registry.close()
    }
    expect(read).toHaveLength(8)
    define(last('ties', 'order by id'), { maxRecords: 4, batchSize: 2 })
    expect(await run()).toMatchObject({ state: 'successful' })
    expect((await run()).error).toContain('out of order, equal or null')
    expect(read).toHaveLength(12)
  })

  it('compares ids as the query casts them', async () => {
    define(`select * from numbers {{#last_id}}where id::int > {{last_id}}::int{{/last_id}} order by id`)
    expect((await run()).error).toContain('The ids of `id` are not rising')
    await registry.close()
    define(`select * from numbers {{#last_id}}where {{last_id}}::int < id::int{{/last_id}} order by id::int`, {
      id: 'another',
    })
    failsAt = 50
    const another = async () => (await (await registry.start('ingestion', 'another')).finished).state
    expect(await another()).toBe('error')
    failsAt = Number.POSITIVE_INFINITY
    expect(await another()).toBe('successful')
    isWhole(100)
  })

  it('refuses texts that no `order by` puts in order', async () => {
    define(last('texts'))
    expect((await run()).error).toContain('Only the server knows the order')
  })

  it.each(['strange', 'texts'])('refuses a largest key that does not compare as on the server: %s', async (table) => {
    define(most(table, 'order by id'))
    expect((await run()).error).toContain('Expected the values of `pkField` (`id`) to be numbers, uuids or times')
  })

  it('keeps to the limit of ids, and cuts none', async () => {
    const records = [{ id: 'x'.repeat(8192) }, { id: 'y'.repeat(8193) }]
    define('select 1', { datasource: iterableDatasource(() => records, { resumes: true }), batchSize: 1 })
    expect((await run()).error).toContain('to have up to 8192 characters, got one of 8193')
  })
})

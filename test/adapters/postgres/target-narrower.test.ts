import fc from 'fast-check'
import { errorMessages, type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { type PostgresTargetOptions, postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests, write } from './target-support.js'

/** A value, and how the column shows it if not as it was given. */
type Fitting = string | readonly [given: unknown, shown: string]

interface Case {
  readonly type: string
  readonly fits: readonly Fitting[]
  readonly refused: readonly unknown[]
  /** What the message says. */
  readonly message: string
}

const at = '2024-01-31T10:00:00.000Z'

const cases: readonly Case[] = [
  {
    type: 'numeric(10,2)',
    fits: ['1.50', '-12345678.99', 'NaN', ['1.2300000', '1.23'], ['1e-2', '0.01'], ['125E-2', '1.25'], ['0.000e5', '0.00'], [' 7 ', '7.00'], [7n, '7.00'], [0.25, '0.25'], [-0, '0.00']], // biome-ignore format: one line
    refused: ['1.234', '0.001', '1e-3', '-.005', '1.2300001', '12345e-3', ' 1.005', 1.234, 1e-7, 0.1 + 0.2],
    message: 'up to 2 digits behind the point for `numeric(10,2)`',
  },
  {
    type: 'money',
    fits: ['$1.50', ['1.500', '$1.50'], [1, '$1.00']],
    refused: ['1.505', 1.005, '$-0.001'],
    message: 'up to 2 digits behind the point for `money`',
  },
  {
    type: 'float8',
    fits: ['0.1', 'NaN', '-Infinity', '5e-324', '-0', ['9007199254740992', '9.007199254740992e+15'], ['1152921504606846976', '1.152921504606847e+18'], ['1.10', '1.1'], [0.1 + 0.2, '0.30000000000000004'], ['0.30000000000000004', '0.30000000000000004'], ['1e22', '1e+22'], [36952777628319740, '3.6952777628319744e+16']], // biome-ignore format: one line
    refused: [
      '9007199254740993',
      9007199254740993n,
      '36952777628319740',
      '0.12345678901234567',
      '1e-400',
      '3.14159265358979323846',
    ],
    message: 'a number that `double precision` can hold',
  },
  {
    type: 'real',
    fits: ['0.1', 'NaN', '1e-45', ['16777216', '1.6777216e+07'], ['1234567', '1.234567e+06'], [Math.fround(0.1), '0.1'], [0.5, '0.5'], ['0.0009765625', '0.0009765625'], ['3.4028235e38', '3.4028235e+38']], // biome-ignore format: one line
    refused: ['16777217', 16777217, '123456790', '0.1234567891', '1e-50', 1e-50],
    message: 'a number that `real` can hold',
  },
  {
    type: 'date',
    fits: ['2024-02-29', 'infinity', '0044-03-15 BC', [new Date('2024-01-31'), '2024-01-31'], ['2024-01-31T00:00:00.000Z', '2024-01-31'], ['2024-01-31 00:00:00+00', '2024-01-31'], ['0044-03-15 00:00:00+00 BC', '0044-03-15 BC'], ['31 Jan 2024', '2024-01-31'], ['20240131', '2024-01-31'], ['1/31/2024 12:00:00 AM', '2024-01-31']], // biome-ignore format: one line
    refused: [at, new Date(at), '2024-01-31 10:00', '2024-01-31 00:00:00.000001', '2024-01-31 00:00:00+02', '2024-01-31+02', '20240131T103000', '240131 103000', '1/31/2024 12:30 PM'], // biome-ignore format: one line
    message: 'a date for `date`',
  },
  {
    type: 'time',
    fits: ['10:00:00', '10:00:00.123456', '24:00:00', ['10:00Z', '10:00:00'], ['10:00:00+00', '10:00:00'], ['10:00 PM', '22:00:00'], ['T10:00', '10:00:00'], ['1030', '10:30:00'], ['10:00:00.5000000', '10:00:00.5']], // biome-ignore format: one line
    refused: [
      new Date(at),
      '2024-01-31 10:00:00',
      '10:00:00+02',
      '10:00 Europe/Berlin',
      '040506-08',
      '10:00:00.1234567',
    ],
    message: 'for `time without time zone`',
  },
  {
    type: 'timetz(3)',
    fits: ['10:00:00.123+05:30', ['10:00', '10:00:00+00'], ['10:00 PM +02', '22:00:00+02']],
    refused: [new Date(at), '2024-01-31 10:00:00+02', '10:00:00.1234+02'],
    message: 'for `time(3) with time zone`',
  },
  {
    type: 'timestamp',
    fits: ['2024-01-31 10:00:00.123456', 'infinity', '0044-03-15 10:00:00 BC', [new Date(at), '2024-01-31 10:00:00'], ['2024-01-31 10:00:00+00', '2024-01-31 10:00:00'], ['0044-03-15 10:00:00+00 BC', '0044-03-15 10:00:00 BC'], ['2024-01-31', '2024-01-31 00:00:00'], ['20240131T103000', '2024-01-31 10:30:00'], ['Wed Jan 31 10:00:00 2024', '2024-01-31 10:00:00'], ['1/31/2024 10:00 AM', '2024-01-31 10:00:00'], ['2024-01-31 10:00:00.1000000', '2024-01-31 10:00:00.1']], // biome-ignore format: one line
    refused: ['2024-01-31 10:00:00+02', '2024-01-31T10:00:00-0330', '2024-01-31 10:00 Europe/Berlin', '2024-01-31+02', '2024-01-31 10:00:00.1234567'], // biome-ignore format: one line
    message: 'for `timestamp without time zone`',
  },
  {
    type: 'timestamp(0)',
    fits: ['2024-01-31 10:00:00', [new Date(at), '2024-01-31 10:00:00'], ['2024-01-31 10:00:00.000', '2024-01-31 10:00:00']], // biome-ignore format: one line
    refused: ['2024-01-31 10:00:00.5', '2024-01-31T10:00:00.001Z', new Date('2024-01-31T10:00:00.001Z')],
    message: 'up to 0 digits of a second for `timestamp(0) without time zone`',
  },
  {
    type: 'timestamptz(3)',
    fits: ['2024-01-31 10:00:00.123+00', ['2024-01-31 10:00:00.5+02', '2024-01-31 08:00:00.5+00']],
    refused: ['2024-01-31 10:00:00.1234+00', '2024-01-31T10:00:00.000000001Z', '31 Jan 2024 10:00:00.0001 CET'],
    message: 'up to 3 digits of a second for `timestamp(3) with time zone`',
  },
  {
    type: 'timestamptz',
    fits: ['2024-01-31 10:00:00.123456+00', [new Date(at), '2024-01-31 10:00:00+00']],
    refused: ['2024-01-31T10:00:00.123456789Z'],
    message: 'up to 6 digits of a second for `timestamp with time zone`',
  },
  {
    type: 'interval(3)',
    fits: ['1 day 02:03:04.123', ['PT1.5S', '00:00:01.5'], ['P1Y2M3DT4H5M6.7S', '1 year 2 mons 3 days 04:05:06.7']],
    refused: ['PT1.2345S', '00:00:00.0001'],
    message: 'up to 3 digits of a second for `interval(3)`',
  },
  {
    type: 'interval',
    fits: ['00:00:00.000001', '-1 years', ['P-1DT-0.5S', '-1 days -00:00:00.5']],
    refused: ['PT0.0000001S', '1 day 00:00:00.1234567'],
    message: 'up to 6 digits of a second for `interval`',
  },
  {
    type: 'interval day to minute',
    fits: ['1 day 02:03:00', ['P1DT2H3M', '1 day 02:03:00'], ['PT0S', '00:00:00']],
    refused: ['PT1S', '1 day 00:00:01', '30 seconds', '1.5 minutes'],
    message: 'no unit below the minute for `interval day to minute`',
  },
  {
    type: 'interval year to month',
    fits: ['1 year 2 mons', ['P1Y2M', '1 year 2 mons'], ['P-1M', '-1 mons']],
    refused: ['P1D', '1 year 3 days', 'P1MT1M', '1 mon 02:00'],
    message: 'no unit below the month for `interval year to month`',
  },
  {
    type: 'varchar(3)',
    fits: ['abc', 'ab ', '😀😀😀', [1.5, '1.5']],
    refused: ['abc ', 'a   ', '😀😀😀 ', '    '],
    message: 'up to 3 characters for `character varying(3)`, which would cut the spaces at the end',
  },
  {
    type: 'char(3)',
    fits: ['abc', 'a', ['a  ', 'a']],
    refused: ['abc ', 'a     '],
    message: 'up to 3 characters for `character(3)`',
  },
  {
    type: 'name',
    fits: ['x'.repeat(63), 'é'.repeat(31)],
    refused: ['x'.repeat(64), 'é'.repeat(32), [...'abcdefghijklmnopqrst']],
    message: 'up to 63 bytes of UTF-8 for `name`',
  },
  { type: '"char"', fits: ['x', ''], refused: ['xy', 'é'], message: 'up to 1 byte of UTF-8 for `"char"`' },
  {
    type: 'numeric(10,2)[]',
    fits: ['{1.50,NULL}', '{}', ['[0:1]={1.5,"2.25"}', '[0:1]={1.50,2.25}'], [[['1', 2]], '{{1.00,2.00}}']],
    refused: ['{1.5,1.234}', '{{1},{"1.234"}}', '[0:0]={1.234}', '{ 1.234 }', [1, null, 1.234], [[1], ['1.234']]],
    message: 'up to 2 digits behind the point for `numeric(10,2)`',
  },
  {
    type: 'varchar(3)[]',
    fits: ['{abc,NULL,"a b"}', [['a "', '\\'], '{"a \\"","\\\\"}']],
    refused: ['{"abc "}', ['abc '], '{a,"\\"ab "}'],
    message: 'up to 3 characters',
  },
  {
    type: 'price',
    fits: ['1.50', ['1.5', '1.50']],
    refused: ['1.234', 1.234],
    message: 'up to 2 digits behind the point for `numeric(10,2)`',
  },
  {
    type: 'price[]',
    fits: ['{1.50}', [[1.5, null], '{1.50,NULL}']],
    refused: ['{1.234}', [1.234]],
    message: 'up to 2 digits behind the point for `numeric(10,2)`',
  },
  {
    type: 'prices',
    fits: ['{1.50}', [[1.5], '{1.50}']],
    refused: ['{1.234}', [1.234]],
    message: 'up to 2 digits behind the point for `numeric(10,2)`',
  },
  {
    type: 'prices[]',
    fits: ['{"{1.50,2.00}"}', [[[1.5]], '{"{1.50}"}']],
    refused: ['{"{1.234}"}', [[1.234]]],
    message: 'up to 2 digits behind the point for `numeric(10,2)`',
  },
]

/** What the server refuses by itself. */
const refusedByServer: readonly [type: string, value: unknown][] = [
  ['int2', '40000'],
  ['int4', 1.5],
  ['int4', '1.5'],
  ['int8', '1e3'],
  ['numeric(3,2)', '12.5'],
  ['float8', '1e400'],
  ['real', '1e40'],
  ['varchar(3)', 'abcd'],
  ['varchar(3)', 'abcd '],
  ['char(3)', 'abcd'],
  ['bit(3)', '1010'],
  ['bit varying(3)', '1010'],
  ['cidr', '10.0.0.1/8'],
  ['macaddr', '08:00:2b:01:02:03:04:05'],
  ['time', 'P1D'],
]

const ways: [way: string, options: Partial<PostgresTargetOptions>][] = [
  ['append', {}],
  ['upsert', { mode: 'upsert', key: ['id'] }],
  ['replace by rows', { strategy: 'replace', swap: 'rows' }],
  ['replace by rename', { strategy: 'replace', swap: 'rename' }],
]

const columnsOf = (types: readonly { type: string }[]) => types.map(({ type }, index) => `c${index} ${type}`).join(', ')

const given = (fitting: Fitting): unknown => (typeof fitting === 'string' ? fitting : fitting[0])
const shown = (fitting: Fitting): string => (typeof fitting === 'string' ? fitting : fitting[1])

/** One record for each value, which is in the column of its case. */
function recordsOf(valuesOf: (one: Case) => readonly unknown[]): JobRecord[] {
  const records = cases.flatMap((one, index) => valuesOf(one).map((value) => ({ [`c${index}`]: value })))
  return records.map((record, id) => ({ id, ...record }))
}

const isText = (value: unknown): value is string => typeof value === 'string'

describePostgres('a column that is narrower than the values', (database) => {
  const tests = targetTests(database)
  const { opened, target } = tests
  let registry: JobRegistry
  let jobs = 0
  /** Reads what was written. */
  let utc: pg.Pool
  beforeAll(() => {
    utc = new pg.Pool({ connectionString: database.url, options: '-c timezone=UTC -c datestyle=ISO,MDY', max: 1 })
  })
  afterAll(() => utc.end())

  beforeEach(async () => {
    registry = new JobRegistry({ storage: memoryStorage() })
    await tests.pool.query(`drop schema public cascade; create schema public; create domain price as numeric(10,2);
      create domain prices as numeric(10,2)[];
      create table dead (error json)`)
  })
  afterEach(() => registry.close())

  /** Runs a job from the source to `t`. */
  async function run(job: Partial<IngestionJob> & Pick<IngestionJob, 'datasource' | 'target'>) {
    registry.define({ id: `job ${++jobs}`, ...job } as IngestionJob)
    const { finished } = await registry.start('ingestion', `job ${jobs}`)
    const end = await finished
    return { ...end, why: end.state === 'error' ? end.error.join(' ') : '' }
  }

  /** A job that reads rows of `source`, typed as they are there. */
  const ofRows = (query = 'select * from source order by id') => ({
    datasource: postgresDatasource({ pool: tests.pool }),
    query,
  })

  async function fillSource(types: string, records: readonly JobRecord[]): Promise<void> {
    await tests.pool.query(`create table source (id int primary key, ${types})`)
    const columns = JSON.stringify(records)
    await tests.pool.query(`insert into source select * from json_populate_recordset(null::source, $1)`, [columns])
  }

  /** The texts of the columns of the cases, those that are not null. */
  async function written(): Promise<string[]> {
    const texts = cases.map((_, index) => `c${index}::text`).join(', ')
    const { rows } = await utc.query<{ v: string }>(`select coalesce(${texts}) as v from t order by id`)
    return rows.map(({ v }) => v)
  }

  describe.each(ways)('by %s', (way, options) => {
    beforeEach(() => tests.pool.query(`create table t (id int primary key, ${columnsOf(cases)})`))

    test('takes objects whose values it can hold', async () => {
      const records = recordsOf(({ fits }) => fits.map(given))
      const end = await run({ datasource: iterableDatasource(records), target: target(options) })
      expect(end).toMatchObject({ state: 'successful', why: '' })
      expect(await written()).toEqual(cases.flatMap(({ fits }) => fits.map(shown)))
    })

    test('takes rows of texts that it can hold', async () => {
      const texts = (fits: readonly Fitting[]) => fits.filter((fitting) => isText(given(fitting)))
      const types = columnsOf(cases.map(() => ({ type: 'text' })))
      await fillSource(
        types,
        recordsOf(({ fits }) => texts(fits).map(given)),
      )
      expect(await run({ ...ofRows(), target: target(options) })).toMatchObject({ state: 'successful', why: '' })
      expect(await written()).toEqual(cases.flatMap(({ fits }) => texts(fits).map(shown)))
    })

    test('refuses objects with values that it would change, and names the column and the value', async () => {
      // All ways write with the same encoder, so that each of the others has some of the values.
      const writer = await opened(target(options), { toleratesFailures: true })
      const own = recordsOf(({ refused }) => (way === 'append' ? refused : refused.slice(0, 1)))
      for (const { id, ...values } of own) {
        const [[name, value] = ['']] = Object.entries(values)
        const { message } = cases[Number(name.slice(1))] as Case
        const error = await write(writer, [{ id: -1 }, { id, ...values }]).catch((cause: unknown) => cause)
        expect(errorMessages(error).join(' '), `${name}: ${String(value)}`).toContain(message)
        expect(error).toMatchObject({ code: 'target', recordIndex: 1, message: expect.stringContaining(`The column \`${name}\` cannot be written. Expected `) }) // biome-ignore format: one line
        expect(writer.isBroken).toBe(false)
      }
    })

    test('lets rows of texts that it would change fail, each by itself', async () => {
      const types = columnsOf(cases.map(() => ({ type: 'text' })))
      const bad = recordsOf(({ refused }) => refused.filter(isText)).map(({ id, ...values }) => ({ id: 10 + Number(id), ...values })) // biome-ignore format: one line
      const records = [{ id: 1, c0: '1.25' }, ...bad, { id: 1000, c0: '2.25' }]
      await fillSource(types, records)
      const failing = { ...ofRows(), target: target(options) }
      const deadLetters = target({ table: 'dead', columns: { error: 'error' } })
      const limits = { deadLetters, total: 1000, consecutive: 1000 }
      expect(await run({ ...failing, failures: limits })).toMatchObject({
        state: 'successful',
        why: '',
        detail: { read: records.length, written: 2, failed: bad.length },
      })
      expect(await written()).toEqual(['1.25', '2.25'])
      const end = await run(failing)
      expect(end.why).toContain('The column `c0` cannot be written. Expected up to 2 digits')
    })
  })

  test.each(refusedByServer)('%s: the server refuses %j', async (type, value) => {
    await tests.pool.query(`create table t (id int primary key, c0 ${type})`)
    const writer = await opened(target(), { toleratesFailures: true })
    await expect(write(writer, [{ id: 1 }, { id: 2, c0: value }])).rejects.toMatchObject({ recordIndex: 1 })
  })

  test('of a negative scale refuses digits before the point', async ({ skip }) => {
    const { rows } = await tests.pool.query(`select current_setting('server_version_num')::int as version`)
    if (rows[0].version < 150_000) skip('Postgres 14 has no negative scale')
    await tests.pool.query('create table t (id int, c0 numeric(3,-2))')
    const writer = await opened(target(), { toleratesFailures: true })
    const message = expect.stringContaining('Expected 2 zeros at the end of a number for `numeric(3,-2)`')
    for (const value of ['12345', 50, '1e1']) {
      await expect(write(writer, [{ id: 1, c0: value }])).rejects.toMatchObject({ message })
    }
    await write(writer, [{ id: 1, c0: '12300' }, { id: 2, c0: '1e3' }]) // biome-ignore format: one line
    await writer.flush?.(null)
    expect(await tests.rows()).toEqual([[1, '12300'], [2, '1000']]) // biome-ignore format: one line
  })

  test('shows the beginning of a long value', async () => {
    await tests.pool.query('create table t (c0 numeric(10,2))')
    const writing = write(await opened(target()), [{ c0: `0.${'1'.repeat(100_000)}` }])
    const error = await writing.catch((cause: unknown) => cause)
    expect(errorMessages(error).join('').length).toBeLessThan(400)
  })

  describe('of typed rows', () => {
    const wide = 'c0 numeric(12,4), c1 timestamp(6), c2 varchar(10), c3 timestamptz, c4 numeric(12,4)[], c5 time(6), c6 interval, c7 int8, c8 float8, c9 numeric' // biome-ignore format: one line
    const narrow = 'c0 numeric(10,2), c1 timestamp(0), c2 varchar(5), c3 timestamp(3), c4 numeric(10,2)[], c5 time(0), c6 interval(3), c7 float8, c8 real, c9 numeric(20,1)' // biome-ignore format: one line
    const bad: JobRecord[] = [
      { c0: '1.2345' },
      { c1: '2024-01-31 10:00:00.5' },
      { c2: 'abcde ' },
      { c3: '2024-01-31 10:00:00.0001+00' },
      { c4: '{1,1.234}' },
      { c5: '10:00:00.5' },
      { c6: '00:00:00.0001' },
      { c7: '9007199254740993' },
      { c8: '0.1234567891' },
      { c9: '1.25' },
    ]
    const good: JobRecord = {
      ...{ c0: '1.2300', c1: '2024-01-31 10:00:00', c2: 'abcd ', c3: '2024-01-31 10:00:00.5+00', c4: '{1.5}' },
      ...{ c5: '10:00:00', c6: '00:00:00.001', c7: '9007199254740992', c8: '0.5', c9: '1.5' },
    }

    /** A target that notes in which formats rows came. */
    const noting = (formats: Set<string | undefined>, options: Partial<PostgresTargetOptions> = {}) => {
      const to = target(options)
      return {
        ...to,
        async open(...args: Parameters<typeof to.open>) {
          const answer = await to.open(...args)
          const { writer } = answer
          const write = writer.write.bind(writer)
          writer.write = (batch: RecordBatch, context) => {
            formats.add(batch.encoded?.format)
            return write(batch, context)
          }
          return answer
        },
      }
    }

    test.each(ways)('refuses what it would change, by %s', async (_, options) => {
      await fillSource(wide, [{ id: 0, ...good }, ...bad.map((values, index) => ({ id: index + 1, ...values }))])
      await tests.pool.query(`create table t (id int primary key, ${narrow})`)
      const limits = {
        deadLetters: target({ table: 'dead', columns: { error: 'error' } }),
        total: 1000,
        consecutive: 1000,
      }
      const end = await run({ ...ofRows(), target: target(options), failures: limits })
      expect(end).toMatchObject({ state: 'successful', why: '', detail: { written: 1, failed: bad.length } })
      const { rows } = await tests.pool.query('select error::text as error from dead')
      for (const [index] of bad.entries()) {
        expect(rows.filter(({ error }) => error.includes(`The column \`c${index}\` cannot be written`))).toHaveLength(1)
      }
      const casts: Record<string, string> = {
        c0: 'numeric(10,2)',
        c3: 'timestamp',
        c4: 'numeric(10,2)[]',
        c7: 'float8',
      }
      const columns = Object.keys(good).map(
        (name) => `t.${name}::text = s.${name}::${casts[name] ?? 'text'}::text as ${name}`,
      )
      const [same] = (await utc.query(`select ${columns.join(', ')} from t join source s using (id)`)).rows
      expect(Object.values(same)).toEqual(columns.map(() => true))
    })

    test.each([
      ['numeric(12,4)', 'numeric(10,2)', 'postgres-text'],
      ['numeric(12,4)[]', 'numeric(10,2)[]', 'postgres-text'],
      ['timestamp(6)', 'timestamp(0)', 'postgres-text'],
      ['timestamptz', 'timestamptz(3)', 'postgres-text'],
      ['varchar(10)', 'varchar(5)', 'postgres-text'],
      ['varchar', 'varchar(5)', 'postgres-text'],
      ['interval', 'interval day to hour', 'postgres-text'],
      ['price[]', 'numeric(10,1)[]', 'postgres-text'],
      ['numeric(10,2)', 'price', 'postgres-binary'],
      ['price', 'numeric(10,2)', 'postgres-binary'],
      ['price[]', 'price[]', 'postgres-binary'],
      ['numeric(10,2)', 'numeric(12,4)', 'postgres-binary'],
      ['numeric(10,2)', 'numeric', 'postgres-binary'],
      ['numeric(10,2)[]', 'numeric(10,2)[]', 'postgres-binary'],
      ['timestamp(3)', 'timestamp', 'postgres-binary'],
      ['timestamptz', 'timestamptz', 'postgres-binary'],
      ['varchar(5)', 'varchar(10)', 'postgres-binary'],
      ['char(5)', 'char(3)', 'postgres-binary'],
      ['real', 'real', 'postgres-binary'],
    ])('%s to %s travel as %s', async (from, to, format) => {
      await tests.pool.query(`create table source (id int, v ${from}); insert into source values (1, null);
        create table t (id int, v ${to})`)
      const formats = new Set<string | undefined>()
      expect(await run({ ...ofRows(), target: noting(formats) })).toMatchObject({ state: 'successful', why: '' })
      expect(formats).toEqual(new Set([format]))
    })

    test('takes all of them when it is created for them', async () => {
      await fillSource(wide, [{ id: 0, ...good }, ...bad.map((values, index) => ({ id: index + 1, ...values }))])
      const end = await run({ ...ofRows(), target: target({ createTable: true }) })
      expect(end).toMatchObject({ state: 'successful', count: bad.length + 1 })
      const { rows } = await tests.pool.query('select s::text from source s except all select t::text from t')
      expect(rows).toEqual([])
    })

    test('takes values of `character` with the spaces that fill them up', async () => {
      await tests.pool.query(`create table source (id int, v char(10)); insert into source values (1, 'ab');
        create table t (id int, v varchar(5))`)
      expect(await run({ ...ofRows(), target: target() })).toMatchObject({ state: 'successful', why: '' })
    })
  })

  test.each([{}, { mode: 'upsert', key: 'id' }] as const)(
    'is not to blame when it was made wider beside the run (%j)',
    async (options) => {
      await tests.pool.query('create table t (id int primary key, c0 numeric(10,2))')
      const writer = await opened(target(options))
      await tests.pool.query('alter table t alter c0 type numeric')
      await expect(write(writer, [{ id: 1, c0: 1.234 }])).rejects.toMatchObject({
        isTransient: true,
        message: expect.stringContaining('was altered'),
      })
    },
  )

  describe('whatever the values are, keeps or refuses them:', () => {
    const digits = fc.bigInt(0n, 10n ** 25n).chain((most) => fc.bigInt(0n, most))
    const number = fc
      .tuple(fc.boolean(), digits, fc.integer({ min: -8, max: 12 }), fc.boolean())
      .map(([isNegative, whole, scale, isExponent]) => {
        const sign = isNegative ? '-' : ''
        if (isExponent || scale <= 0) return `${sign}${whole}e${-scale}`
        const text = String(whole).padStart(scale + 1, '0')
        return `${sign}${text.slice(0, -scale)}.${text.slice(-scale)}`
      })
    const two = (most: number) => fc.nat(most).map((value) => String(value).padStart(2, '0'))
    const fraction = fc.oneof(fc.constant(''), fc.stringMatching(/^\.(?:0{0,6}[0-9]{1,2}|[0-9]0{0,7}|[0-9]{1,6})$/))
    const clock = fc.tuple(fc.oneof(fc.constant('00:00:00'), fc.tuple(two(23), two(59), two(59)).map((parts) => parts.join(':'))), fraction).map(([time, digits]) => time + digits) // biome-ignore format: one line
    const zone = fc.constantFrom('', 'Z', '+00', '+00:00', '+02', '-03:30')
    const moment = fc.tuple(fc.constantFrom(' ', 'T'), clock, zone).map((parts) => `2024-01-31${parts.join('')}`)

    /** The values that a column of the type took, and what it shows of them. */
    async function taken(
      type: string,
      values: readonly string[],
    ): Promise<(readonly [given: string, shown: string])[]> {
      await tests.pool.query(`drop table if exists t; create table t (id int, v ${type})`)
      const writer = await opened(target({ checkpoints: `kept_${Date.now()}` }), { toleratesFailures: true })
      for (const [id, v] of values.entries()) await write(writer, [{ id, v }]).catch(() => undefined)
      await writer.flush?.(null)
      await writer.commit?.()
      const { rows } = await utc.query<{ id: number; v: string }>('select id, v::text as v from t')
      return rows.map(({ id, v }) => [values[id] as string, v])
    }

    test('fractions of JavaScript in a real, rounded to its precision', async () => {
      // The last ones are those by which the server shows larger ones.
      const given = [1 / 3, 0.1 + 0.2, -1.1e-40, 1e7 / 3, 123456790, 9007199000000000]
      const kept = await taken('real', given as unknown as string[])
      const shown = [0.33333334, 0.3, -1.1e-40, 3333333.2, 123456790, 9007199000000000]
      expect(kept.map(([, text]) => Number(text))).toEqual(shown)
    })

    test.each(['numeric(12,2)', 'float8', 'real'])('numbers in %s', async (type) => {
      const values = fc.sample(number, { numRuns: 150, seed: Date.now() })
      const kept = await taken(type, values)
      const isSame = `select g, s, g::numeric = s::numeric as "same" from unnest($1::text[], $2::text[]) u (g, s)`
      const { rows } = await tests.pool.query(isSame, [kept.map(([given]) => given), kept.map(([, text]) => text)])
      // A server shows the fewest digits that stand for a number, which of an integer may be others.
      const isExact = (given: string, text: string) =>
        Number(given) === Number(text) && !/[.-]\d*$/.test(given.slice(1))
      expect(rows.filter(({ g, s, same }) => !same && !(type !== 'numeric(12,2)' && isExact(g, s)))).toEqual([])
      if (type !== 'numeric(12,2)') return
      const fits = `select count(*)::int as n from unnest($1::text[]) u (g) where round(g::numeric, 2) = g::numeric and abs(g::numeric) < 1e10`
      expect(kept).toHaveLength((await tests.pool.query(fits, [values])).rows[0].n)
    })

    test.each(['timestamp', 'timestamp(3)', 'timestamptz(0)', 'date'])('times in %s', async (type) => {
      const values = fc.sample(moment, { numRuns: 150, seed: Date.now() })
      const kept = await taken(type, values)
      // Of digits beyond the sixth, only zeros can be kept.
      expect(kept.filter(([given]) => /\.\d{6}0*[1-9]/.test(given))).toEqual([])
      const isOther = `select g, s from unnest($1::text[], $2::text[]) u (g, s) where g::timestamptz <> s::timestamptz`
      const { rows } = await utc.query(isOther, [kept.map(([given]) => given), kept.map(([, text]) => text)])
      expect(rows).toEqual([])
      const isWhole = values.filter((text) => /^\S+[ T]00:00:00(?:\.0*)?(?:Z|\+00(?::00)?)?$/.test(text))
      expect(kept.length).toBeGreaterThanOrEqual(isWhole.length)
    })
  })
})

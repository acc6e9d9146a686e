import fc from 'fast-check'
import { type CursorOptions, type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/**
 * Jobs with every combination of cursor options, run until a run reads none, while rows are added between the runs. A set of ids is the
 * model: in the end, the target holds the rows of the source.
 *
 * `HEADGATE_CURSOR_CASES` sets the number of cases; a failure prints the seed and the path that `HEADGATE_CURSOR_SEED` and
 * `HEADGATE_CURSOR_PATH` take to run it again.
 */
const {
  HEADGATE_CURSOR_CASES: cases = '50',
  HEADGATE_CURSOR_SEED: seed = String(Date.now() | 0),
  HEADGATE_CURSOR_PATH: path = '',
} = process.env

/** A type whose n-th value is greater than all before it. */
interface OrderedType {
  readonly name: string
  readonly nth: (n: number) => string
  /** The `lookback` that reaches back by one value, where the type can. */
  readonly step?: number
  readonly isDivisible?: boolean
  readonly size?: number
}

const day = (n: number) => new Date(Date.UTC(2024, 0, 1 + n)).toISOString().slice(0, 10)
const letters = (n: number) => String.fromCharCode(97 + Math.floor(n / 26), 97 + (n % 26))

const types: readonly OrderedType[] = [
  { name: 'int2', nth: (n) => String(n * 3 - 20), step: 3, isDivisible: true },
  { name: 'int4', nth: (n) => String(n * 10 - 30), step: 10, isDivisible: true },
  { name: 'int8', nth: (n) => String(9007199254740990n + BigInt(n)), step: 1, isDivisible: true },
  {
    name: 'numeric',
    nth: (n) => `${n % 2 ? '' : '-'}0`.slice(1) + (n / 4).toFixed(n % 3 === 0 ? 2 : 4),
    step: 0.25,
    isDivisible: true,
  },
  { name: 'numeric(8,2)', nth: (n) => (n / 2).toFixed(1), step: 0.5, isDivisible: true },
  { name: 'float8', nth: (n) => String(0.1 + n), step: 1.01, isDivisible: true },
  { name: 'float4', nth: (n) => String(n / 2 - 3), step: 0.5, isDivisible: true },
  { name: 'date', nth: day, step: 86_400_000, isDivisible: true },
  {
    name: 'timestamp',
    nth: (n) => `2024-03-01 00:00:00.${String(n * 7).padStart(6, '0')}`,
    step: 1,
    isDivisible: true,
  },
  { name: 'timestamptz', nth: (n) => `${day(n)} 23:30:00.000001+02`, step: 86_400_000, isDivisible: true },
  { name: 'timestamptz(0)', nth: (n) => `${day(n)} 23:30:00+02`, step: 86_400_000, isDivisible: true },
  { name: 'uuid', nth: (n) => `00000000-0000-4000-8000-0000000000${String(n).padStart(2, '0')}`, isDivisible: true },
  { name: 'text', nth: letters },
  { name: 'varchar(9) collate "C"', nth: letters },
  { name: 'char(4)', nth: letters },
  { name: 'bytea', nth: (n) => `\\x${(n + 100).toString(16)}ff` },
  { name: 'time', nth: (n) => `10:${String(n % 60).padStart(2, '0')}` },
  { name: 'boolean', nth: (n) => (n > 0 ? 'true' : 'false'), size: 2 },
]

/** A row: which value each of its columns has; `null` for NULL. */
type Row = readonly (number | null)[]

const columnNames = ['a', 'b', 'c']

/** One time in `times`. */
function rarely<Value>(times: number, value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> {
  return fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })
}

/** What a run is like: everything that a job may change between two runs. */
const runs = fc.record({
  consistency: fc.constantFrom('statement' as const, 'snapshot' as const, 'pages' as const),
  parallel: fc.constantFrom(1, 1, 2, 3),
  partitions: rarely(12, fc.constantFrom(1, 2, 3)),
  batchSize: fc.constantFrom(1, 2, 3, 5, 100),
  batchBytes: fc.option(fc.constantFrom(1, 40, 200), { nil: undefined, freq: 2 }),
  records: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined, freq: 2 }),
  failAt: rarely(4, fc.integer({ min: 1, max: 6 })),
  /** Rows that are added behind all others before the run, and such that lie within `lookback`. */
  added: fc.array(fc.tuple(fc.integer({ min: 1, max: 2 }), fc.nat(3), fc.nat(3)), { maxLength: 6 }),
  late: fc.array(fc.tuple(fc.nat(2), fc.nat(3), fc.nat(3)), { maxLength: 4 }),
  nulls: fc.nat(2),
})
type Run = typeof runs extends fc.Arbitrary<infer Value> ? Value : never

const setting = fc.record({
  types: fc.tuple(...columnNames.map(() => fc.constantFrom(...types))),
  width: fc.integer({ min: 1, max: 3 }),
  isUnique: fc.boolean(),
  nulls: fc.constantFrom('fail' as const, 'skip' as const, 'first' as const),
  lookback: fc.constantFrom(0, 0, 1, 2),
  isEncoded: fc.boolean(),
  rows: fc.array(fc.tuple(fc.nat(12), fc.nat(3), fc.nat(3)), { maxLength: 40 }),
  nullRows: fc.array(fc.tuple(fc.nat(2), fc.nat(3)), { maxLength: 5 }),
  runs: fc.array(runs, { minLength: 1, maxLength: 4 }),
  last: runs,
})
type Setting = typeof setting extends fc.Arbitrary<infer Value> ? Value : never

/** The source, as the model knows it. */
class Source {
  readonly rows: { readonly id: number; readonly values: Row }[] = []
  readonly #pool: pg.Pool
  readonly #types: readonly OrderedType[]

  constructor(pool: pg.Pool, { types }: Setting) {
    this.#pool = pool
    this.#types = types
  }

  async create(): Promise<void> {
    const columns = this.#types.map(({ name }, index) => `${columnNames[index]} ${name}`).join(', ')
    await this.#pool.query(
      `drop table if exists source, target; create table source (${columns}, id int primary key, note text);
        create table target (like source including all)`,
    )
  }

  async add(rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return
    const tuples = rows.map((values) => {
      const id = this.rows.length
      this.rows.push({ id, values })
      // The ids come in an order of their own, unless they are what tells later rows with null from those before.
      return `(${[...values.map((n, index) => this.#literal(n, index)), id, `'${'x'.repeat((id * 37) % 90)}'`].join(', ')})`
    })
    await this.#pool.query(`insert into source values ${tuples.join(', ')}`)
  }

  /** The greatest value of the first column, of those rows. */
  greatest(ids: ReadonlySet<number>): number {
    return Math.max(-1, ...this.rows.filter(({ id }) => ids.has(id)).map(({ values }) => values[0] ?? -1))
  }

  get all(): ReadonlySet<number> {
    return new Set(this.rows.map(({ id }) => id))
  }

  #literal(n: number | null, index: number): string {
    const { nth, size = 60 } = this.#types[index] as OrderedType
    return n === null ? 'null' : `'${nth(Math.min(n, size - 1))}'`
  }
}

/** A target of either kind. It fails at one batch of a run. */
class Target {
  readonly seen: number[] = []
  #failAt: number | undefined
  readonly #pool: pg.Pool
  readonly #isEncoded: boolean
  #batches = 0

  constructor(pool: pg.Pool, isEncoded: boolean) {
    this.#pool = pool
    this.#isEncoded = isEncoded
  }

  open(failAt: number | undefined): IngestionJob['target'] {
    this.#batches = 0
    this.#failAt = failAt
    if (!this.#isEncoded) return async (batch: RecordBatch) => this.#take(batch)
    return postgresTarget({ pool: this.#pool, table: 'target', mode: 'upsert', key: 'id' })
  }

  async ids(): Promise<ReadonlySet<number>> {
    if (!this.#isEncoded) return new Set(this.seen)
    const { rows } = await this.#pool.query('select id from target')
    return new Set(rows.map(({ id }) => id))
  }

  #take(batch: RecordBatch): void {
    this.#batches++
    if (this.#batches === this.#failAt) throw new Error('the target fails')
    this.seen.push(...batch.records().map(({ id }) => Number(id)))
  }
}

describePostgres('a cursor with any options', (database) => {
  let pool: pg.Pool
  let jobs = 0
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())

  test('brings every row of the source to the target', async () => {
    const property = fc.asyncProperty(setting, check)
    await fc.assert(property, {
      numRuns: Number(cases),
      seed: Number(seed),
      path,
      endOnFailure: path !== '',
      ...(!('HEADGATE_CURSOR_CASES' in process.env) && { interruptAfterTimeLimit: 60_000 }),
    })
  }, 100_000_000)

  async function check(given: Setting): Promise<void> {
    const { lookback, nulls, runs, last, rows, nullRows } = given
    const [first] = given.types as [OrderedType]
    const { columns, ties } = orderOf(given)
    const source = new Source(pool, given)
    const target = new Target(pool, given.isEncoded)
    await source.create()
    await source.add(rows)
    if (nulls !== 'fail') await source.add(nullRows.map(([b, c]) => [null, b, c]))
    const storage = memoryStorage()
    // The target's database keeps the checkpoints of all.
    const id = `rows-${++jobs}`
    const datasource = postgresDatasource({ pool })
    const distance = lookback * (first.step ?? 0)
    const cursor: CursorOptions = { columns, ties, nulls, ...(distance > 0 && { lookback: distance }) }
    const execute = async (run: Run) => {
      await using registry = new JobRegistry({ storage, progressInterval: 0 })
      const { consistency, ...options } = optionsOf(run, given)
      registry.define({
        ...{ id, datasource, query: 'select * from source', cursor: { ...cursor, consistency } },
        ...options,
        target: target.open(isCut(run, given) ? undefined : run.failAt),
      } as IngestionJob)
      const status = await (await registry.start('ingestion', id)).finished
      const error = status.state === 'error' ? status.error.join(' ') : ''
      if (error.includes('the target fails')) return -1
      // One that was cut short side by side has to be read to its end before it is cut.
      if (error.includes('before you set `partitions`')) return -1
      expect(`${status.state} ${error}`).toBe('successful ')
      return status.count
    }
    for (const run of runs) {
      const count = await execute(run)
      await change(source, target, given, run, count === -1)
    }
    const end: Run = { ...last, failAt: undefined, partitions: undefined }
    let before = -1
    for (let tries = 0; ; tries++) {
      const count = await execute(end)
      const { size } = await target.ids()
      if (count === 0 || (distance > 0 && size === before)) break
      before = size
      expect(tries).toBeLessThan(200)
    }
    const expected = source.rows.filter(({ values }) => nulls !== 'skip' || isKnown(values, columns))
    const got = await target.ids()
    const missing = expected.filter(({ id }) => !got.has(id)).map(({ id, values }) => ({ id, values }))
    expect(missing).toEqual([])
    expect(got.size).toBe(expected.length)
    const isCalm = runs.every(({ failAt, partitions }) => failAt === undefined && partitions === undefined)
    if (isCalm && distance === 0 && !given.isEncoded) expect(target.seen.length).toBe(got.size)
    if (given.isEncoded) {
      const { rows } = await pool.query(
        `select t.id from target t left join source s using (id) where t is distinct from s`,
      )
      expect(rows).toEqual([])
    }
  }
})

function isKnown(values: Row, columns: readonly string[]): boolean {
  return values.every((value, index) => value !== null || !columns.includes(columnNames[index] as string))
}

/** Ties are refused where the last column tells all rows apart. */
function orderOf({ width, isUnique }: Setting): { columns: string[]; ties: 'refuse' | 'drain' } {
  const columns = columnNames.slice(0, isUnique ? Math.max(0, width - 1) || 1 : width)
  return isUnique ? { columns: [...columns, 'id'], ties: 'refuse' } : { columns, ties: 'drain' }
}

/** Whether a run is done in parts. */
function isCut({ partitions }: Run, { types, nulls, lookback }: Setting): boolean {
  return partitions !== undefined && types[0]?.isDivisible === true && nulls !== 'first' && lookback === 0
}

/** What a job may change from run to run. */
function optionsOf(run: Run, given: Setting): Partial<IngestionJob> & Pick<CursorOptions, 'consistency'> {
  const { batchSize, batchBytes, partitions = 1 } = run
  const parallel = given.types[0]?.isDivisible ? run.parallel : 1
  const sizes = { batchSize, ...(batchBytes !== undefined && { batchBytes }) }
  if (isCut(run, given)) return { ...sizes, partitions, consistency: 'snapshot' }
  return {
    ...{ ...sizes, parallel, consistency: parallel > 1 ? 'snapshot' : run.consistency },
    ...(run.records !== undefined && { maxRecords: run.records }),
  }
}

/** Adds rows behind all others, and such that a run with `lookback` is to find. */
async function change(source: Source, target: Target, given: Setting, run: Run, hasFailed: boolean): Promise<void> {
  const [first] = given.types as [OrderedType]
  const { size = 60, step } = first
  const greatest = source.greatest(source.all)
  const added = run.added.map(([more, b, c]): Row => [greatest + more, b, c]).filter(([a]) => (a as number) < size)
  await source.add(added)
  if (given.lookback > 0 && step !== undefined && !hasFailed) {
    const reached = source.greatest(await target.ids())
    const late = run.late.map(([less, b, c]): Row => [reached - Math.min(less, given.lookback), b, c])
    await source.add(late.filter(([a]) => (a as number) >= 0))
  }
  const { columns } = orderOf(given)
  const isInOrder = columns.length === 2 && columns[1] === 'id'
  if (given.nulls === 'skip' || (given.nulls === 'first' && isInOrder)) {
    await source.add(Array.from({ length: run.nulls }, (): Row => [null, 0, 0]))
  }
}

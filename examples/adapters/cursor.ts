/** Level 3: reads by a cursor. The rows of a query in SQLite, in the order of columns of its tables. */
import type { Datasource } from 'headgate'
import {
  boundAfter,
  type CursorReadOptions,
  drainTies,
  JobError,
  type Query,
  type ReadBatch,
  type ReadCursor,
  type ReadOptions,
  RecordBatch,
  type RecordPosition,
  recordPositionOf,
  refuseTies,
} from 'headgate/adapter'
import type Database from 'libsql'

/** Reads an open database, which stays open. */
export function sqliteDatasource(database: Database.Database): Datasource {
  return {
    kind: 'sqlite',
    capabilities: { requiresQuery: true },
    consistency: 'statement',
    placeholder: () => '?',
    read: (query, options) => rowsOf(database, query, options),
    readByCursor: (query, options) => readByCursor(database, query, options),
  }
}

async function* rowsOf(
  database: Database.Database,
  { text, values }: Query,
  { signal, batchSize }: Pick<ReadOptions, 'signal' | 'batchSize'>,
): AsyncGenerator<RecordBatch> {
  signal.throwIfAborted()
  const statement = database.prepare(text).raw(true).safeIntegers(true)
  const columns = statement.columns().map(({ name }) => ({ name, type: 'value' as const }))
  let rows: unknown[][] = []
  for (const row of statement.iterate(...values) as Iterable<unknown[]>) {
    rows.push(row.map(exact))
    if (rows.length < batchSize) continue
    yield RecordBatch.fromRows(columns, rows)
    signal.throwIfAborted()
    rows = []
  }
  if (rows.length > 0) yield RecordBatch.fromRows(columns, rows)
}

/** A number where it is exact, otherwise a bigint. */
function exact(value: unknown): unknown {
  const number = Number(value)
  return typeof value === 'bigint' && Number.isSafeInteger(number) ? number : value
}

async function* readByCursor(
  database: Database.Database,
  query: Query,
  options: CursorReadOptions,
): AsyncGenerator<ReadBatch> {
  const { cursor } = options
  checkSupported(cursor)
  handleNulls(database, query, cursor)
  const repeated = repeatedBy(cursor)
  if (repeated) {
    for await (const batch of rowsOf(database, select(query, cursor, repeated), options))
      yield { batch, isReplay: true }
  }
  const conditions = conditionsOf(cursor)
  const all = select(query, cursor, [...conditions, ...limit(query, cursor, conditions)])
  // A read can resume after a batch, unless the next record is tied with its last one.
  const withPositions = cursor.ties === 'drain' ? drainTies : refuseTies
  const columns = { names: cursor.columns }
  yield* withPositions(rowsOf(database, all, options), columns, (values) =>
    recordPositionOf(cursor, values.map(stored)),
  )
}

/** A checkpoint is JSON, which has no big integers. SQLite compares their text with a number as a number. */
function stored(value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

function checkSupported({ nulls, parallel }: ReadCursor): void {
  if (nulls === 'first') throw new JobError('datasource', "SQLite is not read with `nulls: 'first'`.")
  if (parallel > 1) throw new JobError('datasource', 'SQLite is not read with `parallel`.')
}

/** Fails for records without a position, or counts them. The first partition does that for all. */
function handleNulls(database: Database.Database, query: Query, cursor: ReadCursor): void {
  if (cursor.range?.from !== undefined) return
  const isNull = cursor.columns.map((name) => `${quoted(name)} is null`).join(' or ')
  const text = `select count(*) from (${query.text}) where ${isNull}`
  const [count] = database
    .prepare(text)
    .raw(true)
    .get(...query.values) as unknown as [number]
  if (cursor.nulls === 'skip') cursor.onNullsSkipped(count)
  else if (count > 0) throw new JobError('datasource', `${count} records have null in a column of the cursor.`)
}

/** A condition with its values. */
export interface Condition {
  readonly text: string
  readonly values: readonly unknown[]
}

/** The query with conditions, in the order of the cursor. */
export function select({ text, values }: Query, { columns }: ReadCursor, conditions: readonly Condition[]): Query {
  const where = conditions.map((condition) => condition.text).join(' and ')
  return {
    text: `select * from (${text}) where ${where} order by ${columns.map(quoted).join(', ')}`,
    values: [...values, ...conditions.flatMap((condition) => condition.values)],
  }
}

/** What a read by the cursor returns, but for its limit: records in its range, after its position. */
export function conditionsOf(cursor: ReadCursor): Condition[] {
  const { columns, range = {}, position } = cursor
  const conditions: Condition[] = columns.map((name) => ({ text: `${quoted(name)} is not null`, values: [] }))
  if (range.from !== undefined) conditions.push(compare(columns, '>=', [range.from]))
  if (range.until !== undefined) conditions.push(compare(columns, '<', [range.until]))
  const after = boundAfter(position, cursor)
  if (after) conditions.push(compare(columns, after.isBefore ? '>=' : '>', after.values))
  return conditions
}

/** The records before the position that a run with `lookback` repeats. */
function repeatedBy({ columns, lookback, position }: ReadCursor): Condition[] | undefined {
  if (lookback === 0 || position === undefined) return undefined
  const { values } = position as RecordPosition
  const from = { text: `${quoted(columns[0] as string)} >= ? - ?`, values: [values[0], lookback] }
  return [from, compare(columns, '<=', values)]
}

/** Ends at the last record of the limit, with those that are tied with it. */
function limit(query: Query, cursor: ReadCursor, conditions: readonly Condition[]): Condition[] {
  if (!Number.isFinite(cursor.limit)) return []
  const names = cursor.columns.map(quoted).join(', ')
  const { text, values } = select(query, cursor, conditions)
  const last = `select ${names} from (${text}) limit 1 offset ${cursor.limit - 1}`
  return [{ text: `coalesce((${names}) <= (${last}), true)`, values }]
}

/** Compares the first columns with values. */
function compare(columns: readonly string[], operator: string, values: readonly unknown[]): Condition {
  const names = columns.slice(0, values.length).map(quoted)
  return { text: `(${names.join(', ')}) ${operator} (${values.map(() => '?').join(', ')})`, values }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

import { JobError, type JobRecord } from 'headgate'
import type { ReadCursor, ReadRange } from 'headgate/adapter'

/** A value of a column of a cursor: `<` compares it with others of its column. */
type Key = string | number | bigint | boolean

/** The last record that was read, as a checkpoint keeps it: big integers are text. */
interface Place {
  readonly columns: readonly string[]
  readonly keys: readonly Exclude<Key, bigint>[]
  readonly ties: ReadCursor['ties']
}

/** What a read by a cursor gives of records in memory. */
export interface CursorRead {
  /** The places of the records that come, in the order of the cursor. */
  readonly order: readonly number[]
  /** Where a later read resumes after that many records. `undefined` between ties. */
  positionAfter(count: number): Place | undefined
  /** What ends the read after them: two records that are tied. */
  readonly failure?: JobError
}

/** Puts records in the order of a cursor, behind its position. */
export function orderBy(records: readonly JobRecord[], cursor: ReadCursor): CursorRead {
  checkSupported(cursor)
  const { columns, ties, limit } = cursor
  const place = placeOf(cursor)
  const isFirst = cursor.range?.from === undefined
  const keys = records.map((record) => keysOf(record, isFirst ? cursor : { ...cursor, nulls: 'skip' }))
  const keysAt = (index: number) => keys[index] as readonly Key[]
  const withKeys = [...keys.keys()].filter((index) => keys[index])
  if (isFirst && cursor.nulls === 'skip') cursor.onNullsSkipped(records.length - withKeys.length)
  const known = withKeys.filter((index) => isWithin(keysAt(index)[0] as Key, cursor.range))
  const sorted = known.sort((one, other) => compare(keysAt(one), keysAt(other)))
  const rest = sorted.filter((index) => isAfter(keysAt(index), place, cursor))
  const isTied = (at: number) => at > 0 && at < rest.length && compareAt(rest, at, keysAt) === 0

  const tied = ties === 'refuse' ? rest.findIndex((_, at) => isTied(at)) : -1
  const isTiedBefore = ties === 'refuse' && sorted.filter((index) => isSame(keysAt(index), place, cursor)).length > 1
  if (isTiedBefore) return { order: [], positionAfter: () => undefined, failure: tieFailure(columns) }
  let end = Math.min(tied > 0 ? tied - 1 : rest.length, limit)
  while (ties === 'drain' && isTied(end)) end++
  return {
    order: rest.slice(0, end),
    positionAfter: (count) =>
      isTied(count) ? undefined : { columns, ties, keys: keysAt(rest[count - 1] as number).map(storedKey) },
    ...(tied > 0 && tied <= limit && { failure: tieFailure(columns) }),
  }
}

/** Whether a value of the first column is in a range, whose bounds are text. */
function isWithin(key: Key, { from, until }: ReadRange = {}): boolean {
  return (from === undefined || key >= boundLike(key, from)) && (until === undefined || key < boundLike(key, until))
}

function boundLike(key: Key, bound: string): Key {
  if (typeof key === 'number') return Number(bound)
  if (typeof key === 'bigint') return BigInt(bound)
  return typeof key === 'boolean' ? bound === 'true' : bound
}

function compareAt(rest: readonly number[], at: number, keysAt: (index: number) => readonly Key[]): number {
  return compare(keysAt(rest[at - 1] as number), keysAt(rest[at] as number))
}

function checkSupported({ nulls, lookback }: ReadCursor): void {
  const option = nulls === 'first' ? "nulls: 'first'" : lookback > 0 ? 'lookback' : undefined
  if (!option) return
  throw new JobError(
    'datasource',
    `\`testDatasource\` does not read by a cursor with \`${option}\`: test it with a database.`,
  )
}

function placeOf({ position, columns }: ReadCursor): Place | undefined {
  const place = position as Place | undefined
  if (!place || place.columns.every((name, index) => name === columns[index])) return place
  throw new JobError('datasource', `The checkpoint is one of the cursor ${place.columns}, and not of ${columns}.`)
}

/** The values of a record in the columns of the cursor; `undefined` for a record with a null that is left out. */
function keysOf(record: JobRecord, { columns, nulls }: ReadCursor): readonly Key[] | undefined {
  const keys = columns.map((name) => keyOf(name, record))
  if (keys.every((key) => key !== null)) return keys
  if (nulls === 'skip') return undefined
  const name = columns[keys.indexOf(null)]
  throw new JobError(
    'datasource',
    `A record has null in the cursor column \`${name}\`, so that it has no place in the order.`,
  )
}

function keyOf(name: string, record: JobRecord): Key | null {
  if (!Object.hasOwn(record, name)) {
    const message = `Expected a column \`${name}\` among the records' columns, got ${Object.keys(record).join(', ')}.`
    throw new JobError('datasource', message)
  }
  const value = record[name] ?? null
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString()
  if (value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)) return value as Key | null
  const message = `Expected the cursor column \`${name}\` to be a number, a text, a boolean or a date in every record.`
  throw new JobError('datasource', message)
}

/** Ties come again when a column was added since, or ties are drained that were refused: nobody knows which were read. */
function isAfter(keys: readonly Key[], place: Place | undefined, { columns, ties }: ReadCursor): boolean {
  if (!place) return true
  const repeats = place.columns.length < columns.length || (place.ties === 'refuse' && ties === 'drain')
  return compare(keys, place.keys) > (repeats ? -1 : 0)
}

function isSame(keys: readonly Key[], place: Place | undefined, { columns }: ReadCursor): boolean {
  return place?.columns.length === columns.length && compare(keys, place.keys) === 0
}

/** Compares by the columns that both have. */
function compare(one: readonly Key[], other: readonly Key[]): number {
  for (const [index, key] of one.slice(0, other.length).entries()) {
    const against = other[index] as Key
    if (key < against) return -1
    if (key > against) return 1
  }
  return 0
}

function storedKey(key: Key): Exclude<Key, bigint> {
  return typeof key === 'bigint' ? String(key) : key
}

function tieFailure(columns: readonly string[]): JobError {
  const names = columns.map((name) => `\`${name}\``).join(', ')
  const message = `Several records have the same ${names}: add a unique column to the end of \`cursor\`, or say \`ties: 'drain'\`.`
  return new JobError('datasource', message)
}

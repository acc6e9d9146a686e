import { executionOrder, isLive, type SearchResult, type StorageFilter } from '../../../adapter.js'
import type { SqliteValue } from '../client/index.js'
import type { Connection, SqliteRow } from './connection.js'
import { noPartition, selectedFor } from './rows.js'

/** The limits of the log. */
export interface LogLimits {
  readonly maxCount: number
  /** In milliseconds from the end of an execution. */
  readonly maxAge: number | undefined
}

/** The maximum number of executions that one step deletes, so that no call takes long. */
const stepSize = 100

/** Deletes executions over the limits, the first ended first, one step at a time. */
export function trim(connection: Connection, limits: LogLimits, now: number): void {
  const lowest = connection.number('select min(seq) n from headgate_log')
  const floor = floorOf(connection, limits, now, lowest + stepSize)
  if (floor > lowest) connection.run('delete from headgate_log where seq < ?', floor)
}

/** The first row of the log within the limits, up to `end`. Rows below it are hidden until they are deleted. */
function floorOf(connection: Connection, { maxCount, maxAge }: LogLimits, now: number, end?: number): number {
  const after = connection.number('select max(seq) n from headgate_log') + 1
  const [floor, last] = [after - maxCount, Math.min(after, end ?? after)]
  if (maxAge === undefined || floor >= last) return Math.min(floor, last)
  const young = 'select seq n from headgate_log where seq >= ? and seq < ? and end_time >= ? order by seq limit 1'
  return connection.number(young, floor, last, now - maxAge) || last
}

/** A page of the log, or of the live executions when the filter asks for a live state. */
export function search(
  connection: Connection,
  filter: StorageFilter,
  limits: LogLimits,
  now: number,
): SearchResult<SqliteRow> {
  const { state, from = 0, size = 10, searchAfter } = filter
  const isLiveWanted = state !== undefined && isLive(state)
  const table = isLiveWanted ? 'headgate_job' : 'headgate_log'
  const matching = conditionsOf(filter)
  if (isLiveWanted) matching.push(['end_time is null'])
  // The + keeps SQLite from scanning the log by `seq` when another index is faster.
  else matching.push(['+seq >= ?', floorOf(connection, limits, now)])
  const after: Condition[] = searchAfter === undefined ? [] : [['position < ?', executionOrder(searchAfter) ?? '']]
  const total = connection.number(`select count(*) n from ${table} ${where(matching)}`, ...valuesOf(matching))
  const rows = connection.all(
    `select ${selectedFor(filter.omitsDetail)} from ${table} ${where([...matching, ...after])} order by position desc limit ? offset ?`,
    ...valuesOf([...matching, ...after]),
    size,
    from,
  )
  return { total, hits: rows }
}

type Condition = [sql: string, value?: SqliteValue]

function conditionsOf(filter: StorageFilter): Condition[] {
  const { type, id, partition, includePartitions, state, startTimeFrom, startTimeTo } = filter
  const conditions: [sql: string, value: SqliteValue | undefined][] = [
    ['type = ?', type],
    ['id = ?', id],
    ['partition = ?', partition ?? (includePartitions ? undefined : noPartition)],
    ['state = ?', state],
    ['start_time >= ?', startTimeFrom],
    ['start_time <= ?', startTimeTo],
  ]
  return conditions.filter((condition): condition is [string, SqliteValue] => condition[1] !== undefined)
}

function where(conditions: Condition[]): string {
  return conditions.length === 0 ? '' : `where ${conditions.map(([sql]) => sql).join(' and ')}`
}

function valuesOf(conditions: Condition[]): SqliteValue[] {
  return conditions.flatMap(([, value]) => (value === undefined ? [] : [value]))
}

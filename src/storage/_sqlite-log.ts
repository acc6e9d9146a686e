import { type ExecutionRecord, executionOrder, isLive, type SearchFilter, type SearchResult } from '../index.js'
import type { Connection, SqliteValue } from './_sqlite-connection.js'
import { executionOf, selected } from './_sqlite-rows.js'

/** How much the log keeps. */
export interface LogLimits {
  readonly maxCount: number
  /** In milliseconds from the end of an execution. */
  readonly maxAge: number | undefined
}

/** The most executions that go in one step, so that no call waits for a long one. */
const stepSize = 100

/** Lets go of executions beyond the limits, the ones first that ended first: a step at a time. */
export function trim(connection: Connection, limits: LogLimits, now: number): void {
  const lowest = connection.number('select min(seq) n from headgate_log')
  const floor = floorOf(connection, limits, now, lowest + stepSize)
  if (floor > lowest) connection.run('delete from headgate_log where seq < ?', floor)
}

/** The first row of the log within the limits, up to `end`. What is below has yet to go, and is not shown. */
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
  filter: SearchFilter,
  limits: LogLimits,
  now: number,
): SearchResult<ExecutionRecord> {
  const { state, from = 0, size = 10, searchAfter } = filter
  const isLiveWanted = state !== undefined && isLive(state)
  const table = isLiveWanted ? 'headgate_job' : 'headgate_log'
  const matching = conditionsOf(filter)
  if (isLiveWanted) matching.push(['end_time is null'])
  // The + keeps SQLite from walking the log by `seq`, where other columns lead there faster.
  else matching.push(['+seq >= ?', floorOf(connection, limits, now)])
  const after: Condition[] = searchAfter === undefined ? [] : [['position < ?', executionOrder(searchAfter) ?? '']]
  const total = connection.number(`select count(*) n from ${table} ${where(matching)}`, ...valuesOf(matching))
  const rows = connection.all(
    `select ${selected} from ${table} ${where([...matching, ...after])} order by position desc limit ? offset ?`,
    ...valuesOf([...matching, ...after]),
    size,
    from,
  )
  return { total, hits: rows.map(executionOf) }
}

type Condition = [sql: string, value?: SqliteValue]

function conditionsOf({ type, id, state, startTimeFrom, startTimeTo }: SearchFilter): Condition[] {
  const conditions: [sql: string, value: SqliteValue | undefined][] = [
    ['type = ?', type],
    ['id = ?', id],
    ['state = ?', state],
    ['start_time >= ?', startTimeFrom],
    ['start_time <= ?', startTimeTo],
  ]
  const given = conditions.filter((condition): condition is [string, SqliteValue] => condition[1] !== undefined)
  return type === undefined ? [["substr(type, 1, 1) <> '_'"], ...given] : given
}

function where(conditions: Condition[]): string {
  return conditions.length === 0 ? '' : `where ${conditions.map(([sql]) => sql).join(' and ')}`
}

function valuesOf(conditions: Condition[]): SqliteValue[] {
  return conditions.flatMap(([, value]) => (value === undefined ? [] : [value]))
}

import { isLive, JobError, type StorageFilter } from '../../../adapter.js'
import type { Value } from './database.js'
import { hour, isOfJob, type Names } from './migrations.js'
import { recordOf, splitId } from './rows.js'
import { hasExpired } from './statements.js'

/** The latest time that a UUID of version 7 can hold. */
const lastTime = 2 ** 48 - 2

const endedStates = ['aborted', 'error', 'successful']

/** Collects the values of a statement and returns their placeholders. */
class Values {
  readonly list: Value[] = []

  text(value: Value): string {
    this.list.push(value)
    return `$${this.list.length}::text`
  }

  int8(value: number): string {
    return `${this.text(value)}::int8`
  }

  uuid(value: string): string {
    return `${this.text(value)}::uuid`
  }
}

/**
 * The statement of a search: one row per hit, each with the total and whether any lease has expired. Without hits,
 * one row without an execution.
 */
export function searchIn(names: Names, filter: StorageFilter): { text: string; values: readonly Value[] } {
  const values = new Values()
  const isLiveWanted = filter.state !== undefined && isLive(filter.state)
  const total = isLiveWanted ? totalOfLive(names, filter, values) : totalOfLog(names, filter, values)
  const page = pageOf(names, filter, values, isLiveWanted)
  const text = `select looked.*, ${recordOf('hit', String(filter.omitsDetail === true))}
    from (select (${total})::text as total, ${hasExpired(names)} as has_expired) looked
    left join (${page}) hit on true order by hit.uuid desc`
  return { text, values: values.list }
}

/** Every branch is sorted newest first, so that each reads no more of an index than the page needs. */
function pageOf(names: Names, filter: StorageFilter, values: Values, isLiveWanted: boolean): string {
  const { from = 0, size = 10 } = filter
  const limits = `limit ${values.int8(size)} offset ${values.int8(from)}`
  const bounds = boundsOf(names, filter, values, isLiveWanted)
  const most = `order by uuid desc limit ${values.int8(from + size)}`
  const table = isLiveWanted ? `${names.job} where end_time is null and` : `${names.log} where`
  const branches = statesOf(filter).map((state) => {
    // The bounds of the UUIDs use the index of the page. The index of start times would need a sort.
    const conditions = [...conditionsOf(filter, values, state, 'start_time + 0'), ...bounds]
    return `(select * from ${table} ${conditions.join(' and ') || 'true'} ${most})`
  })
  return `select * from (${branches.join(' union all ')}) branch order by uuid desc ${limits}`
}

/** The states to search one by one: those that an index separates below the type or the id. */
function statesOf({ type, id, partition, state }: StorageFilter): readonly (string | undefined)[] {
  if (state !== undefined) return [state]
  return partition !== undefined || (type === undefined && id === undefined) ? [undefined] : endedStates
}

function conditionsOf(filter: StorageFilter, values: Values, state?: string, startTime = 'start_time'): string[] {
  const { partition, includePartitions } = filter
  return [
    partition !== undefined && `partition = ${values.text(partition)}::int4`,
    partition === undefined && !includePartitions && isOfJob,
    ...commonConditionsOf(filter, values, state, startTime),
  ].filter((condition) => condition !== false)
}

/** The conditions on columns that the tally has too. */
function commonConditionsOf(
  { type, id, startTimeFrom, startTimeTo }: StorageFilter,
  values: Values,
  state?: string,
  startTime?: string,
): string[] {
  return [
    type !== undefined && `type = ${values.text(type)}`,
    id !== undefined && `id = ${values.text(id)}`,
    state !== undefined && `state = ${values.text(state)}`,
    startTimeFrom !== undefined && `${startTime} >= ${values.int8(startTimeFrom)}`,
    startTimeTo !== undefined && `${startTime} <= ${values.int8(startTimeTo)}`,
  ].filter((condition) => condition !== false)
}

/**
 * The bounds of the UUIDs of the hits. A UUID holds the time at which its execution was accepted, which is not after
 * its start. The tally knows how much earlier it can be.
 */
function boundsOf({ tally }: Names, filter: StorageFilter, values: Values, isLiveWanted: boolean): string[] {
  const { startTimeFrom, startTimeTo, searchAfter } = filter
  const after = searchAfter === undefined ? undefined : splitId(searchAfter)
  if (searchAfter !== undefined && !after) return ['false']
  const bounds: string[] = []
  if (after) bounds.push(`uuid < ${values.uuid(after.uuid)}`)
  if (startTimeTo !== undefined) bounds.push(`uuid < ${values.uuid(firstUuidOf(startTimeTo + 1))}`)
  if (startTimeFrom !== undefined && !isLiveWanted) {
    const first = `select least(min(first_time), ${values.int8(startTimeFrom)}) from ${tally}
      where hour >= ${values.int8(Math.floor(startTimeFrom / hour))}`
    bounds.push(`uuid >= (select (lpad(to_hex((${first})), 12, '0') || repeat('0', 20))::uuid)`)
  }
  return bounds
}

/** The lowest UUID of a time. */
function firstUuidOf(time: number): string {
  const hex = Math.min(Math.max(time, 0), lastTime).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

function totalOfLive({ job }: Names, filter: StorageFilter, values: Values): string {
  const conditions = conditionsOf(filter, values, filter.state)
  return `select count(*) from ${job} where ${['end_time is null', ...conditions].join(' and ')}`
}

/** The number of executions of a search. Throws when the tally contradicts the log, with the statement that repairs it. */
export function totalIn({ schema, log, tally }: Names, total: unknown): number {
  if (!(Number(total) < 0)) return Number(total)
  const count = `start_time / ${hour}, type, state, partition is not null, count(*), min(${schema}.accept_time(uuid))`
  const repair = `begin; lock table ${log} in share row exclusive mode; delete from ${tally}; insert into ${tally} (hour, type, state, is_partition, n, first_time) select ${count} from ${log} group by 1, 2, 3, 4; commit`
  throw new JobError(
    'storage',
    `The table ${tally} counts fewer than no executions, because rows were added to ${log} by hand. To count them again, run: ${repair}`,
    { isTransient: false },
  )
}

/** Counts whole hours in the tally, and the remaining parts of hours, or one job, in the log by index. */
function totalOfLog({ log, tally }: Names, filter: StorageFilter, values: Values): string {
  const { id, partition, startTimeFrom = 0, startTimeTo = Number.POSITIVE_INFINITY } = filter
  const inLog = (span: Pick<StorageFilter, 'startTimeFrom' | 'startTimeTo'>) => {
    const { startTimeFrom: _from, startTimeTo: _to, ...others } = filter
    const conditions = conditionsOf({ ...others, ...span }, values, filter.state)
    return `(select count(*) from ${log} where ${conditions.join(' and ') || 'true'})`
  }
  if (id !== undefined || partition !== undefined) return `select ${inLog(filter)}`
  const first = Math.ceil(startTimeFrom / hour)
  const end = Math.floor((startTimeTo + 1) / hour)
  if (first >= end) return `select ${inLog(filter)}`
  const { startTimeFrom: _from, startTimeTo: _to, ...others } = filter
  const conditions = commonConditionsOf(others, values, filter.state)
  if (!filter.includePartitions) conditions.push('not is_partition')
  const parts: string[] = []
  if (startTimeFrom < first * hour) parts.push(inLog({ startTimeFrom, startTimeTo: first * hour - 1 }))
  if (Number.isFinite(end)) {
    conditions.push(`hour < ${values.int8(end)}`)
    if (end * hour <= startTimeTo) parts.push(inLog({ startTimeFrom: end * hour, startTimeTo }))
  }
  if (first > 0) conditions.push(`hour >= ${values.int8(first)}`)
  parts.push(`(select coalesce(sum(n), 0) from ${tally} where ${conditions.join(' and ') || 'true'})`)
  return `select ${parts.join(' + ')}`
}

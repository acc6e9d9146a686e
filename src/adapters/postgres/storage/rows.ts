import {
  type ExecutionRecord,
  executionOrder,
  type Failure,
  type JobDetail,
  type JobState,
  type Pause,
  type StorageChange,
} from '../../../adapter.js'
import type { TextRow } from './database.js'

/** The names of the columns that the log stores of an execution. */
const columns = [
  'uuid',
  'type',
  'id',
  'partition',
  'state',
  'epoch',
  'claimed_by',
  'start_time',
  'end_time',
  'lease_until',
  'count',
  'last_id',
  'checkpoint',
  'error',
  'is_orphaned',
  'resumed_from',
  'takeovers',
  'detail',
  'scheduled_for',
  'params',
  'abort_reason',
  'log_tail',
  'notifies_end',
  'is_end_notified',
  'failure',
]

/** The columns that the log stores of an execution, as SQL. */
export const logged = columns.join(', ')

/**
 * The columns with arbitrary text. They are read with a prefix, because PGlite drops a byte order mark at the start
 * of a text.
 */
const texts = ['type', 'id', 'claimed_by', 'resumed_from']

/** What a list may leave out: it may be long. */
const details = ['checkpoint', 'detail', 'params', 'log_tail', 'failure']

/** SQL for the columns of an execution as text. `isOmitted` is SQL for whether to leave out what may be long. */
export function recordOf(table: string, isOmitted = 'false'): string {
  return columns
    .map((column) => {
      if (isOmitted === 'false' || !details.includes(column)) return columnOf(table, column)
      return `case when not ${isOmitted} then ${table}.${column}::text end as ${column}`
    })
    .join(', ')
}

/** SQL for the columns of a change as text. */
export function changeOf(table: string): string {
  return ['type', 'id', 'partition', 'uuid', 'state'].map((column) => columnOf(table, column)).join(', ')
}

/** SQL for the columns of a pause as text. */
export const pauseColumns = ['type', 'id', 'since', 'reason', 'paused_by']
  .map((column) => columnOf('pause', column))
  .join(', ')

function columnOf(table: string, column: string): string {
  const value = `${table}.${column}`
  return `${texts.includes(column) ? `'=' || ${value}` : `${value}::text`} as ${column}`
}

/** Converts a row of {@link recordOf}. */
export function toRecord(row: TextRow): ExecutionRecord {
  const { last_id: lastId, end_time: endTime, resumed_from: resumedFrom, checkpoint, error, takeovers, detail } = row
  const { scheduled_for: scheduledFor, claimed_by: node, lease_until: leaseUntil } = row
  return {
    ...toChange(row),
    epoch: Number(row.epoch),
    node: isSet(node) ? textOf(node) : null,
    startTime: Number(row.start_time),
    leaseUntil: isSet(leaseUntil) ? Number(leaseUntil) : null,
    count: Number(row.count),
    ...(isSet(endTime) && { endTime: Number(endTime) }),
    ...(isSet(lastId) && { lastId: JSON.parse(lastId) as string }),
    ...(isSet(checkpoint) && { checkpoint: JSON.parse(checkpoint) as unknown }),
    ...(isSet(error) && { error: JSON.parse(error) as string[] }),
    ...(row.is_orphaned === 'true' && { isOrphaned: true as const }),
    ...(isSet(resumedFrom) && { resumedFrom: textOf(resumedFrom) }),
    ...(isSet(takeovers) && { takeovers: Number(takeovers) }),
    ...(isSet(detail) && { detail: JSON.parse(detail) as JobDetail }),
    ...(isSet(scheduledFor) && { scheduledFor: Number(scheduledFor) }),
    ...(isSet(row.params) && { params: JSON.parse(row.params) as Record<string, unknown> }),
    ...(isSet(row.abort_reason) && { abortReason: JSON.parse(row.abort_reason) as string }),
    ...(isSet(row.log_tail) && { logTail: JSON.parse(row.log_tail) as string[] }),
    ...(row.notifies_end === 'true' && { notifiesEnd: true as const }),
    ...(row.is_end_notified === 'true' && { isEndNotified: true as const }),
    ...(isSet(row.failure) && { failure: JSON.parse(row.failure) as Failure }),
  }
}

/** Converts a row of {@link changeOf}. */
export function toChange({ type, id, partition, uuid, state }: TextRow): StorageChange {
  const jobId = textOf(id)
  return {
    type: textOf(type),
    id: jobId,
    ...(isSet(partition) && { partition: Number(partition) }),
    executionId: `${jobId}${uuid}`,
    state: state as JobState,
  }
}

/** Converts a row of {@link pauseColumns}. */
export function toPause({ type, id, since, reason, paused_by: by }: TextRow): Pause {
  return {
    ...(textOf(type) === '' ? {} : { type: textOf(type), id: textOf(id) }),
    since: Number(since),
    ...(isSet(reason) && { reason: JSON.parse(reason) as string }),
    ...(isSet(by) && { by: JSON.parse(by) as string }),
  }
}

/** Splits an execution id. Returns `undefined` for an invalid one. */
export function splitId(executionId: string): { id: string; uuid: string } | undefined {
  const uuid = executionOrder(executionId)
  return uuid === undefined ? undefined : { id: executionId.slice(0, -uuid.length), uuid }
}

/** The JSON of a value, or `undefined` for no value. */
export function jsonOf(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}

/** Whether the database can store a text. No job has a type or id that it cannot store. */
export function isStorable(text: string): boolean {
  return !/\0|\p{Surrogate}/u.test(text)
}

/** Removes the prefix. */
function textOf(marked: string | null | undefined): string {
  return (marked ?? '').slice(1)
}

function isSet(value: string | null | undefined): value is string {
  return value !== null && value !== undefined
}

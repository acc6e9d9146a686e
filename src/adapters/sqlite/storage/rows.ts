import {
  type ExecutionRecord,
  executionOrder,
  type Failure,
  type JobDetail,
  type JobState,
  type Pause,
  type StorageChange,
} from '../../../adapter.js'
import type { SqliteValue } from '../client/index.js'
import type { SqliteRow } from './connection.js'

/** The columns of an execution, in both tables, in the order of {@link valuesOf}. */
export const columns = [
  'type',
  'id',
  'partition',
  'execution_id',
  'position',
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
] as const

/** The value of `partition` for a job itself: in a key, nulls would all differ. */
export const noPartition = -1

/** The columns that are read as text, because a driver may refuse to read a page with a number that is too large. */
const numbers = new Set<string>([
  'partition',
  'epoch',
  'start_time',
  'end_time',
  'lease_until',
  'count',
  'takeovers',
  'is_orphaned',
  'scheduled_for',
  'notifies_end',
  'is_end_notified',
])

/** The columns of an execution as {@link executionOf} reads them. */
export const selected = columns
  .filter((column) => column !== 'position')
  .map(readable)
  .join(', ')

/** What a list may leave out: it may be long. */
const details = new Set<string>(['checkpoint', 'detail', 'params', 'log_tail', 'failure'])

/** The same for a list. */
export function selectedFor(omitsDetail = false): string {
  const isRead = (column: string) => column !== 'position' && !(omitsDetail && details.has(column))
  return columns.filter(isRead).map(readable).join(', ')
}

/** The columns of a change as {@link changeOf} reads them. */
export const selectedOfChange = `${['type', 'id', 'partition', 'execution_id', 'state'].map(readable).join(', ')}, changed`

/**
 * SQL that selects a column. Text is read as hexadecimal digits: libsql crashes the process on text that is not valid
 * UTF-8, and truncates text at the character NUL.
 */
function readable(column: string): string {
  return numbers.has(column) ? `cast(${column} as text) as ${column}` : `hex(${column}) as ${column}`
}

/** The values of an execution. */
export function valuesOf(execution: ExecutionRecord): SqliteValue[] {
  return [
    execution.type,
    execution.id,
    execution.partition ?? noPartition,
    execution.executionId,
    positionOf(execution),
    execution.state,
    execution.epoch,
    execution.node === null ? null : jsonOf(execution.node),
    execution.startTime,
    execution.endTime ?? null,
    execution.leaseUntil,
    execution.count,
    jsonOf(execution.lastId),
    jsonOf(execution.checkpoint),
    jsonOf(execution.error),
    execution.isOrphaned ? 1 : null,
    execution.resumedFrom ?? null,
    execution.takeovers ?? null,
    jsonOf(execution.detail),
    execution.scheduledFor ?? null,
    jsonOf(execution.params),
    jsonOf(execution.abortReason),
    jsonOf(execution.logTail),
    execution.notifiesEnd ? 1 : null,
    execution.isEndNotified ? 1 : null,
    jsonOf(execution.failure),
  ]
}

/** Converts a row to an execution. */
export function executionOf(row: SqliteRow): ExecutionRecord {
  return {
    ...changeOf(row),
    epoch: integerOf(row.epoch),
    node: isThere(row.claimed_by) ? parse(row.claimed_by) : null,
    startTime: integerOf(row.start_time),
    ...(isThere(row.end_time) && { endTime: integerOf(row.end_time) }),
    leaseUntil: isThere(row.lease_until) ? integerOf(row.lease_until) : null,
    count: integerOf(row.count),
    ...(isThere(row.last_id) && { lastId: parse<string>(row.last_id) }),
    ...(isThere(row.checkpoint) && { checkpoint: parse(row.checkpoint) }),
    ...(isThere(row.error) && { error: parse<string[]>(row.error) }),
    ...(isThere(row.is_orphaned) && { isOrphaned: true }),
    ...(isThere(row.resumed_from) && { resumedFrom: textOf(row.resumed_from) }),
    ...(isThere(row.takeovers) && { takeovers: integerOf(row.takeovers) }),
    ...(isThere(row.detail) && { detail: parse<JobDetail>(row.detail) }),
    ...(isThere(row.scheduled_for) && { scheduledFor: integerOf(row.scheduled_for) }),
    ...(isThere(row.params) && { params: parse<Record<string, unknown>>(row.params) }),
    ...(isThere(row.abort_reason) && { abortReason: parse<string>(row.abort_reason) }),
    ...(isThere(row.log_tail) && { logTail: parse<string[]>(row.log_tail) }),
    ...(isThere(row.notifies_end) && { notifiesEnd: true }),
    ...(isThere(row.is_end_notified) && { isEndNotified: true }),
    ...(isThere(row.failure) && { failure: parse<Failure>(row.failure) }),
  }
}

/** Converts a row of {@link selectedOfChange}. */
export function changeOf({ type, id, partition, execution_id, state }: SqliteRow): StorageChange {
  const number = integerOf(partition)
  return {
    type: textOf(type),
    id: textOf(id),
    ...(number !== noPartition && { partition: number }),
    executionId: textOf(execution_id),
    state: textOf(state) as JobState,
  }
}

/** The columns of a pause as {@link pauseOf} reads them. */
export const selectedOfPause = `${['type', 'id', 'reason', 'paused_by'].map(readable).join(', ')}, cast(since as text) as since`

/** Converts a row of {@link selectedOfPause}. */
export function pauseOf({ type, id, since, reason, paused_by }: SqliteRow): Pause {
  return {
    ...(isThere(type) && { type: textOf(type), id: textOf(id) }),
    since: integerOf(since),
    ...(isThere(reason) && { reason: parse<string>(reason) }),
    ...(isThere(paused_by) && { by: parse<string>(paused_by) }),
  }
}

/** The position of an execution in the log. */
export function positionOf({ executionId }: { executionId: string }): string {
  return executionOrder(executionId) ?? ''
}

/** JSON, because drivers truncate text at a NUL and lose lone surrogates. */
export function jsonOf(value: unknown): string | null {
  return value instanceof Unreadable ? value.text : (JSON.stringify(value) ?? null)
}

/**
 * A whole number. A value that a number cannot hold becomes one that every check rejects and that can be written
 * again.
 */
function integerOf(text: SqliteRow[string]): number {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : Number.MIN_SAFE_INTEGER
}

/**
 * Stands for text that is not JSON. Every check rejects it. One row must not prevent reading others, and its text is
 * written back unchanged, so that a damaged checkpoint does not disappear.
 */
class Unreadable {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

function parse<Value>(digits: SqliteRow[string]): Value {
  const text = textOf(digits)
  try {
    return JSON.parse(text)
  } catch {
    return new Unreadable(text) as Value
  }
}

/** Decodes text that was selected as hexadecimal digits. */
function textOf(digits: SqliteRow[string]): string {
  return Buffer.from(String(digits ?? ''), 'hex').toString()
}

/** Whether a value is not null. Null is read as no digits. */
function isThere(value: SqliteRow[string]): boolean {
  return value !== null && value !== undefined && value !== ''
}

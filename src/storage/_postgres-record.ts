import { type ExecutionRecord, executionOrder, type JobDetail, type JobState, type StorageChange } from '../index.js'
import type { TextRow } from './_postgres-database.js'

/** The columns that the log keeps of a job's execution, by their own names. */
const columns = [
  ...['uuid', 'type', 'id', 'state', 'epoch', 'node', 'start_time', 'end_time', 'lease_until', 'count', 'last_id'],
  ...['checkpoint', 'error', 'is_orphaned', 'resumed_from', 'takeovers', 'detail', 'scheduled_for'],
]

/** The columns that the log keeps of a job's execution. */
export const logged = columns.join(', ')

/** The columns that hold any text. They are read behind a mark, as PGlite drops a byte order mark at the start of a text. */
const texts = ['type', 'id', 'node', 'resumed_from']

/** The columns of an execution as text, of a table or what stands for one. */
export function recordOf(table: string): string {
  return columns.map((column) => columnOf(table, column)).join(', ')
}

/** The columns of a change as text. */
export function changeOf(table: string): string {
  return ['type', 'id', 'uuid', 'state'].map((column) => columnOf(table, column)).join(', ')
}

function columnOf(table: string, column: string): string {
  const value = `${table}.${column}`
  return `${texts.includes(column) ? `'=' || ${value}` : `${value}::text`} as ${column}`
}

/** What a row of {@link recordOf} says. */
export function toRecord(row: TextRow): ExecutionRecord {
  const { last_id: lastId, end_time: endTime, resumed_from: resumedFrom, checkpoint, error, takeovers, detail } = row
  const { scheduled_for: scheduledFor } = row
  return {
    ...toChange(row),
    epoch: Number(row.epoch),
    node: textOf(row.node),
    startTime: Number(row.start_time),
    leaseUntil: Number(row.lease_until),
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
  }
}

/** What a row of {@link changeOf} says. */
export function toChange({ type, id, uuid, state }: TextRow): StorageChange {
  const jobId = textOf(id)
  return { type: textOf(type), id: jobId, executionId: `${jobId}${uuid}`, state: state as JobState }
}

/** The two parts of an execution's id, or `undefined` when it is none. */
export function splitId(executionId: string): { id: string; uuid: string } | undefined {
  const uuid = executionOrder(executionId)
  return uuid === undefined ? undefined : { id: executionId.slice(0, -uuid.length), uuid }
}

/** The JSON that keeps a value; nothing for a value that is not given. */
export function jsonOf(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}

/** Whether a text could be in the database: no job has a type or id that could not. */
export function isStorable(text: string): boolean {
  return !/\0|\p{Surrogate}/u.test(text)
}

/** The text behind the mark. */
function textOf(marked: string | null | undefined): string {
  return (marked ?? '').slice(1)
}

function isSet(value: string | null | undefined): value is string {
  return value !== null && value !== undefined
}

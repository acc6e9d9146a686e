import { type ExecutionRecord, executionOrder, type JobDetail, type JobState, type StorageChange } from '../index.js'
import type { SqliteRow, SqliteValue } from './_sqlite-connection.js'

/** The columns of an execution, in both tables, in the order of {@link valuesOf}. */
export const columns = [
  'type',
  'id',
  'execution_id',
  'position',
  'state',
  'epoch',
  'node',
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
] as const

/** The columns that are read as text: a driver may refuse to read a whole page for one number that is too large. */
const numbers = new Set<string>([
  'epoch',
  'start_time',
  'end_time',
  'lease_until',
  'count',
  'takeovers',
  'is_orphaned',
  'scheduled_for',
])

/** The columns of an execution as {@link executionOf} reads them. */
export const selected = columns
  .filter((column) => column !== 'position')
  .map(readable)
  .join(', ')

/** The columns of a change as {@link changeOf} reads them. */
export const selectedOfChange = `${['type', 'id', 'execution_id', 'state'].map(readable).join(', ')}, changed`

/**
 * What selects a column. Text is read as hexadecimal digits: libsql ends the process at a text that is not valid UTF-8, and
 * cuts one off at the character NUL.
 */
function readable(column: string): string {
  return numbers.has(column) ? `cast(${column} as text) as ${column}` : `hex(${column}) as ${column}`
}

/** What is kept of an execution. */
export function valuesOf(execution: ExecutionRecord): SqliteValue[] {
  return [
    execution.type,
    execution.id,
    execution.executionId,
    positionOf(execution),
    execution.state,
    execution.epoch,
    jsonOf(execution.node),
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
  ]
}

/** The execution that a row keeps. */
export function executionOf(row: SqliteRow): ExecutionRecord {
  return {
    ...changeOf(row),
    epoch: integerOf(row.epoch),
    node: parse(row.node),
    startTime: integerOf(row.start_time),
    ...(isThere(row.end_time) && { endTime: integerOf(row.end_time) }),
    leaseUntil: integerOf(row.lease_until),
    count: integerOf(row.count),
    ...(isThere(row.last_id) && { lastId: parse<string>(row.last_id) }),
    ...(isThere(row.checkpoint) && { checkpoint: parse(row.checkpoint) }),
    ...(isThere(row.error) && { error: parse<string[]>(row.error) }),
    ...(isThere(row.is_orphaned) && { isOrphaned: true }),
    ...(isThere(row.resumed_from) && { resumedFrom: textOf(row.resumed_from) }),
    ...(isThere(row.takeovers) && { takeovers: integerOf(row.takeovers) }),
    ...(isThere(row.detail) && { detail: parse<JobDetail>(row.detail) }),
    ...(isThere(row.scheduled_for) && { scheduledFor: integerOf(row.scheduled_for) }),
  }
}

/** The change that a row of {@link selectedOfChange} tells of. */
export function changeOf({ type, id, execution_id, state }: SqliteRow): StorageChange {
  return { type: textOf(type), id: textOf(id), executionId: textOf(execution_id), state: textOf(state) as JobState }
}

/** Where an execution stands in the log. */
export function positionOf({ executionId }: { executionId: string }): string {
  return executionOrder(executionId) ?? ''
}

/** JSON, as SQLite's drivers cut text at a NUL and lose lone surrogates. */
function jsonOf(value: unknown): string | null {
  return value instanceof Unreadable ? value.text : (JSON.stringify(value) ?? null)
}

/** A whole number, or one that no check accepts in the place of what a number cannot hold: it can be written again. */
function integerOf(text: SqliteRow[string]): number {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : Number.MIN_SAFE_INTEGER
}

/**
 * Stands for a text that is no JSON, and is accepted by no check. One row must not keep others from being read, and what it
 * holds is written again as it was: a checkpoint that is damaged must not become none.
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

/** The text that was selected as hexadecimal digits. */
function textOf(digits: SqliteRow[string]): string {
  return Buffer.from(String(digits ?? ''), 'hex').toString()
}

/** Null comes as no digits. */
function isThere(value: SqliteRow[string]): boolean {
  return value !== null && value !== undefined && value !== ''
}

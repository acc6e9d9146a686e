import { type ExecutionRecord, executionOrder, type JobDetail, type JobState } from '../index.js'
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
  'scheduled_for',
])

/** The columns of an execution as {@link executionOf} reads them. */
export const selected = columns
  .map((column) => (numbers.has(column) ? `cast(${column} as text) as ${column}` : column))
  .join(', ')

/** What is kept of an execution. */
export function valuesOf(execution: ExecutionRecord): SqliteValue[] {
  return [
    execution.type,
    execution.id,
    execution.executionId,
    positionOf(execution),
    execution.state,
    execution.epoch,
    textOf(execution.node),
    execution.startTime,
    execution.endTime ?? null,
    execution.leaseUntil,
    execution.count,
    textOf(execution.lastId),
    textOf(execution.checkpoint),
    textOf(execution.error),
    execution.isOrphaned ? 1 : null,
    execution.resumedFrom ?? null,
    execution.takeovers ?? null,
    textOf(execution.detail),
    execution.scheduledFor ?? null,
  ]
}

/** The execution that a row keeps. */
export function executionOf(row: SqliteRow): ExecutionRecord {
  return {
    type: String(row.type),
    id: String(row.id),
    executionId: String(row.execution_id),
    state: row.state as JobState,
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
    ...(isThere(row.resumed_from) && { resumedFrom: String(row.resumed_from) }),
    ...(isThere(row.takeovers) && { takeovers: integerOf(row.takeovers) }),
    ...(isThere(row.detail) && { detail: parse<JobDetail>(row.detail) }),
    ...(isThere(row.scheduled_for) && { scheduledFor: integerOf(row.scheduled_for) }),
  }
}

/** Where an execution stands in the log. */
export function positionOf({ executionId }: { executionId: string }): string {
  return executionOrder(executionId) ?? ''
}

/** JSON, as SQLite's drivers cut text at a NUL and lose lone surrogates. */
function textOf(value: unknown): string | null {
  return JSON.stringify(value) ?? null
}

/** A whole number, or one that no check accepts in the place of what a number cannot hold: it can be written again. */
function integerOf(text: SqliteRow[string]): number {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : Number.MIN_SAFE_INTEGER
}

/** What stands in the place of what cannot be read, which no check accepts: one row must not keep others from being read. */
const unreadable = Symbol('a text that is no JSON')

function parse<Value>(text: SqliteRow[string]): Value {
  try {
    return JSON.parse(String(text))
  } catch {
    return unreadable as Value
  }
}

function isThere(value: SqliteRow[string]): boolean {
  return value !== null && value !== undefined
}

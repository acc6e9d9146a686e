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
    epoch: Number(row.epoch),
    node: parse(row.node),
    startTime: Number(row.start_time),
    ...(isThere(row.end_time) && { endTime: Number(row.end_time) }),
    leaseUntil: Number(row.lease_until),
    count: Number(row.count),
    ...(isThere(row.last_id) && { lastId: parse<string>(row.last_id) }),
    ...(isThere(row.checkpoint) && { checkpoint: parse(row.checkpoint) }),
    ...(isThere(row.error) && { error: parse<string[]>(row.error) }),
    ...(isThere(row.is_orphaned) && { isOrphaned: true }),
    ...(isThere(row.resumed_from) && { resumedFrom: String(row.resumed_from) }),
    ...(isThere(row.takeovers) && { takeovers: Number(row.takeovers) }),
    ...(isThere(row.detail) && { detail: parse<JobDetail>(row.detail) }),
    ...(isThere(row.scheduled_for) && { scheduledFor: Number(row.scheduled_for) }),
  }
}

/** Where an execution stands in the log. */
export function positionOf({ executionId }: { executionId: string }): string {
  return executionOrder(executionId) ?? ''
}

/** JSON, as SQLite's drivers cut text at a NUL and lose lone surrogates. */
function textOf(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

function parse<Value>(text: SqliteRow[string]): Value {
  return JSON.parse(String(text))
}

function isThere(value: SqliteRow[string]): boolean {
  return value !== null && value !== undefined
}

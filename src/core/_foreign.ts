import { executionOrder } from './ids.js'
import { isJson } from './json.js'
import { isEnded, isState, type JobState } from './lifecycle.js'
import { type Rule, rule } from './options.js'
import type { ExecutionRecord, StorageChange } from './storage.js'

/** The latest time that a date can have, in epoch milliseconds. */
const lastTime = 8.64e15

const time: Rule = {
  accepts: (value) => typeof value === 'number' && Math.abs(value) <= lastTime,
  expected: 'a time in epoch milliseconds',
}

/** The most messages of an error that are shown, and the longest, in characters: a little more than headgate keeps. */
const maxMessages = 25
const maxMessageLength = 2500

const anyText: Rule = { accepts: (value) => typeof value === 'string', expected: 'a string' }

/** What the fields of a record must be, beside those that name the execution. */
const fields: { readonly [Field in keyof ExecutionRecord]?: Rule } = {
  state: { accepts: isState, expected: 'a known state' },
  epoch: rule.whole(0),
  node: anyText,
  startTime: time,
  endTime: rule.optional(time),
  leaseUntil: time,
  count: rule.whole(0),
  lastId: rule.optional(anyText),
  checkpoint: { accepts: isJson, expected: 'a JSON value', optional: true },
  detail: {
    accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && isJson(value),
    expected: 'a JSON object',
    optional: true,
  },
  error: { accepts: areMessages, expected: 'a list of messages', optional: true },
  isOrphaned: { accepts: (value) => value === true, expected: 'true', optional: true },
  resumedFrom: rule.optional(anyText),
  takeovers: rule.optional(rule.whole(0)),
  scheduledFor: rule.optional(time),
}

/** A record as it can be used, and what was wrong with it. */
export interface CheckedRecord {
  /** The record with what is valid of it; `undefined` when it names no execution. */
  readonly record: ExecutionRecord | undefined
  /** The fields that were not valid, and were replaced or left out. */
  readonly wrong: readonly string[]
}

/**
 * A record as a storage gives it, which anything may have written: another version, or who has access to the tables. What is
 * not valid of it is left out, or is what can be told for certain: an execution of an unknown state has ended if it has an
 * end, in state `error`, and runs otherwise.
 */
export function checkRecord(value: unknown): CheckedRecord {
  const given = Object(value) as Partial<Record<keyof ExecutionRecord, unknown>>
  const { type, id, executionId } = given
  if (!isText(type) || !isText(id) || !isText(executionId) || executionOrder(executionId) === undefined) {
    return { record: undefined, wrong: ['executionId'] }
  }
  const wrong: string[] = []
  const record: Record<string, unknown> = { type, id, executionId }
  for (const [field, { accepts, optional }] of Object.entries(fields)) {
    const its = given[field as keyof ExecutionRecord]
    if (accepts(its)) record[field] = its
    else if (!(optional && its === undefined)) wrong.push(field)
    // Without one, the job would start over, and nobody would know: one that no job has made fails it.
    if (field === 'checkpoint' && wrong.includes(field)) record[field] = 'left out, as it is nested too deep'
  }
  const hasState = record.state !== undefined
  if (hasState && isEnded(record.state as JobState) !== (record.endTime !== undefined)) wrong.push('endTime')
  // Most records are as they should be.
  if (wrong.length === 0) return { record: record as unknown as ExecutionRecord, wrong }
  return { record: repaired(record as unknown as Named), wrong }
}

type Named = Partial<ExecutionRecord> & Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>

function repaired({ endTime, error, ...record }: Named): ExecutionRecord {
  const state = record.state ?? (endTime === undefined ? 'running' : 'error')
  const { startTime = endTime ?? 0 } = record
  const defaults = { epoch: 0, node: '', leaseUntil: startTime, count: 0 }
  return {
    ...defaults,
    ...record,
    state,
    startTime,
    ...(isEnded(state) && { endTime: endTime ?? startTime }),
    ...(state === 'error' && { error: error ?? ['What the storage holds of this execution is not valid.'] }),
  }
}

/** Whether a change is one that a storage may tell of. One of a later version may have a state that is not known here. */
export function isChange(value: unknown): value is StorageChange {
  const { type, id, executionId, state } = Object(value) as Record<string, unknown>
  return isText(type) && isText(id) && isText(executionId) && isState(state)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function areMessages(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= maxMessages &&
    value.every((message) => typeof message === 'string' && message.length <= maxMessageLength)
  )
}

import { executionOrder, isJson, type Rule, read, rule } from '../base/index.js'
import {
  type ExecutionKey,
  type ExecutionRecord,
  type Failure,
  isEnded,
  isState,
  type JobState,
  maxLogLines,
  maxTextLength,
} from '../model/index.js'
import type { StorageChange } from './job-storage.js'
import type { Pause } from './management.js'

/** The maximum time of a date, in epoch milliseconds. */
const lastTime = 8.64e15

const time: Rule = {
  accepts: (value) => typeof value === 'number' && Math.abs(value) <= lastTime,
  expected: 'a time in epoch milliseconds',
}

/** The length of a UUID in text. */
const uuidLength = 36

/** Maximum number and length of error messages, a little more than headgate itself stores. */
const maxMessages = 25
const maxMessageLength = 2500

const anyText: Rule = { accepts: (value) => typeof value === 'string', expected: 'a string' }

const shortText: Rule = {
  accepts: (value) => typeof value === 'string' && value !== '' && value.length <= maxTextLength,
  expected: `a string of 1 to ${maxTextLength} characters`,
}

const yes: Rule = { accepts: (value) => value === true, expected: 'true', optional: true }

const jsonObject: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && isJson(value),
  expected: 'a JSON object',
  optional: true,
}

function orNull({ accepts, expected }: Rule): Rule {
  return { accepts: (value) => value === null || accepts(value), expected: `${expected} or null` }
}

/** The rules for the fields of a record, besides those that identify the execution. */
const fields: { readonly [Field in keyof ExecutionRecord]?: Rule } = {
  state: { accepts: isState, expected: 'a known state' },
  epoch: rule.whole(0),
  node: orNull(anyText),
  startTime: time,
  endTime: rule.optional(time),
  leaseUntil: orNull(time),
  count: rule.whole(0),
  lastId: rule.optional(anyText),
  checkpoint: { accepts: isJson, expected: 'a JSON value', optional: true },
  detail: jsonObject,
  error: {
    accepts: (value) => areLines(value, maxMessages, maxMessageLength),
    expected: 'a list of messages',
    optional: true,
  },
  failure: { accepts: isFailure, expected: 'an object with `isTransient` and `attempts`', optional: true },
  isOrphaned: yes,
  resumedFrom: rule.optional(anyText),
  takeovers: rule.optional(rule.whole(0)),
  scheduledFor: rule.optional(time),
  params: jsonObject,
  abortReason: rule.optional(shortText),
  logTail: {
    accepts: (value) => areLines(value, maxLogLines, maxTextLength),
    expected: 'a list of lines',
    optional: true,
  },
  notifiesEnd: yes,
  isEndNotified: yes,
}

const fieldRules = Object.entries(fields) as [keyof ExecutionRecord, Rule][]

const partitionRule = rule.whole(0)

/** A usable record, and its invalid fields. */
export interface CheckedRecord {
  /** The record with its valid fields. `undefined` when it does not identify an execution. */
  readonly record: ExecutionRecord | undefined
  /** The invalid fields, which were replaced or left out. */
  readonly wrong: readonly string[]
}

/**
 * Validates a record from a storage, which another version or anyone with access to the tables may have written. Invalid fields are left
 * out or replaced by what is certain: an execution with an unknown state has ended, in state `error`, if it has an end time, and runs
 * otherwise.
 */
export function checkRecord(value: unknown): CheckedRecord {
  const given = Object(value) as Partial<Record<keyof ExecutionRecord, unknown>>
  const { type, id, partition, executionId } = given
  if (!isKey(type, id, partition)) return { record: undefined, wrong: ['type', 'id', 'partition'] }
  if (!isExecutionOf(executionId, id as string)) return { record: undefined, wrong: ['executionId'] }
  const wrong: string[] = []
  // Every answer of storage passes here: a spread would make an object that is slow to extend.
  const record: Record<string, unknown> = { type, id, executionId }
  if (partition !== undefined) record.partition = partition
  for (const [field, { accepts, optional }] of fieldRules) {
    const its = given[field]
    if (accepts(its)) record[field] = its
    else if (!(optional && its === undefined)) wrong.push(field)
    // Without a checkpoint, the job would silently start over. One that no job has made fails it instead.
    if (field === 'checkpoint' && wrong.includes(field)) record[field] = 'left out, as it is nested too deep'
  }
  // A live state beside an end that no date has: the execution has ended, and nothing renews it any more.
  if (given.endTime !== undefined && record.endTime === undefined) record.endTime = record.startTime ?? 0
  const hasState = record.state !== undefined
  if (hasState && isEnded(record.state as JobState) !== (record.endTime !== undefined)) {
    wrong.push('endTime')
    // Nothing renews it or takes it over any more.
    if (record.endTime !== undefined) record.state = undefined
  }
  if (record.state === 'error' && record.error === undefined && !wrong.includes('error')) wrong.push('error')
  // The common case: a valid record.
  if (wrong.length === 0) return { record: record as unknown as ExecutionRecord, wrong }
  return { record: repaired(record as unknown as Named), wrong }
}

type Named = Partial<ExecutionRecord> & ExecutionKey

function repaired({ endTime, error, ...record }: Named): ExecutionRecord {
  const state = record.state ?? (endTime === undefined ? 'running' : 'error')
  const { startTime = endTime ?? 0 } = record
  const defaults = { epoch: 0, node: null, leaseUntil: null, count: 0 }
  return {
    ...defaults,
    ...record,
    state,
    startTime,
    ...(isEnded(state) && { endTime: endTime ?? startTime }),
    ...(state === 'error' && { error: error ?? ['The storage holds an invalid record of this execution.'] }),
  }
}

/** The fields of a valid pause, or `undefined`. An invalid reason or name does not end a pause. */
export function pauseIn(value: unknown): Pause | undefined {
  const { type, id, since, reason, by } = Object(value) as Partial<Record<keyof Pause, unknown>>
  const isOfAll = type === undefined && id === undefined
  if (!(isOfAll || isKey(type, id, undefined)) || !time.accepts(since)) return undefined
  return {
    ...(isOfAll ? {} : { type: type as string, id: id as string }),
    since: since as number,
    ...(shortText.accepts(reason) && { reason: reason as string }),
    ...(shortText.accepts(by) && { by: by as string }),
  }
}

/** The fields of a valid change. A later version may emit states that are unknown here. */
export function changeIn(value: unknown): StorageChange | undefined {
  const { type, id, partition, executionId, state } = Object(value) as StorageChange
  if (!isKey(type, id, partition) || !rule.text.accepts(executionId) || !isState(state)) return undefined
  // Every registry checks every change. A spread would take longer than all of the checks.
  return partition === undefined ? { type, id, executionId, state } : { type, id, partition, executionId, state }
}

function isKey(type: unknown, id: unknown, partition: unknown): boolean {
  const isPartition = partition === undefined || partitionRule.accepts(partition)
  return isPartition && rule.jobType.accepts(type) && rule.jobId.accepts(id)
}

/** Whether an execution's id is the job's id and a UUID. */
function isExecutionOf(executionId: unknown, id: string): boolean {
  if (typeof executionId !== 'string' || !executionId.startsWith(id)) return false
  return executionId.length === id.length + uuidLength && executionOrder(executionId) !== undefined
}

function isFailure(value: unknown): boolean {
  const { code, isTransient, attempts, place, stack, retries = [] } = Object(value) as Partial<Failure>
  const isAttempt = (each: unknown) =>
    time.accepts(read(each, 'time')) && isShort(read(each, 'error'), maxMessageLength)
  return (
    typeof isTransient === 'boolean' &&
    rule.whole(1).accepts(attempts) &&
    [code ?? '', place ?? '', stack ?? ''].every((text) => isShort(text, 2 * maxMessageLength)) &&
    Array.isArray(retries) &&
    retries.length <= maxMessages &&
    retries.every(isAttempt)
  )
}

function isShort(value: unknown, length: number): boolean {
  return typeof value === 'string' && value.length <= length
}

function areLines(value: unknown, maxLines: number, maxLength: number): boolean {
  return (
    Array.isArray(value) &&
    value.length <= maxLines &&
    value.every((line) => typeof line === 'string' && line.length <= maxLength)
  )
}

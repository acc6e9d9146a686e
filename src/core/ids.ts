import { v7, validate } from 'uuid'
import { checkValue, rule } from './options.js'

/** What a job goes by. */
interface JobName {
  readonly type: string
  readonly id: string
}

/** A key for a map: no two jobs have the same. */
export function jobKey({ type, id }: JobName): string {
  return `${type.length}:${type}${id}`
}

/** A map by the type and the id of jobs: no text is made of both, which would take longer than to look twice. */
export class JobMap<Value> {
  readonly #types = new Map<string, Map<string, Value>>()

  get({ type, id }: JobName): Value | undefined {
    return this.#types.get(type)?.get(id)
  }

  set({ type, id }: JobName, value: Value): void {
    const ofType = this.#types.get(type) ?? new Map<string, Value>()
    this.#types.set(type, ofType.set(id, value))
  }
}

/** The key of a job that somebody names. Throws `invalid_options` for what is no type, or no id. */
export function checkedKey(type: string, id: string): string {
  checkValue('type', type, rule.text)
  checkValue('id', id, rule.text)
  return jobKey({ type, id })
}

let sequence = 0

/** The length of a UUID in text. */
const uuidLength = 36

/**
 * A new id for the log: the job's id followed directly by a UUID (version 7) of `time`, epoch milliseconds of the
 * storage's clock. Ids that one process makes at one time are ordered as they were made.
 */
export function newExecutionId(jobId: string, time: number): string {
  sequence = (sequence + 1) >>> 0
  return jobId + v7({ msecs: time, seq: sequence })
}

/**
 * The part of an execution's id that the log is ordered by, or `undefined` when `executionId` is no such id. Two of them
 * compare as text.
 */
export function executionOrder(executionId: string): string | undefined {
  const uuid = executionId.slice(-uuidLength)
  return executionId.length > uuidLength && validate(uuid) ? uuid.toLowerCase() : undefined
}

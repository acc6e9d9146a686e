import { v7, validate } from 'uuid'
import { checkValue, rule } from './validation.js'

/** Identifies a job, or a partition of a job. */
interface JobName {
  readonly type: string
  readonly id: string
  readonly partition?: number
}

/** A unique key of a job or a partition, for maps. */
export function jobKey({ type, id, partition }: JobName): string {
  const job = `${type.length}:${type}${id}`
  return partition === undefined ? job : `${partition}/${job}`
}

/** A map by type and id of jobs, and by partition. Two lookups are faster than one in a concatenated key. */
export class JobMap<Value> {
  readonly #types = new Map<string, Map<string, Value>>()
  readonly #partitions = new Map<string, Value>()

  get(job: JobName): Value | undefined {
    if (job.partition !== undefined) return this.#partitions.get(jobKey(job))
    return this.#types.get(job.type)?.get(job.id)
  }

  /** The values of all partitions. */
  get partitions(): Iterable<Value> {
    return this.#partitions.values()
  }

  set(job: JobName, value: Value): void {
    if (job.partition !== undefined) {
      this.#partitions.set(jobKey(job), value)
      return
    }
    const ofType = this.#types.get(job.type) ?? new Map<string, Value>()
    this.#types.set(job.type, ofType.set(job.id, value))
  }
}

/** The key of a job from user input. Throws `invalid_options` when type or id is not valid. */
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
 * storage's clock. Ids that one process makes at one time are in the order of their creation.
 */
export function newExecutionId(jobId: string, time: number): string {
  sequence = (sequence + 1) >>> 0
  return jobId + v7({ msecs: time, seq: sequence })
}

/** The id of the job that an execution belongs to. */
export function jobIdOf(executionId: string): string {
  return executionId.slice(0, -uuidLength)
}

/**
 * The part of an execution's id that orders the log, or `undefined` when `executionId` is not valid. Two of them compare as text.
 */
export function executionOrder(executionId: string): string | undefined {
  const uuid = executionId.slice(-uuidLength)
  return executionId.length > uuidLength && validate(uuid) ? uuid.toLowerCase() : undefined
}

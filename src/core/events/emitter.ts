import { EventEmitter } from 'eventemitter3'
import { invalid, isolate } from '../base/index.js'
import {
  type AbortedStatus,
  type AbortingStatus,
  type ExecutionRecord,
  type FailedStatus,
  type JobStatus,
  type QueuedStatus,
  type RunningStatus,
  type SuccessfulStatus,
  toStatus,
} from '../model/index.js'

/** What a listener receives. The status is frozen and matches storage. */
export interface JobEvent<Status extends JobStatus = JobStatus> {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The status after the change. */
  status: Status
}

/** The events of a registry. */
export interface JobEvents {
  /** Every change of a status: each change of state and each saved progress. */
  status: JobEvent
  /** A job was accepted and is queued. */
  queued: JobEvent<QueuedStatus>
  /** A job began to run. */
  running: JobEvent<RunningStatus>
  /** Count, last id or detail of a running job changed and was saved. */
  progress: JobEvent<RunningStatus | AbortingStatus>
  /** A job was asked to stop. */
  aborting: JobEvent<AbortingStatus>
  /** A job was stopped. */
  aborted: JobEvent<AbortedStatus>
  /** A job failed. `cause` is what it threw, if it ran in this process. */
  error: JobEvent<FailedStatus> & { cause?: unknown }
  /** A job completed its work. */
  successful: JobEvent<SuccessfulStatus>
}

/** The name of an event of a registry. */
export type JobEventName = keyof JobEvents

/** A listener to one kind of event. Its errors and rejections are logged and do not affect the job. */
export type JobListener<Name extends JobEventName = JobEventName> = (event: JobEvents[Name]) => unknown

type AnyListener = (event: never) => unknown
type IsolatedListener = (event: JobEvent) => void

const names: Record<JobEventName, true> = {
  status: true,
  queued: true,
  running: true,
  progress: true,
  aborting: true,
  aborted: true,
  error: true,
  successful: true,
}

/** The name of every event, `status` first. */
export const jobEventNames = Object.keys(names) as readonly JobEventName[]

/** eventemitter3 with isolated listeners: a listener that throws cannot stop other listeners or the job. */
export class IsolatedEmitter {
  readonly #emitter = new EventEmitter()
  readonly #isolated = new WeakMap<AnyListener, IsolatedListener>()
  readonly #report: (error: unknown, event: JobEvent) => void

  constructor(report: (error: unknown, event: JobEvent) => void) {
    this.#report = report
  }

  on<Name extends JobEventName>(name: Name, listener: JobListener<Name>): () => void {
    this.#emitter.on(name, this.#isolate(name, listener))
    return () => this.off(name, listener)
  }

  once<Name extends JobEventName>(name: Name, listener: JobListener<Name>): () => void {
    this.#emitter.once(name, this.#isolate(name, listener))
    return () => this.off(name, listener)
  }

  off<Name extends JobEventName>(name: Name, listener: JobListener<Name>): void {
    const isolated = this.#isolated.get(listener)
    if (isolated) this.#emitter.off(name, isolated)
  }

  emit<Name extends JobEventName>(name: Name, event: JobEvents[Name]): void {
    this.#emitter.emit(name, event)
  }

  /** Whether there are any listeners. */
  get hasListeners(): boolean {
    return this.#emitter.eventNames().length > 0
  }

  #isolate(name: JobEventName, listener: AnyListener): IsolatedListener {
    if (typeof name !== 'string' || !Object.hasOwn(names, name))
      throw invalid('event', `one of ${jobEventNames.join(', ')}`, name)
    if (typeof listener !== 'function') throw invalid('listener', 'a function', listener)
    const known = this.#isolated.get(listener)
    if (known) return known
    const isolated = (event: JobEvent) =>
      isolate(
        () => listener(event as never),
        (error) => this.#report(error, event),
      )
    this.#isolated.set(listener, isolated)
    return isolated
  }
}

/** Emits a change as `status` and as the event of its state. */
export function emitChange(
  emitters: readonly IsolatedEmitter[],
  record: ExecutionRecord,
  change: 'state' | 'progress',
  cause?: unknown,
): void {
  const { type, id, state } = record
  const event = { type, id, status: toStatus(record), ...(cause !== undefined && { cause }) }
  const name: JobEventName = change === 'progress' ? 'progress' : state
  for (const emitter of emitters) {
    emitter.emit('status', event)
    emitter.emit(name, event as never)
  }
}

import { errorMessages, placeOf, read, silentLogger } from '../base/index.js'
import { BatchListeners, emitChange, IsolatedEmitter, type JobEvent } from '../events/index.js'
import { abortReasonOf, type ExecutionRecord, toStatus } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'

/** The listeners of users, isolated from each other and from the jobs. */
export class JobListeners {
  /** Listeners to the executions of this registry. */
  readonly own: IsolatedEmitter
  /** Listeners with the scope `cluster`. */
  readonly cluster: IsolatedEmitter
  readonly batches: BatchListeners
  readonly #runtime: Runtime

  constructor(runtime: Runtime) {
    const report = (error: unknown, { type, id }: Pick<JobEvent, 'type' | 'id'>) =>
      runtime.logger.error({ type, id, error: errorMessages(error) }, `A listener to job [${type}/${id}] threw.`)
    this.#runtime = runtime
    this.own = new IsolatedEmitter(report)
    this.cluster = new IsolatedEmitter(report)
    this.batches = new BatchListeners(report)
  }

  /** Emits what happens in the registry from now on, after the listeners that its parts have subscribed before. */
  subscribe(): void {
    const { events } = this.#runtime
    events.on('changed', (record, change, cause) => this.#emit(record, change, cause))
    events.on('batch', (batch) => this.batches.emit(batch))
  }

  #emit(record: ExecutionRecord, change: 'state' | 'progress', cause: unknown): void {
    if (record.partition !== undefined) return
    this.#log(record, change, cause)
    emitChange([this.own, this.cluster], record, change, cause)
  }

  #log(record: ExecutionRecord, change: 'state' | 'progress', cause: unknown): void {
    const { logger } = this.#runtime
    // The default. An entry that nobody sees would take longer than all other listeners.
    if (logger === silentLogger) return
    const { log: _, ...status } = { log: undefined, ...toStatus(record) }
    const message = `Job [${record.type}/${record.id}] ${whatHappened(record, change)}`
    if (change === 'progress') logger.debug(status, message)
    else if (record.state !== 'error') logger.info(status, message)
    else logger.error({ ...status, ...placeOf(cause), ...stackOf(cause) }, message)
  }
}

/** The stack of what a job threw, if it has one. */
function stackOf(cause: unknown): { stack?: string } {
  const stack = read(cause, 'stack')
  return typeof stack === 'string' ? { stack } : {}
}

function whatHappened(record: ExecutionRecord, change: 'state' | 'progress'): string {
  const { state, count, error = [] } = record
  if (change === 'progress') return `reports progress. Records so far: ${count}.`
  if (state === 'error') return `failed: ${error[0]}`
  const reason = abortReasonOf(record)
  return {
    queued: 'is queued.',
    running: 'runs.',
    aborting: reason === undefined ? 'is aborting.' : `is aborting: ${reason}`,
    aborted: reason === undefined ? 'was aborted.' : `was aborted: ${reason}`,
    successful: 'was successful.',
  }[state]
}

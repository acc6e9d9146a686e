import { chain, errorMessages, placeOf, read, silentLogger } from '../base/index.js'
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
    // Its stack is that of the cause.
    const { log: _, failure: __, ...status } = { log: undefined, failure: undefined, ...toStatus(record) }
    const message = `Job [${record.type}/${record.id}] ${whatHappened(record, change)}`
    if (change === 'progress') logger.debug(status, message)
    else if (record.state !== 'error') logger.info(status, message)
    else logger.error({ ...status, ...placeOf(cause), ...stackOf(cause) }, message)
  }
}

/** Maximum number of stacks in an entry, and of characters of each: together less than an entry keeps of a text. */
const maxStacks = 4
const maxStackLength = 2400

/** The stacks of what a job threw and of its causes, as far as they have one. Of many, the first and the last ones: those of the user. */
function stackOf(cause: unknown): { stack?: string } {
  const stacks = [...chain(cause)].map((link) => read(link, 'stack')).filter((stack) => typeof stack === 'string')
  const shown = stacks.length > maxStacks ? [...stacks.slice(0, 1), ...stacks.slice(1 - maxStacks)] : stacks
  if (shown.length === 0) return {}
  return { stack: shown.map((stack) => stack.slice(0, maxStackLength)).join('\n[cause]: ') }
}

/** The first message, and the last one, which says the reason. */
function reasonIn([first = 'Unknown error.', ...causes]: readonly string[]): string {
  const last = causes.at(-1)
  if (last === undefined) return first
  return `${first}${/[.!?]$/.test(first) ? '' : '.'} Cause: ${last}`
}

function whatHappened(record: ExecutionRecord, change: 'state' | 'progress'): string {
  const { state, count, error = [] } = record
  if (change === 'progress') return `reports progress. Records so far: ${count}.`
  if (state === 'error') return `failed: ${reasonIn(error)}`
  const reason = abortReasonOf(record)
  return {
    queued: 'is queued.',
    running: 'runs.',
    aborting: reason === undefined ? 'is aborting.' : `is aborting: ${reason}`,
    aborted: reason === undefined ? 'was aborted.' : `was aborted: ${reason}`,
    successful: 'was successful.',
  }[state]
}

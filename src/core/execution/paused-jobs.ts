import { executionOrder, JobError, jobKey, Poller } from '../base/index.js'
import type { ExecutionKey } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { featureOf, type JobName, type Pause, type PauseRequest, type PauseScope } from '../storage/index.js'

/** How often the pauses in storage are read, in milliseconds: other processes see a pause within this time. */
const interval = 1000

/** Called when pauses have ended, with a test for whether a job may have been affected. */
type UnpauseListener = (affects: (job: JobName) => boolean) => void

/** Which jobs are paused, as last read from storage. Their schedules, takeovers and queued executions wait. */
export class PausedJobs {
  readonly #runtime: Runtime
  readonly #poller: Poller
  readonly #listeners: UnpauseListener[] = []
  /** By the key of the job. `undefined` until the first read. */
  #pauses: ReadonlyMap<string, Pause> | undefined
  /** How often this registry has changed pauses. A read that began before a change may not have it. */
  #changes = 0

  constructor(runtime: Runtime) {
    this.#runtime = runtime
    // Other calls report that storage does not answer. Until it does, the last pauses hold.
    const onFailed = () => undefined
    this.#poller = new Poller({ clock: runtime.clock, interval, poll: () => this.#read(), onFailed })
  }

  /** Starts to follow the pauses, once this registry has jobs. */
  start(): void {
    if (this.#runtime.storage.pauses) this.#poller.start()
  }

  stop(): void {
    this.#poller.stop()
  }

  /** Calls `listener` when pauses have ended, in any process. */
  onUnpaused(listener: UnpauseListener): void {
    this.#listeners.push(listener)
  }

  /** Waits for the first read, so that a process that restarts starts nothing that is paused. `undefined` when it is done. */
  get pending(): Promise<void> | undefined {
    return this.#pauses || !this.#runtime.storage.pauses ? undefined : this.#read()
  }

  /** The pause of a job, else that of all jobs. */
  of({ type, id }: JobName): Pause | undefined {
    if (!this.#pauses?.size) return undefined
    return this.#pauses.get(jobKey({ type, id })) ?? this.#pauses.get('')
  }

  /**
   * Whether a queued execution waits for the end of a pause. What was accepted during the pause was forced. The partitions of a job
   * that runs belong to it and run too.
   */
  holds({ type, id, partition, executionId }: ExecutionKey): boolean {
    const pause = partition === undefined ? this.of({ type, id }) : undefined
    return pause !== undefined && acceptedAt(executionId) <= pause.since
  }

  /** Throws `paused` when a job is paused, as last read. */
  refuse(job: JobName): void {
    const pause = this.of(job)
    if (pause) throw new JobError('paused', `Job [${job.type}/${job.id}] is paused${describe(pause)}.`)
  }

  /** Throws `paused` when a job is paused, once the pauses are known. */
  async refuseWhenKnown(job: JobName): Promise<void> {
    await this.pending
    this.refuse(job)
  }

  async pause(scope: PauseScope, request: PauseRequest, call: string): Promise<Pause> {
    const pause = await featureOf(this.#runtime.storage, 'pauses', call).pause(scope, request)
    await this.#readChange()
    return pause
  }

  async unpause(scope: PauseScope, call: string): Promise<boolean> {
    const wasPaused = await featureOf(this.#runtime.storage, 'pauses', call).unpause(scope)
    await this.#readChange()
    return wasPaused
  }

  #readChange(): Promise<void> {
    this.#changes++
    return this.#read()
  }

  async #read(): Promise<void> {
    const changes = this.#changes
    const list = (await this.#runtime.storage.pauses?.list()) ?? []
    // The read of the change, or the next one, gives what this one may have missed.
    if (changes === this.#changes) this.#adopt(new Map(list.map((pause) => [keyOf(pause), pause])))
  }

  #adopt(pauses: ReadonlyMap<string, Pause>): void {
    const ended = new Set([...(this.#pauses?.keys() ?? [])].filter((key) => !pauses.has(key)))
    this.#pauses = pauses
    if (ended.size === 0) return
    const affects = (job: JobName) => (ended.has('') || ended.has(jobKey(job))) && !this.of(job)
    for (const listener of this.#listeners) listener(affects)
  }
}

function keyOf({ type, id }: PauseScope): string {
  return type === undefined ? '' : jobKey({ type, id })
}

/** When storage accepted an execution: the first 48 bits of the UUID in its id. */
function acceptedAt(executionId: string): number {
  const uuid = executionOrder(executionId) ?? ''
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16)
}

/** What a message says of a pause, after "is paused". */
function describe({ type, since, reason, by }: Pause): string {
  const scope = type === undefined ? ' with all jobs' : ''
  const person = by === undefined ? '' : ` by ${by}`
  return `${scope} since ${new Date(since).toISOString()}${person}${reason === undefined ? '' : `: ${reason}`}`
}

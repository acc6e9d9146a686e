import type { Outcome } from './_ending.js'
import type { ExecutionHost } from './_host.js'
import { Tenure } from './_tenure.js'
import type { BatchDone } from './batches.js'
import { sleep } from './clock.js'
import { isCausedBy } from './errors.js'
import type { Standing } from './health.js'
import { type Job, type JobContext, type ProgressUpdate, toProgress } from './job.js'
import { warnOf } from './logger.js'
import { giveParts } from './parts.js'
import { backoff, retryPolicyOf } from './retry-policy.js'
import { type EndedStatus, type JobStatus, toStatus } from './status.js'
import type { BeginRequest, ExecutionRecord, Lease } from './storage.js'

/** A started execution, as `registry.start` gives it. */
export interface StartedExecution {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The id of this execution in the log. */
  readonly executionId: string
  /** The status, as storage was last seen to hold it. */
  readonly status: JobStatus
  /** Resolves with the final status, also of a job that failed or was aborted. Never rejects. */
  readonly finished: Promise<EndedStatus>
}

/** The orphan that an execution goes on from. */
export type Takeover = Required<Pick<BeginRequest, 'resumedFrom' | 'takeovers'>>

/**
 * What it is to go on from an orphan: one more node in a row is lost, unless the job had come on, or the node was closed,
 * of which no job is the cause.
 */
export function takeoverOf({ executionId, state, count, checkpoint, takeovers = 0 }: ExecutionRecord): Takeover {
  const hasComeOn = count > 0 && checkpoint !== undefined
  const lost = state === 'error' ? 1 : 0
  return { resumedFrom: executionId, takeovers: hasComeOn ? 0 : takeovers + lost }
}

/**
 * One run of a job, from its place in the line to its end. User code, storage and listeners are kept apart: none can fail
 * the other.
 */
export class Execution implements StartedExecution {
  readonly type: string
  readonly id: string
  readonly finished: Promise<EndedStatus>
  /** Resolves as soon as it is known whether the lease was given. Never rejects. */
  readonly held: Promise<boolean>
  readonly #job: Job
  readonly #host: ExecutionHost
  #end!: (status: EndedStatus) => void
  #settleHeld!: (isHeld: boolean) => void
  #tenure!: Tenure
  #running: Promise<void> | undefined

  constructor(job: Job, host: ExecutionHost) {
    this.type = job.type
    this.id = job.id
    this.#job = job
    this.#host = host
    this.finished = new Promise((resolve) => {
      this.#end = resolve
    })
    this.held = new Promise((resolve) => {
      this.#settleHeld = resolve
    })
  }

  /**
   * Begins a new execution when `inTurn` lets it ask storage: its lease holds from then on. Throws `already_running` when
   * another one stands in the way, and what `inTurn` throws.
   */
  async begin(
    request: Pick<BeginRequest, 'state' | 'scheduledFor'> & Partial<Takeover>,
    inTurn: (ask: () => Promise<Tenure>) => Promise<Tenure>,
  ): Promise<void> {
    const { type, id } = this
    await this.#hold(inTurn(() => Tenure.begin(this.#host, { type, id, ...request })))
  }

  /** Takes an execution that waits for any node. Tells whether it could be had. */
  take(waiting: Lease): Promise<boolean> {
    return this.#hold(Tenure.take(this.#host, waiting, this))
  }

  async #hold(asked: Promise<Tenure | undefined>): Promise<boolean> {
    let tenure: Tenure | undefined
    try {
      tenure = await asked
      if (!tenure) return false
      this.#tenure = tenure
      if (this.#job.resume === 'restart') tenure.say({ checkpoint: null })
      return true
    } finally {
      this.#settleHeld(tenure !== undefined)
    }
  }

  /** Takes in what storage says of this execution. */
  adopt(answer: ExecutionRecord): void {
    this.#tenure.adopt(answer)
  }

  /** Stops the job although storage could not be told. */
  stop(): void {
    this.#tenure.stop()
  }

  /** Stops the job as its node closes, if it is one that others go on with. Tells whether it is. */
  handBack(): boolean {
    if (this.#job.resume !== 'auto') return false
    this.#tenure.handBack()
    return true
  }

  /** Asks storage at once whether this execution is to go on. */
  async look(): Promise<void> {
    if (await this.held) await this.#tenure.look()
  }

  /** Aborts when it is to stop. */
  get signal(): AbortSignal {
    return this.#tenure.signal
  }

  /** Whether it is the one of that id. */
  is(executionId: string): boolean {
    const tenure: Tenure | undefined = this.#tenure
    return tenure?.record.executionId === executionId
  }

  /** What storage was last seen to hold of it. */
  get record(): ExecutionRecord {
    return this.#tenure.record
  }

  get executionId(): string {
    return this.#tenure.record.executionId
  }

  get status(): JobStatus {
    return toStatus(this.#tenure.record)
  }

  /** Where it stands, once the lease was given. */
  get standing(): Standing | undefined {
    const tenure: Tenure | undefined = this.#tenure
    return tenure && { state: tenure.record.state, leaseAge: tenure.leaseAge }
  }

  /** It has its turn: does the work, to its end. It works once, however often it has its turn. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#run()
    return this.#running
  }

  async #run(): Promise<void> {
    const outcome = await this.#outcome()
    const record = await this.#tenure.end(outcome)
    try {
      this.#host.changed(record, 'state', outcome.error)
    } finally {
      this.#end(toStatus(record))
    }
  }

  /** What became of the work: whatever is thrown on the way is a failure of the job, so that it always ends. */
  async #outcome(): Promise<Outcome> {
    try {
      if (this.#tenure.record.state === 'queued') await this.#tenure.leaveQueue()
      return await this.#perform()
    } catch (error) {
      return { move: 'fail', error }
    }
  }

  /** Does the work, again where that may help. */
  async #perform(): Promise<Outcome> {
    const { clock } = this.#host
    const { limit, delay, maxDelay, isTransient } = retryPolicyOf(this.#job)
    let farthest = this.#tenure.reached
    for (let failures = 1; ; failures++) {
      const outcome = await this.#attempt()
      if (outcome.move !== 'fail') return outcome
      const reached = this.#tenure.reached
      if (hasComeOn(farthest, reached)) failures = 1
      farthest = { ...reached, count: Math.max(farthest.count, reached.count) }
      if (this.#tenure.signal.aborted || failures > limit || !says(isTransient, outcome.error)) return outcome
      const pause = backoff(failures, { delay, maxDelay })
      warnOf(this.#host.logger, this, outcome.error, `failed for the moment, is tried again in ${pause} ms`)
      await sleep(clock, pause, this.#tenure.signal)
    }
  }

  async #attempt(): Promise<Outcome> {
    const { signal } = this.#tenure
    const isAborted = () => signal.aborted && signal.reason.code === 'aborted'
    try {
      signal.throwIfAborted()
      const answer = await this.#job.run(this.#context())
      if (!signal.aborted || answer === 'completed') return { move: 'complete' }
      return isAborted() ? { move: 'stop' } : { move: 'fail', error: signal.reason }
    } catch (error) {
      if (isAborted() && isCausedBy(error, signal.reason)) return { move: 'stop' }
      return { move: 'fail', error }
    }
  }

  #context(): JobContext {
    const { clock, logger, redactor, progressInterval } = this.#host
    const { record, reached, signal } = this.#tenure
    const { type, id, executionId } = record
    const progress = (update: ProgressUpdate) => this.#tenure.say(toProgress(update))
    const parts = this.#host.partsOf(this)
    const batchDone = ({ records, duration }: BatchDone) =>
      this.#host.batchDone({ type, id, executionId: parts.wholeId ?? executionId, records, duration })
    const save = () => this.#tenure.save()
    const isHeld = () => this.#tenure.isHeld
    const said = { progress, batchDone, save, progressInterval }
    const context = { type, id, executionId, signal, isHeld, ...reached, ...said, clock, logger, redactor }
    giveParts(context, parts)
    return context
  }
}

/** Whether a job came farther than ever: by its count, or by a checkpoint to go on from. */
function hasComeOn(farthest: Tenure['reached'], { count, checkpoint }: Tenure['reached']): boolean {
  if (count > farthest.count) return true
  return checkpoint !== undefined && JSON.stringify(checkpoint) !== JSON.stringify(farthest.checkpoint)
}

/** What the user's own test says: one that throws says no. */
function says(isTransient: (error: unknown) => boolean, error: unknown): boolean {
  try {
    return isTransient(error)
  } catch {
    return false
  }
}

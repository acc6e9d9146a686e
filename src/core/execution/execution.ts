import {
  checkDone,
  deferred,
  frozenCopy,
  isCausedBy,
  isolate,
  JobError,
  setLongTimer,
  sleep,
  type Timer,
  warnOf,
} from '../base/index.js'
import {
  type BatchDone,
  backoff,
  type EndedStatus,
  type ExecutionRecord,
  type FailedAttempt,
  failureLimits,
  type JobDetail,
  type JobParams,
  type JobState,
  type JobStatus,
  keyOf,
  type ProgressUpdate,
  retryPolicyOf,
  toProgress,
  toStatus,
} from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import type { Outcome } from './ending.js'
import type { ExecutionLease } from './execution-lease.js'
import { failedAttempt } from './failure.js'
import {
  checkParams,
  type ExecutionContext,
  type LibraryJob,
  type Partitions,
  restartCheckpointOf,
  statusOf,
} from './partitions.js'

/** A started execution, as `registry.start` returns it. */
export interface StartedExecution<Detail extends object = JobDetail> {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The id of this execution in the log. */
  readonly executionId: string
  /** The status, as last seen in storage. */
  readonly status: JobStatus<Detail>
  /** Resolves with the final status, also when the job failed or was aborted. Never rejects. */
  readonly finished: Promise<EndedStatus<Detail>>
}

/**
 * One run of a job, from the queue to its end. User code, storage and listeners are isolated: an error in one does not affect the
 * others.
 */
export class Execution implements StartedExecution {
  readonly type: string
  readonly id: string
  /** The number of the partition, if it is one. */
  readonly partition?: number
  readonly executionId: string
  readonly #job: LibraryJob
  readonly #lease: ExecutionLease
  readonly #partitions: Partitions
  readonly #runtime: Runtime
  readonly #ended = deferred<EndedStatus>()
  readonly #warned = new Set<string>()
  #params: JobParams | undefined
  #attempts = 0
  #running: Promise<void> | undefined

  constructor(job: LibraryJob, lease: ExecutionLease, partitions: Partitions, runtime: Runtime) {
    this.type = job.type
    this.id = job.id
    if (job.partition !== undefined) this.partition = job.partition
    this.executionId = lease.record.executionId
    this.#job = job
    this.#lease = lease
    this.#partitions = partitions
    this.#runtime = runtime
    if (job.resume === 'restart') lease.report({ checkpoint: restartCheckpointOf(job, lease.record.checkpoint) })
  }

  /** Adopts the answer of storage. */
  adopt(answer: ExecutionRecord): void {
    this.#lease.adopt(answer)
  }

  /** Stops the job because its registry closes, even if storage could not be updated. */
  stop(): void {
    this.#lease.stop()
  }

  /** Stops the job because its node closes, if another node may resume it. Returns whether one may. */
  release(): boolean {
    if (this.#job.resume !== 'auto') return false
    this.#lease.release()
    return true
  }

  /** Asks storage at once whether the execution may continue. */
  checkLease(): Promise<void> {
    return this.#lease.refresh()
  }

  /** Aborts when the job must stop. */
  get signal(): AbortSignal {
    return this.#lease.signal
  }

  get finished(): Promise<EndedStatus> {
    return this.#ended.promise
  }

  /** The record, as last seen in storage. */
  get record(): ExecutionRecord {
    return this.#lease.record
  }

  get status(): JobStatus {
    return statusOf(this.#lease.record, this.#job)
  }

  get health(): ExecutionHealth {
    return { state: this.#lease.record.state, leaseAge: this.#lease.leaseAge }
  }

  /** Runs the job to its end. Further calls wait for the same run. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#outcome().then((outcome) => this.#finish(outcome))
    return this.#running
  }

  /** Ends a queued job that cannot run. Never rejects. */
  fail(error: unknown): Promise<void> {
    this.#running ??= this.#finish({ move: 'fail', error })
    return this.#running
  }

  async #finish(outcome: Outcome): Promise<void> {
    this.#runtime.events.emit('ending', this.#lease.record, outcome.error)
    const record = await this.#lease.end(outcome)
    try {
      this.#runtime.events.emit('changed', record, 'state', outcome.error)
    } finally {
      this.#ended.resolve(toStatus(record))
    }
  }

  /** The outcome of the work. Any error on the way is a failure of the job, so that it always ends. */
  async #outcome(): Promise<Outcome> {
    try {
      if (this.#lease.record.state === 'queued') await this.#lease.leaveQueue()
      return await this.#withinDuration(() => this.#perform())
    } catch (error) {
      return { move: 'fail', error }
    }
  }

  /** Cancels the work when it takes longer than the job allows. */
  #withinDuration<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    const { maxDuration } = this.#job
    return maxDuration === undefined ? work() : this.#limited(maxDuration, work)
  }

  async #limited<Answer>(maxDuration: number, work: () => Promise<Answer>): Promise<Answer> {
    const { clock } = this.#runtime
    let late: Timer | undefined
    const cancel = () => {
      if (this.signal.aborted) return
      this.#lease.cancel(tooLong(maxDuration))
      late = clock.setTimer(stopTime, () => this.#warnOnce(notStopped(maxDuration)), { background: true })
    }
    const stopWaiting = setLongTimer(clock, maxDuration, cancel)
    try {
      return await work()
    } finally {
      stopWaiting()
      late?.cancel()
    }
  }

  /** Does the work, with retries. */
  async #perform(): Promise<Outcome> {
    const { clock } = this.#runtime
    const { limit, delay, maxDelay, isTransient } = retryPolicyOf(this.#job)
    let best = this.#reached
    const retries: FailedAttempt[] = []
    for (let failures = 1; ; failures++) {
      const outcome = await this.#attempt()
      if (outcome.move !== 'fail') return outcome
      const isRetryable = this.#isRetryable(isTransient, outcome.error)
      const reached = this.#reached
      if (hasProgressed(best, reached)) failures = 1
      best = bestOf(best, reached)
      if (this.#lease.signal.aborted || failures > limit || !isRetryable)
        return { ...outcome, isTransient: isRetryable, attempts: this.#attempts, retries }
      retries.push(failedAttempt(clock.now(), outcome.error, this.#runtime.redactor))
      if (retries.length > failureLimits.retries) retries.shift()
      const pause = backoff(failures, { delay, maxDelay })
      warnOf(this.#runtime.logger, this, outcome.error, `failed with a transient error, retrying in ${pause} ms`)
      await sleep(clock, pause, this.#lease.signal)
    }
  }

  get #reached(): Reached {
    const { count, checkpoint } = this.#lease.progress
    const distance = this.#job.distanceOf?.(checkpoint)
    if (this.#job.repeatsRecords && distance !== undefined) return { count: 0, distance }
    return { count, ...(distance === undefined ? { checkpoint: JSON.stringify(checkpoint) } : { distance }) }
  }

  /** The result of the job's own test. A test that throws counts as `false`. */
  #isRetryable(isTransient: (error: unknown) => boolean, error: unknown): boolean {
    try {
      return isTransient(error)
    } catch (failure) {
      warnOf(this.#runtime.logger, this, failure, 'could not tell whether its error is transient and is not retried')
      return false
    }
  }

  async #attempt(): Promise<Outcome> {
    this.#attempts++
    const { signal } = this.#lease
    const isAborted = () => signal.aborted && signal.reason.code === 'aborted'
    let isComplete = false
    const complete = () => {
      isComplete = true
    }
    try {
      signal.throwIfAborted()
      const params = this.#params ?? this.#validParams()
      // An attempt that changed them would change them for the next one.
      this.#params ??= frozenCopy(params instanceof Promise ? await params : params)
      const answer: unknown = await this.#job.run(this.#context(complete, this.#params))
      checkDone('invalid_options', '`run` of the job', answer)
      if (!signal.aborted || isComplete) return { move: 'complete' }
      return isAborted() ? { move: 'stop' } : { move: 'fail', error: signal.reason }
    } catch (error) {
      if (isAborted() && isCausedBy(error, signal.reason)) return { move: 'stop' }
      return { move: 'fail', error: explained(error, signal) }
    }
  }

  async #earlier(): Promise<readonly ExecutionRecord[]> {
    const { hits } = await this.#runtime.storage.search({ ...keyOf(this), size: 10 })
    return hits.filter(({ executionId }) => executionId !== this.executionId)
  }

  #warnOnce(message: string): void {
    if (this.#warned.has(message)) return
    this.#warned.add(message)
    const { executionId } = this
    this.#runtime.logger.warn({ ...keyOf(this), executionId }, `Job [${this.type}/${this.id}]: ${message}`)
  }

  /** The parameters in storage are those of a start, which another version of the job may have accepted. */
  #validParams(): JobParams | Promise<JobParams> {
    const refuse = (cause: unknown): never => {
      const message = 'The parameters of this execution do not fit the job as it is defined here.'
      throw new JobError('invalid_options', message, { cause, isTransient: false })
    }
    try {
      const params = checkParams(this.#job, this.#lease.record.params ?? {})
      return params instanceof Promise ? params.catch(refuse) : params
    } catch (error) {
      return refuse(error)
    }
  }

  #context(complete: () => void, params: JobParams): ExecutionContext {
    const { clock, logger, redactor, progressInterval } = this.#runtime
    const { type, id, executionId } = this
    const { progress: reached, record, signal } = this.#lease
    const { count, checkpoint, detail } = reached
    const partitions = this.#partitions
    const emitBatch = ({ records, duration }: BatchDone): void => {
      if (!Number.isFinite(records) || !Number.isFinite(duration)) throw new TypeError(badBatch)
      const batch = { type, id, executionId: partitions.parentId ?? executionId, records, duration }
      this.#runtime.events.emit('batch', batch)
    }
    const refuseBatch = () => this.#warnOnce(badBatch)
    const batchDone = (batch: BatchDone): void => isolate(() => emitBatch(batch), refuseBatch)
    return {
      type,
      id,
      executionId,
      attempt: this.#attempts,
      params,
      status: toStatus({ ...record, count, ...(detail && { detail }) }),
      signal,
      count,
      checkpoint,
      detail,
      progressInterval,
      clock,
      logger,
      redactor,
      partitions,
      progress: (update: ProgressUpdate) => this.#lease.report(toProgress(update)),
      batchDone,
      log: (text) => this.#lease.log(text),
      logFrom: (time, text) => this.#lease.log(text, Number.isFinite(time) ? time : undefined),
      save: () => this.#lease.save(),
      complete,
      isHeld: () => this.#lease.isHeld,
      earlier: () => this.#earlier(),
      warnOnce: (message) => this.#warnOnce(message),
      ...(this.partition !== undefined && { partition: this.partition }),
    }
  }
}

const badBatch = 'A batch was not emitted. Expected `batchDone` to get `{ records, duration }`, two numbers.'

/** How long a job may take to stop after `maxDuration` before the log says that it ignores its signal, in milliseconds. */
const stopTime = 10_000

function notStopped(maxDuration: number): string {
  return (
    `It ran longer than \`maxDuration\`, ${maxDuration} ms, and has not stopped within ${stopTime} ms after that: it keeps its slot until it ` +
    'ends. Pass its `signal` on to what it waits for.'
  )
}

function tooLong(maxDuration: number): JobError {
  return new JobError('max_duration', `The job ran longer than \`maxDuration\`, ${maxDuration} ms.`, {
    isTransient: false,
  })
}

/** The error of a job that was cancelled for its duration says so first, whatever the job threw while it stopped. */
function explained(error: unknown, { aborted, reason }: AbortSignal): unknown {
  if (!aborted || reason.code !== 'max_duration') return error
  return isCausedBy(error, reason)
    ? reason
    : new JobError(reason.code, reason.message, { cause: error, isTransient: false })
}

/** How far an execution is: its count, and its checkpoint as JSON or as the distance that its job tells. */
interface Reached {
  readonly count: number
  readonly checkpoint?: string | undefined
  readonly distance?: number
}

/** Whether the job made progress: its count is higher than ever, or its checkpoint is further than ever or another one. */
function hasProgressed(best: Reached, { count, checkpoint, distance = 0 }: Reached): boolean {
  if (count > best.count || distance > (best.distance ?? 0)) return true
  return checkpoint !== undefined && checkpoint !== best.checkpoint
}

function bestOf(best: Reached, reached: Reached): Reached {
  const { distance = 0 } = reached
  return {
    ...reached,
    count: Math.max(best.count, reached.count),
    distance: Math.max(best.distance ?? 0, distance),
  }
}

/** The state of an execution, for the health of its registry. */
export interface ExecutionHealth {
  readonly state: JobState
  /** Age of its last lease renewal, in milliseconds. */
  readonly leaseAge: number
}

import {
  alreadyRunning,
  createAbortController,
  errorMessages,
  errorOf,
  isRefused,
  JobError,
  jobKey,
  leaseLost,
  retry,
  sleep,
  type Timer,
  warnOf,
} from '../base/index.js'
import {
  closedReason,
  type EndedStatus,
  type ExecutionRecord,
  hasSameProgress,
  isEnded,
  type JobKey,
  jobStates,
  type Progress,
} from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { type BeginRequest, type FinishRequest, findEnded, type LeaseToken } from '../storage/index.js'
import { endingOf, lostEnding, missingEnding, type Outcome } from './ending.js'
import { canMove, type LeaseState } from './lease-state.js'
import { LeaseTiming } from './lease-timing.js'
import { LogTail } from './log-tail.js'
import type { ExecutionContext } from './partitions.js'
import { ProgressBuffer } from './progress-buffer.js'

/** For how many leases a storage may reject the end of an execution with an error that is neither transient nor a refusal. */
const endPatience = 3

/** An ended execution, as storage holds it. */
export type EndedRecord = ExecutionRecord & { state: EndedStatus['state'] }

/**
 * The lease of an execution, from `begin` to the end: renews itself, saves progress, and receives abort requests. Storage decides
 * the state: its answers are adopted, and then emitted.
 */
export class ExecutionLease {
  readonly #runtime: Runtime
  readonly #stop = createAbortController()
  readonly #log: LogTail
  readonly #progress: ProgressBuffer
  readonly #timing: LeaseTiming
  #record: ExecutionRecord
  #state: LeaseState = 'running'
  #isReleased = false
  /** Why the last save failed, if none has succeeded since. */
  #failure: unknown
  #saving: Promise<void> | undefined
  #heartbeat: Timer | undefined

  private constructor(runtime: Runtime, record: ExecutionRecord, grantedAt: number) {
    this.#runtime = runtime
    this.#record = record
    this.#log = new LogTail(runtime)
    this.#progress = new ProgressBuffer(this.#log)
    this.#timing = new LeaseTiming(runtime, grantedAt)
  }

  /** Begins an execution. Throws `already_running` when the job has a live one. */
  static async begin(runtime: Runtime, request: Omit<BeginRequest, 'node' | 'lease'>): Promise<ExecutionLease> {
    const { storage, node, lease, clock } = runtime
    const askedAt = clock.now()
    const { started, execution } = await storage.begin({ ...request, node, lease })
    if (!started) throw alreadyRunning(execution)
    return ExecutionLease.#start(runtime, execution, askedAt)
  }

  /**
   * Claims an unclaimed execution of a job. Returns `undefined` when another node has claimed it, or it has ended. An execution that a
   * shared queue lists under the wrong job is ended at once, as an orphan: it must not run under this name.
   */
  static async claim(runtime: Runtime, waiting: LeaseToken, job: JobKey): Promise<ExecutionLease | undefined> {
    const { storage, node, lease, clock } = runtime
    const askedAt = clock.now()
    const record = await storage.claim(waiting, { node, lease })
    if (!record || jobKey(record) === jobKey(job)) return record && ExecutionLease.#start(runtime, record, askedAt)
    const error = [`The queue listed this execution under job [${job.type}/${job.id}].`]
    const ended = await storage.finish(record, { state: 'error', error, isOrphaned: true })
    if (ended) runtime.events.emit('changed', ended, 'state')
    return undefined
  }

  static #start(runtime: Runtime, record: ExecutionRecord, askedAt: number): ExecutionLease {
    const lease = new ExecutionLease(runtime, record, askedAt)
    runtime.events.emit('changed', record, 'state')
    lease.#scheduleHeartbeat()
    lease.adopt(record)
    return lease
  }

  /** The execution, as last seen in storage. */
  get record(): ExecutionRecord {
    return this.#record
  }

  /** Aborts when the job must stop, with `aborted` or `lease_lost`. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** Age of the last lease renewal, in milliseconds. */
  get leaseAge(): number {
    return this.#timing.age
  }

  /**
   * Whether the lease certainly holds. A process that was suspended detects the loss here before its timers fire. An ended execution
   * has no lease.
   */
  get isHeld(): boolean {
    if (this.#isActive && this.#timing.isExpired) this.#lose()
    return this.#isActive
  }

  /** The last reported progress, or that of the execution before this one. */
  get progress(): Pick<ExecutionContext, 'count' | 'checkpoint' | 'detail'> {
    const { count = 0, checkpoint = this.#record.checkpoint, detail } = this.#progress.reported
    return { count, checkpoint: copyOf(checkpoint ?? undefined), detail: copyOf(detail) }
  }

  /** Accepts reported progress, and saves it when it is due. */
  report(progress: Progress): void {
    if (this.#state === 'ending') return
    this.#progress.add(progress)
    this.#saveWhenDue()
  }

  /** Keeps a line. The next save of progress or of the lease has it: lines alone save nothing at once. */
  log(text: unknown, at?: number): void {
    if (this.#state !== 'ending') this.#log.add(text, at)
  }

  /**
   * Saves reported progress, with retries. Throws the reason of `signal` when the lease is lost, or when storage fails while the job is
   * aborting, and `lease_lost` once the job has ended.
   */
  save(): Promise<void> {
    const saved = this.#saveAll()
    // A job that does not await it must not end the process.
    saved.catch(() => undefined)
    return saved
  }

  async #saveAll(): Promise<void> {
    if (this.#state === 'ending') throw leaseLost()
    while ((this.#progress.hasUnsaved || this.#saving) && this.isHeld) {
      // A job that is aborted in the meantime waits for the current try, and not for retries.
      await this.#save()
      if (!this.#timing.hasFailed) continue
      this.signal.throwIfAborted()
      await sleep(this.#runtime.clock, this.#timing.pause, this.signal)
    }
    if (this.#state === 'lost') this.signal.throwIfAborted()
    if (this.#progress.hasUnsaved) throw leaseLost()
  }

  /**
   * Adopts the answer of storage, with the progress that was just saved. `undefined` means that the lease is lost. Answers may arrive out of
   * order: none moves state or progress back.
   */
  adopt(answer: ExecutionRecord | undefined, saved: Progress = {}): void {
    const known = this.#record
    if (!answer) this.#lose()
    if (!answer || isEnded(known.state) || isEnded(answer.state)) return
    const state = jobStates.indexOf(answer.state) < jobStates.indexOf(known.state) ? known.state : answer.state
    const startTime = Math.max(known.startTime, answer.startTime)
    const leaseUntil = Math.max(known.leaseUntil ?? 0, answer.leaseUntil ?? 0)
    const { abortReason = known.abortReason } = answer
    this.#record = {
      ...known,
      ...saved,
      state,
      startTime,
      leaseUntil,
      ...(abortReason !== undefined && { abortReason }),
    }
    const hasMoved = !hasSameProgress(this.#record, known)
    if (state !== known.state) this.#runtime.events.emit('changed', this.#record, 'state')
    else if (hasMoved) this.#runtime.events.emit('changed', this.#record, 'progress')
    if (state !== 'aborting') return
    this.#enter('stopping')
    this.#stop.abort(new JobError('aborted', 'The job was asked to stop.'))
  }

  /** Stops the job because its registry closes, even if storage could not be updated. */
  stop(): void {
    if (this.#record.state !== 'aborting') this.adopt({ ...this.#record, state: 'aborting', abortReason: closedReason })
  }

  /** Stops the job because it has failed by what is no error of its own, such as a time limit. Its lease stays until it has stopped. */
  cancel(reason: JobError): void {
    this.#stop.abort(reason)
  }

  /** Stops the job because its node closes. Storage makes it an orphan, unless an abort was requested. */
  release(): void {
    this.#isReleased = true
    this.stop()
  }

  /** Asks storage at once whether the execution may continue. */
  async refresh(): Promise<void> {
    // The answer of a save that is under way may be outdated.
    await this.#saving
    if (this.#state !== 'ending') await this.#save()
  }

  /** Leaves the queue: the execution begins to run, unless it was aborted. */
  async leaveQueue(): Promise<void> {
    await this.#saving
    const lasts = this.#timing.lastsFor(1)
    const isHopeless = (error: unknown) => !this.isHeld || this.signal.aborted || lasts(error)
    try {
      this.adopt(await this.#untilStored(() => this.#runtime.storage.run(this.#token), isHopeless))
    } catch (error) {
      if (!this.signal.aborted) throw error
    }
  }

  /**
   * Ends the execution in storage, with retries. Returns it as storage holds it. When storage still rejects the end after the lease, because
   * it is full or broken for example, the execution has failed: storage later shows that its lease expired.
   */
  async end(outcome: Outcome): Promise<EndedRecord> {
    this.#enter('ending')
    await this.#saving
    const { storage, clock, abandoned } = this.#runtime
    const request = { ...this.#progress.take(), ...this.#endingOf(outcome) }
    const lasts = this.#timing.lastsFor(endPatience)
    const isHopeless = (error: unknown) => this.#timing.isExpired && (isRefused(error) || lasts(error))
    try {
      const finished = await this.#untilStored(() => storage.finish(this.#token, request), isHopeless)
      // Already settled: the answer of storage was lost, or another node treated this execution as dead.
      const settled = finished ?? (await this.#untilStored(() => findEnded(storage, this.#record), isHopeless))
      const unsettled = {
        ...this.#record,
        ...(abandoned.aborted ? request : missingEnding(this.#record, this.#failure, this.#runtime.redactor)),
        endTime: clock.now(),
      }
      return this.#settle((settled ?? unsettled) as EndedRecord)
    } catch (error) {
      return this.#endUnstored(error)
    }
  }

  #endUnstored(refusal: unknown): EndedRecord {
    errorOf(this.#runtime.logger, this.#record, refusal, 'could not store how the job ended')
    const error = ['The storage rejected the end of the job.', ...errorMessages(refusal, this.#runtime.redactor)]
    return this.#settle({ ...this.#record, ...this.#lostEnding, error, endTime: this.#runtime.clock.now() })
  }

  #settle(record: EndedRecord): EndedRecord {
    this.#record = record
    return record
  }

  get #token(): LeaseToken {
    return { executionId: this.#record.executionId, epoch: this.#record.epoch }
  }

  get #lostEnding() {
    return lostEnding(this.#record)
  }

  #endingOf(outcome: Outcome): FinishRequest {
    const { signal } = this.#stop
    const { redactor } = this.#runtime
    const isLost = this.#state === 'lost'
    return endingOf(outcome, {
      record: this.#record,
      reason: signal.reason,
      redactor,
      isLost,
      isReleased: this.#isReleased,
    })
  }

  /** Other nodes may resume this execution from now on: it saves nothing more, and stops. */
  #lose(): void {
    this.#enter('lost')
    this.#stop.abort(leaseLost())
  }

  /** Whether the job runs, and its lease was not lost so far. */
  get #isActive(): boolean {
    return this.#state === 'running' || this.#state === 'stopping'
  }

  #enter(state: LeaseState): void {
    if (!canMove(this.#state, state)) return
    this.#state = state
    if (!this.#isActive) this.#heartbeat?.cancel()
  }

  #scheduleHeartbeat(): void {
    const { clock, abandoned } = this.#runtime
    if (abandoned.aborted) return
    this.#heartbeat = clock.setTimer(this.#timing.untilNext, () => this.#beat(), { background: true })
  }

  #beat(): void {
    this.#timing.checkClock()
    if (this.#timing.isExpired) {
      this.#lose()
      return
    }
    // Lines alone are saved here only: a job may log thousands per second.
    const isSaveDue = this.#progress.hasUnsavedWork && this.#timing.isSaveDue
    if (this.#timing.isRenewalDue || isSaveDue) void this.#save()
    this.#scheduleHeartbeat()
  }

  #saveWhenDue(): void {
    if (this.#progress.hasUnsaved && this.#timing.isSaveDue) void this.#save()
  }

  #save(): Promise<void> {
    if (this.#state === 'lost') return Promise.resolve()
    this.#saving ??= this.#saveNow().finally(() => {
      this.#saving = undefined
      if (this.#state !== 'ending' && !this.#timing.hasFailed) this.#saveWhenDue()
    })
    return this.#saving
  }

  async #saveNow(): Promise<void> {
    const { storage, lease } = this.#runtime
    const progress = this.#progress.take()
    const triedAt = this.#timing.try()
    try {
      const record = await storage.renew(this.#token, { ...progress, lease })
      this.#timing.succeed(triedAt)
      if (record) this.#failure = undefined
      this.adopt(record, progress)
    } catch (error) {
      this.#timing.fail()
      this.#failure = error
      this.#progress.putBack(progress)
      this.#warn(error, 'could not save progress')
    }
  }

  /** Calls storage until it answers. Throws the error that is hopeless. `undefined` when the registry gave up. */
  async #untilStored<Answer>(
    ask: () => Promise<Answer>,
    isHopeless: (error: unknown) => boolean,
  ): Promise<Answer | undefined> {
    const { clock, lease, abandoned } = this.#runtime
    const onFailed = (error: unknown, delay: number) =>
      this.#warn(error, `cannot reach storage, retrying in ${delay} ms`)
    let hopeless: unknown
    const givesUp = (error: unknown) => {
      if (isHopeless(error)) hopeless = error
      return hopeless !== undefined
    }
    const answer = await retry(ask, { clock, lease, abandoned, isHopeless: givesUp, onFailed })
    if (hopeless !== undefined) throw hopeless
    return answer
  }

  #warn(error: unknown, message: string): void {
    warnOf(this.#runtime.logger, this.#record, error, message)
  }
}

/** A copy, because a job may change what it is given. */
function copyOf<Value>(value: Value): Value {
  return value === undefined ? value : structuredClone(value)
}

import { endingOf, lostEnding, type Outcome } from './_ending.js'
import { findEnded } from './_find-ended.js'
import type { ExecutionHost } from './_host.js'
import { pauseAfter, retry } from './_retry.js'
import { createAbortController } from './abort.js'
import { sleep, type Timer } from './clock.js'
import { alreadyRunning, errorMessages, JobError, leaseLost } from './errors.js'
import type { JobContext } from './job.js'
import { isEnded, jobStates } from './lifecycle.js'
import { warnOf } from './logger.js'
import { areAlike, type EndedStatus } from './status.js'
import type { BeginRequest, ExecutionRecord, FinishRequest, Lease, Progress } from './storage.js'
import { isRefused } from './transient.js'

/** An execution that has ended, as storage holds it. */
export type EndedRecord = ExecutionRecord & { state: EndedStatus['state'] }

/** A lease is renewed this many times while it holds. */
const renewals = 3

/**
 * The hold of an execution on its record in storage, from `begin` to the end: renews the lease, saves progress, and hears
 * of aborts. Storage alone says what the state is: its answers are adopted, and then announced.
 */
export class Tenure {
  readonly #host: ExecutionHost
  readonly #stop = createAbortController()
  #record: ExecutionRecord
  /** All that the job has said. */
  #said: Progress = {}
  #unsaved: Progress | undefined
  #saving: Promise<void> | undefined
  #triedAt: number
  /** How often in a row storage did not take a save. */
  #failures = 0
  #keptAt: number
  #heartbeat: Timer | undefined
  #isLost = false
  #isEnding = false
  #isHandedBack = false

  private constructor(host: ExecutionHost, record: ExecutionRecord, keptAt: number) {
    this.#host = host
    this.#record = record
    this.#triedAt = this.#keptAt = keptAt
  }

  /** Begins an execution. Throws `already_running` when another one stands in its way. */
  static async begin(host: ExecutionHost, request: Omit<BeginRequest, 'node' | 'lease'>): Promise<Tenure> {
    const { storage, node, lease, clock } = host
    const askedAt = clock.now()
    const { started, execution } = await storage.begin({ ...request, node, lease })
    if (!started) throw alreadyRunning(execution)
    return Tenure.#hold(host, execution, askedAt)
  }

  /**
   * Takes an execution of a job that waits for any node. Gives `undefined` when another one has it, or it has ended. One of
   * another job, by what a shared line says, is ended at once, as an orphan: it must not run under this name.
   */
  static async take(
    host: ExecutionHost,
    waiting: Lease,
    job: Pick<ExecutionRecord, 'type' | 'id'>,
  ): Promise<Tenure | undefined> {
    const { storage, node, lease, clock } = host
    const askedAt = clock.now()
    const record = await storage.save(waiting, { state: 'running', node, lease })
    if (!record || (record.type === job.type && record.id === job.id))
      return record && Tenure.#hold(host, record, askedAt)
    const error = [`The line said that this is an execution of job [${job.type}/${job.id}].`]
    const ended = await storage.finish(record, { state: 'error', error, isOrphaned: true })
    if (ended) host.changed(ended, 'state')
    return undefined
  }

  static #hold(host: ExecutionHost, record: ExecutionRecord, askedAt: number): Tenure {
    const tenure = new Tenure(host, record, askedAt)
    host.changed(record, 'state')
    tenure.#scheduleHeartbeat()
    tenure.adopt(record)
    return tenure
  }

  /** The execution, as storage was last seen to hold it. */
  get record(): ExecutionRecord {
    return this.#record
  }

  /** Aborts when the job is to stop: `aborted`, or `lease_lost`. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** How long ago the lease was renewed, in milliseconds. */
  get leaseAge(): number {
    return this.#host.clock.now() - this.#keptAt
  }

  /**
   * Whether the lease holds for certain: a process that was frozen can tell before its timers do, and is lost then. An
   * execution that has ended holds none.
   */
  get isHeld(): boolean {
    if (!this.#isLost && !this.#isEnding && this.leaseAge >= this.#host.lease) this.#lose()
    return !this.#isLost && !this.#isEnding
  }

  /** How far the job has come, by what it said or by the execution before this one. */
  get reached(): Pick<JobContext, 'count' | 'checkpoint' | 'detail'> {
    const { count = 0, checkpoint = this.#record.checkpoint, detail } = this.#said
    // Whoever is given it may change it.
    return structuredClone({ count, checkpoint: checkpoint === null ? undefined : checkpoint, detail })
  }

  /** Takes what the job says, and saves it when the time has come. */
  say(progress: Progress): void {
    if (this.#isEnding) return
    this.#said = { ...this.#said, ...progress }
    this.#unsaved = { ...this.#unsaved, ...progress }
    this.#saveWhenDue()
  }

  /**
   * Saves what the job has said, however often that has to be tried. Throws the reason of `signal` when the lease is lost, or
   * when storage fails while the job is to stop, and `lease_lost` once the job has ended.
   */
  save(): Promise<void> {
    const saved = this.#saveAll()
    // A job that does not wait for it must not end the process.
    saved.catch(() => undefined)
    return saved
  }

  async #saveAll(): Promise<void> {
    if (this.#isEnding) throw leaseLost()
    while ((this.#unsaved || this.#saving) && this.isHeld) {
      // A job that is asked to stop meanwhile waits for the try that is under way, and for no other that fails.
      await this.#save()
      if (this.#failures === 0) continue
      this.signal.throwIfAborted()
      await sleep(this.#host.clock, this.#pause, this.signal)
    }
    if (this.#isLost) this.signal.throwIfAborted()
    if (this.#unsaved) throw leaseLost()
  }

  /**
   * Takes in what storage says of this execution, with the progress that it has just saved: `undefined` means that its
   * lease is lost. Answers may overtake each other: none turns state or progress back.
   */
  adopt(answer: ExecutionRecord | undefined, saved: Progress = {}): void {
    const known = this.#record
    if (!answer) this.#lose()
    if (!answer || isEnded(known.state) || isEnded(answer.state)) return
    const state = jobStates.indexOf(answer.state) < jobStates.indexOf(known.state) ? known.state : answer.state
    const startTime = Math.max(known.startTime, answer.startTime)
    const leaseUntil = Math.max(known.leaseUntil, answer.leaseUntil)
    this.#record = { ...known, ...saved, state, startTime, leaseUntil }
    const hasMoved = !areAlike(this.#record, known)
    if (state !== known.state) this.#host.changed(this.#record, 'state')
    else if (hasMoved) this.#host.changed(this.#record, 'progress')
    if (state === 'aborting') this.#stop.abort(new JobError('aborted', 'The job was asked to stop.'))
  }

  /** Stops the job although storage could not be told. */
  stop(): void {
    this.adopt({ ...this.#record, state: 'aborting' })
  }

  /** Stops the job as its node closes: storage makes it an orphan, unless somebody has asked it to abort. */
  handBack(): void {
    this.#isHandedBack = true
    this.stop()
  }

  /** Asks storage at once whether this execution is to go on. */
  async look(): Promise<void> {
    // What a save that is on its way says may be old by now.
    await this.#saving
    if (!this.#isEnding) await this.#save()
  }

  /** Leaves the line: the execution begins to run, unless it was aborted. */
  async leaveQueue(): Promise<void> {
    await this.#saving
    const { storage, lease } = this.#host
    this.adopt(await this.#untilStored(() => storage.save(this.#lease, { state: 'running', lease })))
  }

  /**
   * Settles the execution, however long that takes. Gives it as storage holds it. When storage still refuses the end after the lease,
   * as it is full, the execution has failed: whoever looks at storage later finds that its lease ran out.
   */
  async end(outcome: Outcome): Promise<EndedRecord> {
    this.#isEnding = true
    this.#heartbeat?.cancel()
    await this.#saving
    const { storage, clock, abandoned } = this.#host
    const request = { ...this.#unsaved, ...this.#endingOf(outcome) }
    let refusal: unknown
    const isHopeless = (error: unknown) => {
      const isGivenUp = this.leaseAge >= this.#host.lease && isRefused(error)
      if (isGivenUp) refusal = error
      return isGivenUp
    }
    const finished = await this.#untilStored(() => storage.finish(this.#lease, request), isHopeless)
    if (refusal !== undefined) return this.#endUnstored(refusal)
    // Settled already: by an answer of storage that was lost on its way here, or by who took this execution for dead.
    const settled = finished ?? (await this.#untilStored(() => findEnded(storage, this.#record)))
    const unsettled = { ...this.#record, ...(abandoned.aborted ? request : this.#lostEnding), endTime: clock.now() }
    const record = (settled ?? unsettled) as EndedRecord
    this.#record = record
    return record
  }

  #endUnstored(refusal: unknown): EndedRecord {
    this.#warn(refusal, 'could not store how the job ended')
    const error = ['The storage could not keep how the job ended.', ...errorMessages(refusal, this.#host.redactor)]
    const record = { ...this.#record, ...this.#lostEnding, error, endTime: this.#host.clock.now() }
    this.#record = record
    return record
  }

  get #lease(): Lease {
    return { executionId: this.#record.executionId, epoch: this.#record.epoch }
  }

  get #lostEnding() {
    return lostEnding(this.#record)
  }

  #endingOf(outcome: Outcome): FinishRequest {
    const { signal } = this.#stop
    const { redactor } = this.#host
    const [isLost, isHandedBack] = [this.#isLost, this.#isHandedBack]
    return endingOf(outcome, { record: this.#record, reason: signal.reason, redactor, isLost, isHandedBack })
  }

  /** Others may take this execution for dead from now on: it saves nothing more, and stops. */
  #lose(): void {
    this.#isLost = true
    this.#heartbeat?.cancel()
    this.#stop.abort(leaseLost())
  }

  #scheduleHeartbeat(): void {
    const { clock, lease, abandoned } = this.#host
    if (abandoned.aborted) return
    const now = clock.now()
    const times = [now + (this.#saveInterval || this.#renewalInterval), this.#triedAt + this.#renewalInterval]
    const next = Math.min(this.#keptAt + lease, ...times.filter((time) => time > now))
    this.#heartbeat = clock.setTimer(Math.max(1, next - now), () => this.#beat(), { background: true })
  }

  #beat(): void {
    const { clock, lease } = this.#host
    const now = clock.now()
    this.#noticePutBack(now)
    if (now - this.#keptAt >= lease) {
      this.#lose()
      return
    }
    if (now - this.#triedAt >= this.#renewalInterval) void this.#save()
    else this.#saveWhenDue()
    this.#scheduleHeartbeat()
  }

  /** When the clock was put back, its times from before are not to come: the lease is renewed at once. */
  #noticePutBack(now: number): void {
    if (now >= this.#triedAt) return
    this.#triedAt = Number.NEGATIVE_INFINITY
    this.#keptAt = Math.min(this.#keptAt, now)
  }

  /** How long after the last save the lease is renewed anyway. */
  get #renewalInterval(): number {
    return this.#failures > 0 ? this.#pause : this.#host.lease / renewals
  }

  get #saveInterval(): number {
    return Math.max(this.#host.progressInterval, this.#pause)
  }

  /** How long to wait after the failures of late. */
  get #pause(): number {
    return this.#failures === 0 ? 0 : pauseAfter(this.#failures, this.#host.lease)
  }

  #saveWhenDue(): void {
    if (this.#unsaved && this.#host.clock.now() - this.#triedAt >= this.#saveInterval) void this.#save()
  }

  #save(): Promise<void> {
    if (this.#isLost) return Promise.resolve()
    this.#saving ??= this.#saveNow().finally(() => {
      this.#saving = undefined
      if (!this.#isEnding && this.#failures === 0) this.#saveWhenDue()
    })
    return this.#saving
  }

  async #saveNow(): Promise<void> {
    const { storage, clock, lease } = this.#host
    const progress = this.#takeUnsaved()
    const triedAt = clock.now()
    this.#triedAt = triedAt
    try {
      const record = await storage.save(this.#lease, { ...progress, lease })
      this.#failures = 0
      this.#keptAt = triedAt
      this.adopt(record, progress)
    } catch (error) {
      this.#failures++
      this.#unsaved = { ...progress, ...this.#unsaved }
      this.#warn(error, 'could not save progress')
    }
  }

  #takeUnsaved(): Progress | undefined {
    const progress = this.#unsaved
    this.#unsaved = undefined
    return progress
  }

  #untilStored<Answer>(
    ask: () => Promise<Answer>,
    isHopeless: (error: unknown) => boolean = () => false,
  ): Promise<Answer | undefined> {
    const { clock, lease, abandoned } = this.#host
    const failed = (error: unknown, delay: number) =>
      this.#warn(error, `could not reach storage, trying again in ${delay} ms`)
    return retry(ask, { clock, lease, abandoned, isHopeless, failed })
  }

  #warn(error: unknown, message: string): void {
    warnOf(this.#host.logger, this.#record, error, message)
  }
}

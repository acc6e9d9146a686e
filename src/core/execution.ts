import type PQueue from 'p-queue'
import { retry } from './_retry.js'
import { stored } from './_stored.js'
import type { Clock, Timer } from './clock.js'
import { errorMessages, isCausedBy, JobError } from './errors.js'
import { type Job, type JobContext, type ProgressUpdate, toProgress } from './job.js'
import { isEnded, type JobMove, jobStates, nextState } from './lifecycle.js'
import type { Logger } from './logger.js'
import { type EndedStatus, type JobStatus, toStatus } from './status.js'
import {
  type ExecutionRecord,
  type FinishRequest,
  type JobStorage,
  type Lease,
  leaseExpired,
  type Progress,
  type SaveRequest,
} from './storage.js'

/** What an execution needs of the registry that runs it. */
export interface ExecutionHost {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly logger: Logger
  /** The name of the registry instance. */
  readonly node: string
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** How often progress is saved at most, in milliseconds. */
  readonly progressInterval: number
  /** Aborts when what storage does not take is to be given up. */
  readonly abandoned: AbortSignal
  /** Hears of every change that storage holds. */
  changed(record: ExecutionRecord, change: 'state' | 'progress', cause?: unknown): void
}

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

type EndedRecord = ExecutionRecord & { state: EndedStatus['state'] }
type Outcome = { move: JobMove; error?: unknown }

/** A lease is renewed this many times while it holds. */
const renewals = 3

/**
 * One run of a job, from the lease to the settled end. Storage alone says what the state is: its answers are adopted
 * and then announced. User code, storage and listeners are kept apart: none can fail the other.
 */
export class Execution implements StartedExecution {
  readonly type: string
  readonly id: string
  readonly finished: Promise<EndedStatus>
  /** Resolves as soon as it is known whether the lease was given. Never rejects. */
  readonly held: Promise<boolean>
  readonly #job: Job
  readonly #host: ExecutionHost
  readonly #waiting = new AbortController()
  readonly #stop = new AbortController()
  #end!: (status: EndedStatus) => void
  #settleHeld!: (isHeld: boolean) => void
  #record!: ExecutionRecord
  #hasTurn = false
  #isSettling = false
  #unsaved: Progress | undefined
  #saving: Promise<void> | undefined
  #savedAt = 0
  #keptAt = 0
  #heartbeat: Timer | undefined

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

  /** Takes the lease and a place in the line. Throws `already_running` when the job has a live execution. */
  async start(line: PQueue): Promise<void> {
    const runIfHeld = async () => {
      if (await this.held) await this.#run()
    }
    const turn = () => {
      this.#hasTurn = true
      return runIfHeld()
    }
    // A free slot gives the turn at once, which tells the state to begin in. Taken out of the line, it runs to its end.
    line.add(turn, { signal: this.#waiting.signal }).catch(runIfHeld)
    try {
      await this.#begin(this.#hasTurn ? 'running' : 'queued')
      this.#settleHeld(true)
    } catch (error) {
      this.#settleHeld(false)
      this.#leaveLine()
      throw error
    }
  }

  /**
   * Takes in what storage says of this execution, with the progress that it has just saved: `undefined` means that its
   * lease is lost. Answers may overtake each other: none turns state or progress back.
   */
  adopt(answer: ExecutionRecord | undefined, saved: Progress = {}): void {
    if (!answer) {
      this.#stop.abort(new JobError('lease_lost', 'The execution has lost its lease.'))
      return
    }
    const known = this.#record
    if (isEnded(known.state) || isEnded(answer.state)) return
    const state = jobStates.indexOf(answer.state) < jobStates.indexOf(known.state) ? known.state : answer.state
    this.#record = { ...known, ...saved, state, startTime: Math.max(known.startTime, answer.startTime) }
    const hasMoved = this.#record.count !== known.count || this.#record.lastId !== known.lastId
    if (state !== known.state) this.#host.changed(this.#record, 'state')
    else if (hasMoved) this.#host.changed(this.#record, 'progress')
    if (state === 'aborting') {
      this.#stop.abort(new JobError('aborted', 'The job was asked to stop.'))
      this.#leaveLine()
    }
  }

  /** Stops the job although storage could not be told. */
  stop(): void {
    this.adopt({ ...this.#record, state: 'aborting' })
  }

  /** Asks storage at once whether this execution is to go on. */
  async look(): Promise<void> {
    const isHeld = await this.held
    // What a save that is on its way says may be old by now.
    await this.#saving
    if (isHeld && !this.#isSettling) await this.#save()
  }

  get executionId(): string {
    return this.#record.executionId
  }

  get status(): JobStatus {
    return toStatus(this.#record)
  }

  get #lease(): Lease {
    return { executionId: this.#record.executionId, epoch: this.#record.epoch }
  }

  async #begin(state: 'queued' | 'running'): Promise<void> {
    const { storage, node, lease, clock } = this.#host
    const { started, execution } = await stored(storage.begin({ type: this.type, id: this.id, state, node, lease }))
    if (!started) throw alreadyRunning(execution)
    this.#record = execution
    this.#savedAt = this.#keptAt = clock.now()
    this.#host.changed(execution, 'state')
    this.#scheduleHeartbeat()
  }

  #leaveLine(): void {
    if (!this.#hasTurn) this.#waiting.abort()
  }

  async #run(): Promise<void> {
    if (this.#record.state === 'queued') await this.#leaveQueue()
    const outcome = await this.#perform()
    this.#isSettling = true
    this.#heartbeat?.cancel()
    await this.#saving
    const record = await this.#settle(outcome)
    this.#record = record
    this.#host.changed(record, 'state', outcome.error)
    this.#end(toStatus(record))
  }

  async #leaveQueue(): Promise<void> {
    await this.#saving
    const request: SaveRequest = { state: 'running', lease: this.#host.lease }
    this.adopt(await this.#untilStored(() => this.#host.storage.save(this.#lease, request)))
  }

  async #perform(): Promise<Outcome> {
    const { signal } = this.#stop
    const isAborted = () => signal.aborted && signal.reason.code === 'aborted'
    try {
      signal.throwIfAborted()
      const answer = await this.#job.run(this.#context())
      return { move: isAborted() && answer !== 'completed' ? 'stop' : 'complete' }
    } catch (error) {
      if (isAborted() && isCausedBy(error, signal.reason)) return { move: 'stop' }
      return { move: 'fail', error }
    }
  }

  #context(): JobContext {
    const { clock, logger, progressInterval } = this.#host
    const { type, id, executionId, checkpoint } = this.#record
    const progress = (update: ProgressUpdate) => this.#say(update)
    const { signal } = this.#stop
    return { type, id, executionId, signal, checkpoint, progress, progressInterval, clock, logger }
  }

  #say(update: ProgressUpdate): void {
    this.#unsaved = { ...this.#unsaved, ...toProgress(update) }
    this.#saveWhenDue()
  }

  #scheduleHeartbeat(): void {
    const { clock, lease, progressInterval, abandoned } = this.#host
    if (abandoned.aborted) return
    const renewal = lease / renewals
    const beat = () => {
      if (clock.now() - this.#savedAt >= renewal) void this.#save()
      else this.#saveWhenDue()
      this.#scheduleHeartbeat()
    }
    this.#heartbeat = clock.setTimer(Math.min(progressInterval || renewal, renewal), beat, { background: true })
  }

  #saveWhenDue(): void {
    const { clock, progressInterval } = this.#host
    if (this.#unsaved && clock.now() - this.#savedAt >= progressInterval) void this.#save()
  }

  #save(): Promise<void> {
    this.#saving ??= this.#saveNow().finally(() => {
      this.#saving = undefined
    })
    return this.#saving
  }

  async #saveNow(): Promise<void> {
    const { storage, clock, lease } = this.#host
    const progress = this.#takeUnsaved()
    this.#savedAt = clock.now()
    try {
      const record = await storage.save(this.#lease, { ...progress, lease })
      this.#keptAt = this.#savedAt
      this.adopt(record, progress)
    } catch (error) {
      this.#unsaved = { ...progress, ...this.#unsaved }
      this.#warn(error, 'could not save progress')
      if (clock.now() - this.#keptAt >= lease) this.adopt(undefined)
    }
  }

  #takeUnsaved(): Progress | undefined {
    const progress = this.#unsaved
    this.#unsaved = undefined
    return progress
  }

  async #settle(outcome: Outcome): Promise<EndedRecord> {
    const { storage, clock } = this.#host
    const request = this.#finishRequest(outcome)
    const finished = await this.#untilStored(() => storage.finish(this.#lease, request))
    if (finished) return finished as EndedRecord
    // Settled already: by an answer of storage that was lost on its way here, or by who took this execution for dead.
    const found = await this.#untilStored(() => storage.find(this.type, this.id))
    if (found?.executionId === this.executionId && isEnded(found.state)) return found as EndedRecord
    const endTime = clock.now()
    if (this.#host.abandoned.aborted) return { ...this.#record, ...request, endTime }
    return { ...this.#record, state: 'error', endTime, error: leaseExpired(this.#record) }
  }

  #finishRequest({ move, error }: Outcome): FinishRequest {
    const state = nextState(this.#record.state, move) as FinishRequest['state']
    return { ...this.#unsaved, state, ...(state === 'error' && { error: errorMessages(error) }) }
  }

  #untilStored<Answer>(ask: () => Promise<Answer>): Promise<Answer | undefined> {
    const { clock, abandoned } = this.#host
    const failed = (error: unknown, delay: number) =>
      this.#warn(error, `could not reach storage, trying again in ${delay} ms`)
    return retry(ask, { clock, abandoned, failed })
  }

  #warn(error: unknown, message: string): void {
    const { type, id, executionId } = this
    this.#host.logger.warn({ type, id, executionId, error: errorMessages(error) }, `Job [${type}/${id}] ${message}.`)
  }
}

/** The error of a start while the job has a live execution. */
export function alreadyRunning({ type, id }: Pick<ExecutionRecord, 'type' | 'id'>): JobError {
  return new JobError('already_running', `Job [${type}/${id}] is already running.`)
}

import { withTimeout } from '../core/clock.js'
import { errorMessages, JobError, type JobErrorCode, leaseLost } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import type { Plan } from './_plan.js'
import { readAhead } from './_read-ahead.js'
import type { RecordBatch } from './batch.js'
import { advance, type Checkpoint, initialCheckpoint, type KeptCheckpoint, repeat, variablesOf } from './checkpoint.js'
import type { ReadOptions } from './datasource.js'
import { addedUp, type IngestionDetail, nothingRead } from './detail.js'
import type { TargetContext, TargetWriter } from './target.js'

/** What operators were told of an execution: all its tries have the same signal. */
const warnings = new WeakMap<AbortSignal, Set<string>>()

/** One run of an ingestion. */
export class IngestionRun {
  readonly #plan: Plan
  readonly #context: JobContext
  readonly #targetContext: TargetContext
  readonly #stopReading = new AbortController()
  /** Makes keys that no other run makes. */
  readonly #nonce = crypto.randomUUID()
  #writer!: TargetWriter
  #checkpoint: Checkpoint
  #isResumed: boolean
  #detail: IngestionDetail
  /** How far was written beyond the checkpoint, while no execution may go on from there. */
  #beyond: { readonly checkpoint: Checkpoint; readonly detail: IngestionDetail } | undefined
  #flushedAt: number
  #isFlushed = true

  constructor(plan: Plan, context: JobContext) {
    const { type, id, executionId, signal, checkpoint, detail } = context
    this.#plan = plan
    this.#context = context
    this.#targetContext = { type, id, executionId, signal }
    this.#isResumed = plan.isResumable && checkpoint !== undefined
    this.#checkpoint = this.#isResumed ? (checkpoint as Checkpoint) : initialCheckpoint(executionId)
    this.#detail = this.#isResumed && detail ? (detail as IngestionDetail) : nothingRead
    this.#flushedAt = context.clock.now()
  }

  /** Runs to the end. It returns only when all is written: an abort that comes later is too late. */
  async run(): Promise<'completed'> {
    await this.#open()
    try {
      await this.#sayBeginning()
      await this.#copy()
      await this.#saveCheckpoint()
      this.#checkHeld()
      await this.#targeting(async () => this.#writer.commit?.())
    } catch (error) {
      await this.#stop(error)
      throw error
    }
    // A target that replaces begins anew next time; one that appends goes on from here.
    if (this.#plan.target.strategy === 'replace') this.#context.progress({ checkpoint: null })
    return 'completed'
  }

  async #open(): Promise<void> {
    const { target, isResumable } = this.#plan
    const { position } = this.#checkpoint
    const context = { ...this.#targetContext, position, isResumed: this.#isResumed, isResumable }
    this.#writer = await this.#targeting(async () => target.open(context))
    if (this.#writer.mustRestart) {
      this.#checkpoint = initialCheckpoint(this.#context.executionId)
      this.#isResumed = false
      this.#detail = nothingRead
    } else if (isResumable && this.#writer.checkpoint !== undefined) {
      this.#goOnFrom(this.#writer.checkpoint as KeptCheckpoint)
    }
    const { cursor, datasource } = this.#plan
    const consistency = cursor?.consistency ?? datasource.consistency
    const split = this.#isResumed && this.#checkpoint.sequence > 0
    this.#detail = { ...this.#detail, ...(consistency && { consistency }), split }
  }

  /** What the target keeps together with the records is never behind storage, which may have missed the last of it. */
  #goOnFrom({ executionId, detail, ...checkpoint }: KeptCheckpoint): void {
    this.#checkpoint = checkpoint
    this.#isResumed = true
    if (executionId === this.#context.executionId) this.#detail = detail
  }

  /**
   * Says where the run begins. Where the target stood before the first record must be known to storage: what a crash leaves
   * behind could else not be told from what was there.
   */
  async #sayBeginning(): Promise<void> {
    if (this.#isResumed || this.#context.count > 0) this.#sayProgress()
    else if (this.#plan.isResumable && this.#writer.flush) {
      await this.#saveCheckpoint()
      await this.#context.save()
    }
  }

  async #copy(): Promise<void> {
    const left = this.#plan.limit - this.#detail.read
    if (left <= 0) return
    const batches = wrapErrors('datasource', this.#plan.failures.datasource, this.#read(left))
    const wait = <Next>(next: Promise<Next>) => this.#wait(next)
    // By a cursor, the datasource keeps to the limit: it alone knows where reading may end.
    const limit = this.#plan.cursor ? Number.POSITIVE_INFINITY : left
    for await (const batch of readAhead(batches, limit, wait, () => this.#stopReading.abort())) {
      this.#context.signal.throwIfAborted()
      await this.#write(batch)
      if (this.#isCheckpointDue) await this.#saveCheckpoint()
    }
  }

  /** Waits for what comes next; when that is long in coming, a target makes durable meanwhile what it has taken. */
  async #wait<Next>(next: Promise<Next>): Promise<Next> {
    if (this.#isFlushed) return next
    const { clock, progressInterval } = this.#context
    const left = Math.max(0, this.#flushedAt + progressInterval - clock.now())
    const settled = next.then(
      () => true,
      () => true,
    )
    if (!(await withTimeout(clock, left, settled))) await this.#saveCheckpoint()
    return next
  }

  #read(left: number): AsyncIterable<RecordBatch> {
    const { datasource, query, batchSize, batchBytes } = this.#plan
    const variables = this.#isResumed ? variablesOf(this.#checkpoint) : {}
    const signal = AbortSignal.any([this.#context.signal, this.#stopReading.signal])
    const options = { signal, batchSize: Math.min(batchSize, left), batchBytes, lastId: variables.lastId }
    const cursor = this.#cursor(left)
    const warn = (message: string) => this.#warn(message)
    return datasource.read(query.render(variables), { ...options, ...this.#encodedOptions, cursor, warn })
  }

  get #encodedOptions(): Pick<ReadOptions, 'encoded'> {
    const { pkField, cursor, readsValues } = this.#plan
    if (readsValues || !this.#writer.takesEncoded) return {}
    const isTaken = this.#writer.takesEncoded.bind(this.#writer)
    const keys = [...(pkField === undefined ? [] : [pkField]), ...(cursor?.columns ?? [])]
    return { encoded: { isTaken, keys } }
  }

  #cursor(limit: number): ReadOptions['cursor'] {
    const { cursor } = this.#plan
    if (!cursor) return undefined
    const { sequence, cursor: position } = this.#checkpoint
    if (sequence > 0 && position === undefined) {
      throw new JobError(
        'invalid_options',
        "The checkpoint was made without `cursor`: run the job once with `resume: 'restart'`, or give it another id.",
      )
    }
    const leaveOut = (withoutCursor: number) => {
      this.#detail = { ...this.#detail, withoutCursor }
    }
    return { ...cursor, position, limit, leaveOut }
  }

  /** Once per execution is enough. */
  #warn(message: string): void {
    const { type, id, executionId, signal, logger } = this.#context
    const told = warnings.get(signal) ?? new Set()
    if (!told.has(message)) logger.warn({ type, id, executionId }, `Job [${type}/${id}]: ${message}`)
    warnings.set(signal, told.add(message))
  }

  async #write(batch: RecordBatch): Promise<void> {
    const { transform, pkField, query, cursor } = this.#plan
    const isPlace = cursor === undefined || batch.position !== undefined
    // What is made durable beyond a checkpoint comes twice: the last one before it has to be made.
    if (!isPlace && !this.#isFlushed) await this.#saveCheckpoint()
    const before = this.#beyond ?? { checkpoint: this.#checkpoint, detail: this.#detail }
    const isRepeated = batch.position !== undefined && batch.position === before.checkpoint.cursor
    const now = this.#context.clock.now()
    const checkpoint = isRepeated
      ? repeat(before.checkpoint, now)
      : advance(before.checkpoint, batch, now, pkField, query.needs)
    const { batch: transformed, skipped } = await transform(batch, this.#targetContext)
    if (transformed.length > 0) {
      // Place and extent: a batch that comes again larger, as the source has grown, is another batch.
      const { origin, sequence } = before.checkpoint
      const isCertain = isPlace && !isRepeated && !this.#beyond
      const place = `${origin}:${sequence}:${batch.length}:${checkpoint.lastId ?? ''}`
      // A part of ties, or of what comes again, may hold other records the next time.
      const idempotencyKey = isCertain ? place : `${place}:${this.#nonce}`
      const context = { ...this.#targetContext, idempotencyKey }
      this.#isFlushed = this.#writer.flush === undefined
      await this.#targeting(async () => this.#writer.write(transformed, context))
    }
    const counts = { read: batch.length, written: batch.length - skipped, failed: 0, skipped }
    this.#reach(checkpoint, addedUp(before.detail, counts), isPlace)
  }

  #reach(checkpoint: Checkpoint, detail: IngestionDetail, isPlace: boolean): void {
    this.#beyond = isPlace ? undefined : { checkpoint, detail }
    if (!isPlace) return
    this.#checkpoint = checkpoint
    this.#detail = detail
  }

  get #isCheckpointDue(): boolean {
    const { clock, progressInterval } = this.#context
    return this.#writer.flush === undefined || clock.now() - this.#flushedAt >= progressInterval
  }

  /** Says what has been reached, once the target holds it. */
  async #saveCheckpoint(): Promise<void> {
    this.#checkHeld()
    if (this.#beyond) return
    if (this.#writer.flush) {
      const position = await this.#targeting(async () => this.#writer.flush?.(this.#kept))
      this.#checkpoint = { ...this.#checkpoint, position }
      this.#isFlushed = true
      this.#flushedAt = this.#context.clock.now()
    }
    this.#sayProgress()
  }

  get #kept(): KeptCheckpoint | null {
    const { executionId } = this.#context
    return this.#plan.isResumable ? { ...this.#checkpoint, executionId, detail: this.#detail } : null
  }

  /** Throws when another execution may write by now. */
  #checkHeld(): void {
    if (!this.#context.isHeld()) throw leaseLost()
  }

  #sayProgress(): void {
    const { lastId } = this.#checkpoint
    const checkpoint = this.#plan.isResumable ? this.#checkpoint : null
    const detail = this.#detail
    this.#context.progress({ count: detail.read, checkpoint, detail, ...(lastId !== undefined && { lastId }) })
  }

  /** Stops short: keeps what was written, unless others may write by now, then lets the target go. */
  async #stop(error: unknown): Promise<void> {
    const { signal } = this.#context
    const isTargetSound = !(JobError.isInstance(error) && error.code === 'target')
    if (isTargetSound && this.#context.isHeld()) await this.#stopping(() => this.#saveCheckpoint())
    const reason = this.#context.isHeld() ? (signal.aborted ? signal.reason : error) : leaseLost()
    await this.#stopping(() => this.#targeting(async () => this.#writer.abort?.(reason)))
  }

  async #stopping(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      // An abort that cannot be carried through is a failure; after a failure, the first one is what matters.
      if (this.#context.signal.aborted) throw error
      const { type, id } = this.#context
      this.#context.logger.warn(
        { type, id, error: errorMessages(error) },
        `Job [${type}/${id}] could not stop cleanly.`,
      )
    }
  }

  async #targeting<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      throw new JobError('target', this.#plan.failures.target, { cause: error })
    }
  }
}

async function* wrapErrors(code: JobErrorCode, message: string, batches: AsyncIterable<RecordBatch>) {
  try {
    yield* batches
  } catch (error) {
    throw new JobError(code, message, { cause: error })
  }
}

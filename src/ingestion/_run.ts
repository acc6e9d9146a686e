import { sleep, withTimeout } from '../core/clock.js'
import { JobError, type JobErrorCode, leaseLost } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import { warnOf } from '../core/logger.js'
import { DeadLetters } from './_dead-letters.js'
import { type Delivery, type DeliveryOptions, TolerantDelivery, WholeDelivery } from './_delivery.js'
import type { Plan } from './_plan.js'
import { readAhead } from './_read-ahead.js'
import type { RecordBatch } from './batch.js'
import { advance, type Checkpoint, initialCheckpoint, type KeptCheckpoint, variablesOf } from './checkpoint.js'
import type { ReadOptions } from './datasource.js'
import { addedUp, type IngestionDetail, nothingRead } from './detail.js'
import type { OpenContext, TargetContext, TargetWriter } from './target.js'

/** One run of an ingestion. */
export class IngestionRun {
  readonly #plan: Plan
  readonly #context: JobContext
  readonly #targetContext: TargetContext
  readonly #stopReading = new AbortController()
  readonly #deadLetters: DeadLetters | undefined
  readonly #delivery: Delivery
  #writer!: TargetWriter
  #checkpoint: Checkpoint
  #isResumed: boolean
  #detail: IngestionDetail
  #flushedAt: number
  #isFlushed = true
  /** Whether all was read, be it nothing. */
  #hasRead = false

  constructor(plan: Plan, context: JobContext) {
    const { type, id, executionId, signal, checkpoint, detail } = context
    this.#plan = plan
    this.#context = context
    this.#targetContext = { type, id, executionId, signal }
    this.#isResumed = plan.isResumable && checkpoint !== undefined
    this.#checkpoint = this.#isResumed ? (checkpoint as Checkpoint) : initialCheckpoint(executionId)
    this.#detail = this.#isResumed && detail ? (detail as IngestionDetail) : nothingRead
    this.#flushedAt = context.clock.now()
    this.#deadLetters = plan.tolerance?.deadLetters && new DeadLetters(plan.tolerance.deadLetters)
    this.#delivery = this.#makeDelivery()
  }

  /** Runs to the end. It returns only when all is written: an abort that comes later is too late. */
  async run(): Promise<'completed'> {
    await this.#open()
    try {
      await this.#deadLetters?.open({ ...this.#openContext, position: this.#checkpoint.deadLetters })
      await this.#sayBeginning()
      await this.#copy()
      this.#hasRead = true
      await this.#saveCheckpoint()
      this.#checkHeld()
      await this.#deadLetters?.commit()
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
    const toleratesFailures = this.#plan.tolerance !== undefined
    const context = { ...this.#openContext, toleratesFailures }
    this.#writer = await this.#targeting(async () => target.open(context))
    if (this.#writer.mustRestart) {
      this.#checkpoint = initialCheckpoint(this.#context.executionId)
      this.#isResumed = false
      this.#detail = nothingRead
    } else if (isResumable && this.#writer.checkpoint !== undefined) {
      this.#goOnFrom(this.#writer.checkpoint as KeptCheckpoint)
    }
  }

  get #openContext(): OpenContext {
    const { isResumable } = this.#plan
    const { position } = this.#checkpoint
    return { ...this.#targetContext, position, isResumed: this.#isResumed, isResumable }
  }

  #makeDelivery(): Delivery {
    const { tolerance, transform } = this.#plan
    const { clock } = this.#context
    const context = this.#targetContext
    const options: DeliveryOptions = { context, transform, write: (batch, key) => this.#writeTo(batch, key) }
    if (!tolerance) return new WholeDelivery(options)
    return new TolerantDelivery({
      ...options,
      tolerance,
      deadLetters: this.#deadLetters,
      clock,
      isSound: () => !this.#writer.isBroken,
      dropped: (error) => this.#warn(error, 'dropped a record that failed'),
    })
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
    const isNew = !this.#isResumed && this.#context.count === 0
    const isToldFirst = this.#deadLetters !== undefined || (isNew && this.#writer.flush !== undefined)
    if (this.#plan.isResumable && isToldFirst) {
      await this.#saveCheckpoint()
      await this.#context.save()
    } else if (!isNew) this.#sayProgress()
  }

  async #copy(): Promise<void> {
    const left = this.#plan.limit - this.#detail.read
    if (left <= 0) return
    const batches = wrapErrors('datasource', this.#plan.failures.datasource, this.#read(left))
    const wait = <Next>(next: Promise<Next>) => this.#wait(next)
    for await (const batch of readAhead(batches, left, wait, () => this.#stopReading.abort())) {
      await this.#keepPace(batch)
      this.#context.signal.throwIfAborted()
      await this.#write(batch)
      if (this.#isCheckpointDue) await this.#saveCheckpoint()
    }
  }

  async #keepPace(batch: RecordBatch): Promise<void> {
    const { clock, signal } = this.#context
    const waits = this.#plan.paces.map((pace) => pace.reserve(clock.now(), batch))
    const delay = Math.max(0, ...waits)
    if (delay > 0) await this.#wait(sleep(clock, delay, signal))
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
    return datasource.read(query.render(variables), { ...options, ...this.#encodedOptions })
  }

  get #encodedOptions(): Pick<ReadOptions, 'encoded'> {
    const { pkField, readsValues } = this.#plan
    if (readsValues || !this.#writer.takesEncoded) return {}
    const isTaken = this.#writer.takesEncoded.bind(this.#writer)
    return { encoded: { isTaken, keys: pkField === undefined ? [] : [pkField] } }
  }

  async #write(batch: RecordBatch): Promise<void> {
    const { origin, sequence } = this.#checkpoint
    const whole = this.#after(batch)
    // Place and extent: a batch that comes again larger, as the source has grown, is another batch.
    const place = `${origin}:${sequence}`
    const key = `${place}:${batch.length}:${whole.lastId ?? ''}`
    const { clock } = this.#context
    const begunAt = clock.now()
    try {
      await this.#delivery.deliver(batch, { place, key }, this.#detail)
      this.#context.batchDone({ records: batch.length, duration: Math.max(0, clock.now() - begunAt) })
    } finally {
      const { settled } = this.#delivery
      if (settled.failed > 0) this.#isFlushed = this.#writer.flush === undefined
      if (settled.read === batch.length) this.#checkpoint = whole
      else if (settled.read > 0) this.#checkpoint = this.#after(batch.slice(0, settled.read))
      this.#detail = addedUp(this.#detail, settled)
    }
  }

  /** The checkpoint behind records that come next. */
  #after(batch: RecordBatch): Checkpoint {
    const { pkField, query } = this.#plan
    return advance(this.#checkpoint, batch, this.#context.clock.now(), pkField, query.needs)
  }

  async #writeTo(batch: RecordBatch, idempotencyKey: string): Promise<void> {
    const context = { ...this.#targetContext, idempotencyKey }
    this.#isFlushed = this.#writer.flush === undefined
    await this.#targeting(async () => this.#writer.write(batch, context))
  }

  get #isCheckpointDue(): boolean {
    const { clock, progressInterval } = this.#context
    return this.#writer.flush === undefined || clock.now() - this.#flushedAt >= progressInterval
  }

  /** Says what has been reached, once the targets hold it: the dead letters first, so that none is passed over. */
  async #saveCheckpoint(): Promise<void> {
    this.#checkHeld()
    const deadLetters = await this.#deadLetters?.flush()
    if (deadLetters !== undefined) this.#checkpoint = { ...this.#checkpoint, deadLetters }
    if (this.#writer.flush) {
      const position = await this.#targeting(async () => this.#writer.flush?.(this.#kept))
      this.#checkpoint = { ...this.#checkpoint, position }
      this.#isFlushed = true
      this.#flushedAt = this.#context.clock.now()
    }
    this.#sayProgress()
    if (!this.#deadLetters?.isAhead) return
    await this.#context.save()
    this.#deadLetters.settle()
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
    // That nothing was read yet is no news.
    const isNews = this.#hasRead || detail.read > 0 || this.#context.detail !== undefined
    const counts = { count: detail.read, ...(isNews && { detail }) }
    this.#context.progress({ ...counts, checkpoint, ...(lastId !== undefined && { lastId }) })
  }

  /** Stops short: keeps what was written, unless others may write by now, then lets the target go. */
  async #stop(error: unknown): Promise<void> {
    const { signal } = this.#context
    const isTargetSound = !(JobError.isInstance(error) && error.code === 'target')
    const failures: unknown[] = []
    const stopping = async (step: () => Promise<void>) => step().catch((failure) => failures.push(failure))
    if (isTargetSound && this.#context.isHeld()) await stopping(() => this.#saveCheckpoint())
    const reason = this.#context.isHeld() ? (signal.aborted ? signal.reason : error) : leaseLost()
    await stopping(() => this.#targeting(async () => this.#writer.abort?.(reason)))
    await stopping(async () => this.#deadLetters?.abort(reason))
    // An abort that cannot be carried through is a failure; after a failure, the first one is what matters.
    if (signal.aborted && failures.length > 0) throw failures[0]
    for (const failure of failures) this.#warn(failure, 'could not stop cleanly')
  }

  #warn(error: unknown, message: string): void {
    warnOf(this.#context.logger, this.#context, error, message)
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

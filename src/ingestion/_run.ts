import { anySignal, createAbortController } from '../core/abort.js'
import { sleep, withTimeout } from '../core/clock.js'
import { JobError, type JobErrorCode, leaseLost } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import { warnOf } from '../core/logger.js'
import { shownAs } from '../core/parts.js'
import { holding } from './_allocator.js'
import { DeadLetters } from './_dead-letters.js'
import { type Delivery, type DeliveryOptions, TolerantDelivery, WholeDelivery } from './_delivery.js'
import { KeyOrder, orderFailure, unorderedFailure } from './_key-order.js'
import { needsOf, type Plan } from './_plan.js'
import { type Place, Reach } from './_reach.js'
import { readAhead } from './_read-ahead.js'
import { Reading } from './_reading.js'
import { checkTarget } from './_target-check.js'
import { Turns } from './_turns.js'
import type { RecordBatch } from './batch.js'
import { initialCheckpoint, writtenBy } from './checkpoint.js'
import type { OpenContext, TargetContext, TargetWriter } from './target.js'

/** One run of an ingestion. */
export class IngestionRun {
  readonly #plan: Plan
  readonly #context: JobContext
  readonly #targetContext: TargetContext
  readonly #stopReading = createAbortController()
  readonly #reach: Reach
  readonly #deadLetters: DeadLetters | undefined
  readonly #delivery: Delivery
  readonly #order: KeyOrder | undefined
  #writer!: TargetWriter
  #flushedAt: number
  #isFlushed = true
  /** What a target that takes records meanwhile is flushing. */
  #flushing: Promise<void> | undefined
  /** Whether it is known where the run begins. Before that, it has no checkpoint to save. */
  #hasBegun = false
  /** Whether no more is read, be it that nothing was. */
  #isOver = false

  constructor(plan: Plan, context: JobContext) {
    const { type, id, executionId, signal } = context
    this.#plan = plan
    this.#context = context
    this.#targetContext = { type, id, executionId, signal }
    this.#reach = new Reach(plan, context)
    this.#flushedAt = context.clock.now()
    this.#deadLetters = plan.tolerance?.deadLetters && new DeadLetters(plan.tolerance.deadLetters)
    this.#delivery = this.#makeDelivery()
    this.#order = KeyOrder.of(plan)
  }

  /** Runs to the end. It returns only when all is written: an abort that comes later is too late. */
  run(): Promise<'completed'> {
    const request = { needs: needsOf(this.#plan), isPart: this.#plan.part !== undefined }
    return holding(this.#context, request, () => this.#run())
  }

  async #run(): Promise<'completed'> {
    await this.#open()
    try {
      await this.#begin()
      await this.#deadLetters?.open({ ...this.#openContext, position: this.#reach.checkpoint.deadLetters })
      await this.#sayBeginning()
      await this.#copy()
      this.#isOver = true
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
    const { target, tolerance } = this.#plan
    const context = { ...this.#openContext, toleratesFailures: tolerance !== undefined }
    this.#writer = await this.#targeting(async () => target.open(context))
  }

  /** Finds where to begin. The parent of a partition has compared the target with the checkpoints already. */
  async #begin(): Promise<void> {
    const { part, ifTargetReset, cursor, datasource, isResumable } = this.#plan
    const { mustRestart, checkpoint } = this.#writer
    if (mustRestart) this.#reach.restart()
    else if (isResumable && this.#reach.isOwn(checkpoint)) this.#reach.goOnFrom(checkpoint)
    if (this.#reach.isResumed && !part) {
      const written = writtenBy(this.#reach.checkpoint)
      const found = await this.#targeting(() => checkTarget(this.#writer, { written, ifTargetReset }))
      if (found === 'restart') this.#reach.restart()
    }
    if (this.#reach.isResumed && this.#reach.checkpoint.isUnordered) throw unorderedFailure(this.#plan.pkField)
    const consistency = cursor?.consistency ?? datasource.consistency
    const split = this.#reach.isResumed && this.#reach.checkpoint.sequence > 0
    this.#reach.tell({ ...(consistency && { consistency }), split })
    this.#hasBegun = true
  }

  get #openContext(): OpenContext {
    const { isResumed, checkpoint } = this.#reach
    return { ...this.#targetContext, position: checkpoint.position, isResumed, isResumable: this.#plan.isResumable }
  }

  #makeDelivery(): Delivery {
    const { tolerance, transform } = this.#plan
    const { clock, redactor } = this.#context
    const context = this.#targetContext
    const options: DeliveryOptions = { context, transform, write: (batch, key) => this.#writeTo(batch, key) }
    if (!tolerance) return new WholeDelivery(options)
    return new TolerantDelivery({
      ...options,
      tolerance,
      deadLetters: this.#deadLetters,
      clock,
      redactor,
      isSound: () => !this.#writer.isBroken,
      shown: { ...shownAs(this.#context), executionId: this.#plan.part?.whole ?? this.#context.executionId },
      dropped: (error) => this.#warn(error, 'dropped a record that failed'),
    })
  }

  /**
   * Says where the run begins. Where the target stood before the first record must be known to storage: what a crash leaves
   * behind could else not be told from what was there.
   */
  async #sayBeginning(): Promise<void> {
    const isNew = !this.#reach.isResumed && this.#context.count === 0
    const isToldFirst = this.#deadLetters !== undefined || (isNew && this.#writer.flush !== undefined)
    if (this.#plan.isResumable && isToldFirst) {
      await this.#saveCheckpoint()
      await this.#context.save()
    } else if (!isNew) this.#sayProgress(this.#reach.place)
  }

  async #copy(): Promise<void> {
    const left = this.#plan.limit - this.#reach.detail.read
    if (left <= 0) return
    const batches = wrapErrors('datasource', this.#plan.failures.datasource, this.#read(left))
    const wait = <Next>(next: Promise<Next>) => this.#wait(next)
    // By a cursor, the datasource keeps to the limit: it alone knows where reading may end.
    const limit = this.#plan.cursor ? Number.POSITIVE_INFINITY : left
    const stop = () => this.#stopReading.abort()
    const beyond = this.#order && ((next?: RecordBatch) => this.#endOrder(next))
    const turns = new Turns()
    for await (const batch of readAhead(batches, limit, { wait, stop, beyond })) {
      await this.#keepPace(batch)
      if (turns.isDue) await turns.take()
      this.#context.signal.throwIfAborted()
      await this.#write(batch)
      if (this.#isCheckpointDue) await this.#makeCheckpoint()
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
    const reading = new Reading(this.#plan, this.#reach, this.#context)
    const signal = anySignal([this.#context.signal, this.#stopReading.signal])
    return this.#plan.datasource.read(reading.query, reading.optionsFor(this.#writer, left, signal))
  }

  async #write(batch: RecordBatch): Promise<void> {
    const { clock } = this.#context
    // What is made durable beyond a checkpoint comes twice: the last one before it has to be made.
    if (!this.#reach.isPlace(batch) && !this.#isFlushed) await this.#saveCheckpoint()
    await this.#checkOrder(batch)
    const begunAt = clock.now()
    const met = this.#reach.meet(batch, begunAt)
    try {
      await this.#delivery.deliver(batch, met.name, met.before.detail)
      this.#context.batchDone({ records: batch.length, duration: Math.max(0, clock.now() - begunAt) })
    } finally {
      const { settled } = this.#delivery
      if (settled.failed > 0) this.#isFlushed = this.#writer.flush === undefined
      this.#reach.pass(met, settled, clock.now())
      this.#order?.pass(batch, settled.read)
      this.#markOrder()
    }
  }

  /** Keeps runs from resuming where records may still come that they would miss, and fails where that is certain. */
  async #checkOrder(batch: RecordBatch): Promise<void> {
    if (!this.#order) return
    const { comparison } = this.#order
    const { isUnordered, sequence } = this.#reach.checkpoint
    const follows = this.#order.meet(batch)
    this.#markOrder()
    if (!follows && comparison.variable === 'last_id') throw orderFailure(this.#plan.pkField, comparison)
    // The target may hold the place without the mark, and keep it when it refuses this batch.
    if (this.#order.isUnsafe && !isUnordered && sequence > 0) await this.#saveCheckpoint()
  }

  #endOrder(beyond: RecordBatch | undefined): void {
    this.#order?.end(beyond)
    this.#markOrder()
  }

  #markOrder(): void {
    const { isUnordered = false } = this.#reach.checkpoint
    if (this.#order && this.#order.isUnsafe !== isUnordered) this.#reach.mark({ isUnordered: !isUnordered })
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

  /** Makes a checkpoint: on the side, where the target takes records meanwhile, one after the other. */
  async #makeCheckpoint(): Promise<void> {
    if (!this.#writer.takesMeanwhile) return this.#saveCheckpoint()
    await this.#flushing
    // The next one is due an interval later, not while this one is made.
    this.#flushedAt = this.#context.clock.now()
    this.#flushing = this.#flush()
    // Whoever makes the next one is told.
    this.#flushing.catch(() => undefined)
  }

  /** Makes a checkpoint of all that was written. */
  async #saveCheckpoint(): Promise<void> {
    await this.#flushing
    this.#flushing = undefined
    await this.#flush()
  }

  /** Says what has been reached, once the targets hold it: the dead letters first, so that none is passed over. */
  async #flush(): Promise<void> {
    this.#checkHeld()
    if (this.#reach.isBeyond) return
    if (this.#deadLetters) this.#reach.mark({ deadLetters: await this.#deadLetters.flush() })
    const { place, kept } = this.#reach
    if (this.#writer.flush) {
      this.#isFlushed = true
      const position = await this.#targeting(async () => this.#writer.flush?.(kept))
      this.#reach.mark({ position })
      this.#flushedAt = this.#context.clock.now()
      this.#sayProgress({ ...place, checkpoint: { ...place.checkpoint, position } })
    } else this.#sayProgress(place)
    if (!this.#deadLetters?.isAhead) return
    await this.#context.save()
    this.#deadLetters.settle()
  }

  /** Throws when another execution may write by now. */
  #checkHeld(): void {
    if (!this.#context.isHeld()) throw leaseLost()
  }

  #sayProgress({ checkpoint, detail }: Place): void {
    const { lastId } = checkpoint
    // That nothing was read yet is no news.
    const isNews = this.#isOver || detail.read > 0 || this.#context.detail !== undefined
    const counts = { count: detail.read, ...(isNews && { detail }) }
    const { part, isResumable } = this.#plan
    const kept = isResumable
      ? checkpoint
      : part
        ? { ...initialCheckpoint(checkpoint.origin), scheme: part.scheme }
        : null
    this.#context.progress({ ...counts, checkpoint: kept, ...(lastId !== undefined && { lastId }) })
  }

  /** Stops short: keeps what was written, unless others may write by now, then lets the target go. */
  async #stop(error: unknown): Promise<void> {
    const { signal } = this.#context
    this.#isOver = true
    await Promise.allSettled([this.#flushing])
    const isTargetSound = !(JobError.isInstance(error) && error.code === 'target')
    const failures: unknown[] = []
    const stopping = async (step: () => Promise<void>) => step().catch((failure) => failures.push(failure))
    if (this.#hasBegun && isTargetSound && this.#context.isHeld()) await stopping(() => this.#saveCheckpoint())
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

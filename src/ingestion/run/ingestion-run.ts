import {
  anySignal,
  callTarget,
  createAbortController,
  EventLoopTurns,
  JobError,
  leaseLost,
  sleep,
  thrownBy,
  warnOf,
} from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import { keyOf } from '../../core/model/index.js'
import type { OpenContext, OpenTarget, ReadBatch, RecordBatch, TargetContext, TargetWriter } from '../contract/index.js'
import {
  type BatchTransform,
  delayOf,
  type IngestionPlan,
  needsOf,
  type TransformContext,
  withFieldCount,
} from '../definition/index.js'
import {
  checkpointIn,
  committed,
  createEmpty,
  flushed,
  openTarget,
  stopTimeout,
  untilStopped,
} from './adapter-answers.js'
import {
  type BatchWriter,
  type BatchWriterOptions,
  DirectBatchWriter,
  ofNoRecord,
  placing,
  TolerantBatchWriter,
} from './batch-writer.js'
import { type Checkpoint, initialCheckpoint, writtenBy } from './checkpoint.js'
import { DeadLetters } from './dead-letters.js'
import { checkHeld, Flusher } from './flusher.js'
import { KeyOrder, orderFailure, unorderedFailure, warnOfOtherKey } from './key-order.js'
import { readAhead } from './prefetch.js'
import { type ResumePoint, RunProgress } from './progress.js'
import { Reading } from './read-request.js'
import { RecordPlaces } from './record-place.js'
import { warnOfExtension, warnOfRepeats } from './repeated-records.js'
import { holding } from './resource-allocator.js'
import { unfitFailure } from './resumable.js'
import { RunMeter } from './run-meter.js'
import { StallWatch } from './stall-watch.js'
import { checkTarget } from './target-check.js'
import { announceRefresh, removeEarlier } from './target-refresh.js'
import { UnmetColumns } from './unmet-columns.js'

/** One run of an ingestion. */
export class IngestionRun {
  readonly #plan: IngestionPlan
  readonly #context: ExecutionContext
  readonly #targetContext: TargetContext & TransformContext
  readonly #stallWatch: StallWatch
  readonly #signal: AbortSignal
  readonly #stopReading = createAbortController()
  readonly #progress: RunProgress
  readonly #deadLetters: DeadLetters | undefined
  readonly #batchWriter: BatchWriter
  readonly #order: KeyOrder | undefined
  readonly #unmetColumns: UnmetColumns
  #opened!: Required<OpenTarget>
  #flusher!: Flusher
  #meter: RunMeter | undefined
  /** Whether the start position is known. Before that, the run has no checkpoint to save. */
  #hasBegun = false
  /** Whether the records of earlier runs have yet to be removed from the target. */
  #mustTruncate = false
  /** Whether they are being removed, or could not be. */
  #isTruncating = false
  /** What a full refresh of a job without positions keeps in storage until it is done. */
  #refreshMark: Checkpoint | undefined
  /** Whether reading has ended, even if nothing was read. */
  #isOver = false

  constructor(plan: IngestionPlan, context: ExecutionContext) {
    const { executionId } = context
    this.#plan = plan
    this.#context = context
    this.#stallWatch = new StallWatch(context, needsOf(plan))
    this.#signal = this.#stallWatch.signal
    const log = (text: string) => context.log(text)
    this.#targetContext = { ...keyOf(context), executionId, signal: this.#signal, params: context.params, log }
    this.#progress = new RunProgress(plan, context)
    this.#deadLetters = plan.tolerance?.deadLetters && new DeadLetters(plan.tolerance.deadLetters)
    this.#batchWriter = this.#makeBatchWriter()
    this.#order = KeyOrder.of(plan)
    this.#unmetColumns = new UnmetColumns(plan.target)
  }

  /** Runs to the end. Returns only when everything is written, so that a later abort comes too late. */
  run(): Promise<void> {
    const request = { needs: needsOf(this.#plan), isPartition: this.#plan.partition !== undefined }
    return holding(this.#context, request, () => this.#stallWatch.during(() => this.#run()))
  }

  async #run(): Promise<void> {
    await this.#open()
    try {
      await this.#begin()
      await this.#deadLetters?.open({ ...this.#openContext, position: this.#progress.checkpoint.deadLetters })
      await this.#reportBeginning()
      const reading = await this.#copy()
      if (this.#mustTruncate) await this.#truncate()
      await this.#callTarget(() => createEmpty(this.#writer, reading?.columnsOfNone))
      this.#isOver = true
      this.#meter?.end(this.#progress.written.read)
      this.#progress.end()
      await this.#flusher.flush()
      checkHeld(this.#context)
      await this.#deadLetters?.commit()
      const replaced = await this.#placing(this.#callTarget(() => committed(this.#writer, this.#context.clock)))
      if (replaced) this.#progress.report({ replaced })
      if (replaced) this.#reportProgress(this.#progress.resumePoint)
      this.#unmetColumns.warn(this.#context)
    } catch (error) {
      await this.#stop(error)
      throw error
    }
    // A target that replaces starts from the beginning next time; one that appends resumes from here.
    const isOver = this.#plan.target.strategy === 'replace' || this.#refreshMark !== undefined
    if (isOver) this.#context.progress({ checkpoint: null })
    this.#context.complete()
  }

  async #open(): Promise<void> {
    const { target, tolerance } = this.#plan
    const context = { ...this.#openContext, toleratesFailures: tolerance !== undefined, ifReset: this.#ifReset }
    this.#opened = await this.#callTarget(() => openTarget(target, context))
    const { writer } = this.#opened
    this.#flusher = new Flusher({
      context: this.#context,
      progress: this.#progress,
      deadLetters: this.#deadLetters,
      flushTarget: writer.flush && ((checkpoint) => this.#placing(this.#callTarget(() => flushed(writer, checkpoint)))),
      writesDuringFlush: !tolerance && target.capabilities?.writesDuringFlush === true,
      report: (point) => this.#reportProgress(point),
    })
  }

  /** Finds the start position. The parent of a partition has compared the target with the checkpoints already. */
  async #begin(): Promise<void> {
    const { partition, ifTargetReset, consistency, isResumable } = this.#plan
    const checkpoint = checkpointIn(this.#opened.resume)
    if (this.#opened.resume === 'restart') this.#progress.restart()
    else if (isResumable && this.#progress.isOwn(checkpoint)) this.#progress.resumeFrom(checkpoint)
    else if (partition?.isKept && this.#progress.isOfScheme) this.#progress.restart()
    if (this.#progress.isResumed && !partition) {
      const written = writtenBy(this.#progress.checkpoint)
      const found = await this.#callTarget(() => checkTarget(this.#opened, { written, ifTargetReset }))
      if (found === 'restart') this.#progress.restart()
    }
    if (this.#progress.isResumed && this.#progress.checkpoint.isUnordered) throw unorderedFailure(this.#plan.pkField)
    if (this.#progress.isResumed) warnOfExtension(this.#plan, this.#context, this.#progress.checkpoint.cursor)
    if (this.#progress.warning) this.#context.warnOnce(this.#progress.warning)
    if (this.#progress.isRefresh) this.#beginRefresh()
    else if (this.#progress.isNew) await this.#callTarget(() => warnOfRepeats(this.#plan, this.#context, this.#writer))
    this.#progress.report({ ...(consistency && { consistency }), split: this.#progress.isContinued })
    this.#batchWriter.places.durable = this.#progress.detail.read
    this.#meter = new RunMeter(this.#context, this.#plan, this.#progress.detail.read)
    this.#hasBegun = true
  }

  /** A run that cannot resume begins the refresh anew in every execution until it is done. */
  #beginRefresh(): void {
    const { checkpoint } = this.#progress
    const fullRefresh = announceRefresh(this.#plan, this.#context)
    if (!this.#plan.isResumable)
      this.#refreshMark = withFieldCount({ ...initialCheckpoint(checkpoint.origin), refresh: true })
    this.#mustTruncate = fullRefresh === 'truncate'
    if (!this.#mustTruncate) this.#progress.settleRefresh()
    this.#progress.report({ fullRefresh })
  }

  /** A partition cannot load again what the others have lost: it fails, and the parent restarts all of them. */
  get #ifReset(): IngestionPlan['ifTargetReset'] {
    const { partition, ifTargetReset } = this.#plan
    return partition && ifTargetReset === 'restart' ? 'fail' : ifTargetReset
  }

  get #openContext(): OpenContext {
    const { isResumed, checkpoint } = this.#progress
    const { isResumable, partition } = this.#plan
    const scheme = partition && { scheme: partition.scheme }
    const warn = (message: string) => this.#context.warnOnce(message)
    return { ...this.#targetContext, position: checkpoint.position, isResumed, isResumable, ...scheme, warn }
  }

  #makeBatchWriter(): BatchWriter {
    const { tolerance } = this.#plan
    const { type, id, clock, redactor } = this.#context
    const options: BatchWriterOptions = {
      context: this.#targetContext,
      transform: (batch, context) => this.#transform(batch, context),
      write: (batch, key) => this.#writeTo(batch, key),
      keepsNone: () => this.#writer.flush === undefined,
      places: new RecordPlaces({ plan: this.#plan, redactor }),
    }
    if (!tolerance) return new DirectBatchWriter(options)
    return new TolerantBatchWriter({
      ...options,
      tolerance,
      deadLetters: this.#deadLetters,
      clock,
      redactor,
      // By a cursor, no run can resume within some batches. A full refresh removes no records before it has others.
      beforeParts: async () => {
        if (this.#plan.cursor && this.#progress.written.read > 0) await this.#flusher.flushUnblamed()
      },
      isSound: () => !this.#writer.isBroken && !this.#isTruncating && this.#flusher.isSound,
      shown: { type, id, executionId: this.#plan.partition?.parent ?? this.#context.executionId },
      dropped: (error) => this.#warn(error, 'dropped a record that failed'),
    })
  }

  /**
   * Reports the start position. Storage must know the position of the target before the first record. Otherwise, what a crash leaves
   * could not be told from what was there before.
   */
  async #reportBeginning(): Promise<void> {
    const isNew = !this.#progress.isResumed && this.#context.count === 0
    const isFirst = isNew || this.#mustTruncate
    const mustSaveFirst = this.#deadLetters !== undefined || (isFirst && this.#writer.flush !== undefined)
    if (this.#plan.isResumable && mustSaveFirst) {
      await this.#flusher.flush()
      await this.#context.save()
    } else if (!isNew || this.#progress.detail.fullRefresh) this.#reportProgress(this.#progress.resumePoint)
  }

  async #copy(): Promise<Reading | undefined> {
    const left = this.#plan.limit - this.#progress.detail.read
    if (left <= 0) return undefined
    const reading = new Reading(this.#plan, this.#progress, this.#context)
    const signal = anySignal([this.#signal, this.#stopReading.signal])
    if (this.#meter) void reading.measureTotal(this.#meter, signal)
    const batches = this.#callDatasource(() => reading.batches(this.#writer, left, signal))
    const wait = <Next>(next: Promise<Next>) => this.#flusher.whenIdle(next)
    // By a cursor, the datasource enforces the limit: only it knows where reading may end.
    const limit = this.#plan.cursor ? Number.POSITIVE_INFINITY : left
    const stop = () => this.#stopReading.abort()
    const beyond = this.#order && ((next?: RecordBatch) => this.#endOrder(next))
    const turns = new EventLoopTurns()
    const isOwnDatasource = this.#plan.datasource.needs === undefined
    this.#stallWatch.step(isOwnDatasource)
    for await (const read of readAhead(batches, limit, { wait, stop, beyond })) {
      this.#stallWatch.step(false)
      const delay = delayOf(this.#plan.limiters, this.#context.clock.now(), read.batch)
      if (delay > 0) await this.#flusher.whenIdle(sleep(this.#context.clock, delay, this.#signal))
      await turns.pass()
      this.#signal.throwIfAborted()
      await this.#write(read)
      await this.#flusher.afterBatch()
      this.#stallWatch.step(isOwnDatasource)
    }
    stop()
    return reading
  }

  async #write(read: ReadBatch): Promise<void> {
    const { clock } = this.#context
    const { batch } = read
    // Records made durable beyond a checkpoint come twice, so the last checkpoint before them is saved first.
    if (!this.#progress.isResumePoint(read) && !this.#flusher.isFlushed) await this.#flusher.flush()
    await this.#checkOrder(batch)
    const begunAt = clock.now()
    const placed = this.#progress.place(read, begunAt)
    this.#stallWatch.step(true)
    const outcome = await this.#batchWriter.write(batch, placed.name, this.#progress.written)
    this.#stallWatch.step(false)
    const { settled } = outcome
    this.#flusher.endBatch(settled.failed)
    this.#progress.moveAfter(placed, settled, clock.now())
    this.#order?.recordWritten(batch, settled.read)
    this.#markOrder()
    if ('error' in outcome) throw outcome.error
    this.#meter?.add(read)
    this.#context.batchDone({ records: batch.length, duration: Math.max(0, clock.now() - begunAt) })
  }

  /** A slow transform keeps no transaction open. */
  #transform(...[batch, context]: Parameters<BatchTransform>): ReturnType<BatchTransform> {
    const transformed = this.#plan.transform(batch, context)
    return transformed instanceof Promise ? this.#flusher.whenIdle(transformed) : transformed
  }

  /** Prevents runs from resuming where they would miss later records, and fails if the order is certainly wrong. */
  async #checkOrder(batch: RecordBatch): Promise<void> {
    if (!this.#order) return warnOfOtherKey(this.#plan, this.#context, batch)
    const { comparison } = this.#order
    const { isUnordered, sequence } = this.#progress.checkpoint
    const follows = this.#order.checkRead(batch)
    this.#markOrder()
    if (!follows && comparison.variable === 'last_id') throw orderFailure(this.#plan.pkField, comparison)
    // The target may hold the position without the mark, and keep it when it rejects this batch.
    if (this.#order.isUnsafe && !isUnordered && sequence > 0) await this.#flusher.flush()
  }

  #endOrder(beyond: RecordBatch | undefined): void {
    this.#order?.recordEnd(beyond)
    this.#markOrder()
  }

  #markOrder(): void {
    const { isUnordered = false } = this.#progress.checkpoint
    if (this.#order && this.#order.isUnsafe !== isUnordered) this.#progress.mark({ isUnordered: !isUnordered })
  }

  async #writeTo(batch: RecordBatch, idempotencyKey: string): Promise<void> {
    if (this.#mustTruncate) await this.#truncate()
    const context = { ...this.#targetContext, idempotencyKey }
    this.#unmetColumns.add(batch)
    this.#flusher.beginWrite()
    const isOwnTarget = this.#plan.target.needs === undefined
    this.#stallWatch.step(isOwnTarget)
    await this.#callTarget(() => callTarget('write', () => this.#writer.write(batch, context)))
    this.#stallWatch.step(true)
  }

  /** Removes the records of earlier runs, in the transaction of what is written next. No record can be blamed when that fails. */
  async #truncate(): Promise<void> {
    this.#isTruncating = true
    this.#flusher.beginWrite()
    await this.#callTarget(() => removeEarlier(this.#writer, this.#signal)).catch(ofNoRecord)
    this.#isTruncating = false
    this.#mustTruncate = false
    this.#progress.settleRefresh()
  }

  get #writer(): TargetWriter {
    return this.#opened.writer
  }

  #reportProgress({ checkpoint, detail }: ResumePoint): void {
    const { lastId } = checkpoint
    this.#batchWriter.places.durable = detail.read
    // That nothing was read yet is not worth an event.
    const isTold = detail.fullRefresh !== undefined || this.#context.detail !== undefined
    const hasDetail = this.#isOver || detail.read > 0 || isTold
    const counts = { count: detail.read, ...(hasDetail && { detail: { ...detail, ...this.#meter?.at(detail.read) } }) }
    const kept = this.#progress.stored(checkpoint) ?? this.#refreshMark ?? null
    this.#context.progress({ ...counts, checkpoint: kept, ...(lastId !== undefined && { lastId }) })
  }

  /** Stops early: saves what was written, unless others may write now, then closes the target. */
  async #stop(error: unknown): Promise<void> {
    this.#isOver = true
    this.#stopReading.abort()
    await this.#flusher.settled()
    const isTargetSound = !(JobError.isInstance(error) && error.code === 'target')
    const failures: unknown[] = []
    // A target that does not stop would hide what failed.
    const late = () => this.#warn(error, `is still being stopped after ${stopTimeout} ms`)
    const timer = this.#context.clock.setTimer(stopTimeout, late, { background: true })
    const stopping = async (step: () => Promise<void>) => step().catch((failure) => failures.push(failure))
    if (this.#hasBegun && isTargetSound && this.#context.isHeld()) await stopping(() => this.#flusher.flush())
    const isHeld = this.#context.isHeld()
    const reason = isHeld ? (this.#signal.aborted ? this.#signal.reason : error) : leaseLost()
    const abort = { reason, leaseLost: !isHeld }
    const { clock } = this.#context
    const stop = () => callTarget('abort', () => this.#writer.abort?.(abort))
    await stopping(() => this.#callTarget(() => untilStopped(clock, stop())))
    await stopping(() => untilStopped(clock, this.#deadLetters?.abort(abort)))
    timer.cancel()
    // An abort that fails is a failure. After a failure, the first error matters.
    if (this.#signal.aborted && failures.length > 0) throw failures[0]
    for (const failure of failures) this.#warn(failure, 'could not stop cleanly')
  }

  #warn(error: unknown, message: string): void {
    warnOf(this.#context.logger, this.#context, error, message)
  }

  async #callTarget<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      throw new JobError('target', this.#plan.failures.target, { cause: error })
    }
  }

  /** The answer of a call that writes no batch. */
  #placing<Answer>(answer: Promise<Answer>): Promise<Answer> {
    return placing(answer, this.#batchWriter, this.#signal)
  }

  async *#callDatasource(read: () => AsyncIterable<ReadBatch>): AsyncGenerator<ReadBatch> {
    try {
      yield* read()
    } catch (error) {
      const thrown = thrownBy('datasource', this.#plan.cursor ? 'readByCursor' : 'read', error)
      const cause = this.#progress.isResumed ? unfitFailure(thrown) : thrown
      throw new JobError('datasource', this.#plan.failures.datasource, { cause })
    }
  }
}

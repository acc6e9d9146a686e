import { createAbortController } from '../core/abort.js'
import { sleep } from '../core/clock.js'
import { JobError } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import { isEnded } from '../core/lifecycle.js'
import { warnOf } from '../core/logger.js'
import { type Parts, partsOf } from '../core/parts.js'
import type { ExecutionRecord } from '../core/storage.js'
import { type AllocationRequest, type GiveBack, holding } from './_allocator.js'
import { PartProgress, writtenUpTo } from './_part-progress.js'
import { needsOf, type Plan } from './_plan.js'
import { damagedField, storedCheckpoint, storedDetail, storedWholeCheckpoint } from './_stored.js'
import { WholeTarget } from './_whole-target.js'
import { type Checkpoint, checkCuts, variablesOf, type WholeCheckpoint, writtenBy } from './checkpoint.js'
import { addedUp, type IngestionDetail, nothingRead } from './detail.js'
import type { Cuts, Partitioning, Scheme } from './partitions.js'

/** How often to look how far the parts have come, in milliseconds: at least, and for each part. */
const intervals = { least: 250, ofPart: 10 }

/**
 * One run of an ingestion in parts: cuts it, lets the parts wait for slots of any registry, does those here that nobody has
 * taken, and tells of all as one.
 */
export class PartitionedRun {
  readonly #plan: Plan
  readonly #context: JobContext
  readonly #parts: Parts
  readonly #cuts: Cuts
  /** How many nodes in a row may be lost of a part. */
  readonly #limit: number
  readonly #target: WholeTarget
  /** What tries before this one have counted. */
  readonly #counted: IngestionDetail
  #before!: WholeCheckpoint
  #scheme!: Scheme
  #progress: readonly PartProgress[] = []
  #news = createAbortController()
  #isStopped = false
  /** What storage holds of a part, and nobody can go on with. */
  #damage: unknown

  constructor(plan: Plan, context: JobContext, cuts: Cuts, limit: number) {
    this.#plan = plan
    this.#context = context
    this.#parts = partsOf(context)
    this.#cuts = cuts
    this.#limit = limit
    this.#target = new WholeTarget(plan, context)
    this.#counted = storedDetail(context.detail) ?? nothingRead
  }

  /** Runs to the end of all parts. */
  async run(): Promise<'completed'> {
    await holding(this.#context, this.#request, (giveBack) => this.#runParts(giveBack))
    await this.#finish()
    return 'completed'
  }

  get #request(): AllocationRequest {
    const { datasource, cursor } = this.#plan
    const needsOfCut = cursor && datasource.partition ? (datasource.needs?.(1) ?? []) : []
    return { needs: [...this.#target.needs, ...needsOfCut], needsOfPart: needsOf(this.#plan) }
  }

  async #runParts(giveBack: GiveBack): Promise<void> {
    const { signal } = this.#context
    const tellNews = () => this.#tellNews()
    const partitioning = await this.#prepare()
    // Only the cut stays open while the parts run.
    giveBack(this.#target.needs)
    signal.addEventListener('abort', tellNews)
    const stopNews = this.#parts.onNews(tellNews)
    try {
      await this.#untilDone()
    } finally {
      signal.removeEventListener('abort', tellNews)
      stopNews()
      await partitioning.release()
    }
  }

  /** Takes the target over, and cuts the job for it. */
  async #prepare(): Promise<Partitioning> {
    try {
      this.#before = await this.#target.takeOver(await this.#writtenUnfinished())
      const partitioning = await this.#cut()
      try {
        await this.#target.begin({ ...this.#before, scheme: this.#scheme })
        return partitioning
      } catch (error) {
        await partitioning.release()
        throw error
      }
    } finally {
      await this.#target.release()
    }
  }

  /** How many records the parts have written of a cut that is not done: asked before the target is, which then has them. */
  async #writtenUnfinished(): Promise<number> {
    const { scheme } = storedWholeCheckpoint(this.#context.checkpoint) ?? {}
    if (!scheme) return 0
    const numbers = Array.from({ length: scheme.bounds.length + 1 }, (_, n) => n)
    const records = await Promise.all(numbers.map((n) => this.#parts.find(n)))
    const checkpoints = records.map((record) => storedCheckpoint(record?.checkpoint) as Checkpoint | undefined)
    return writtenUpTo(checkpoints.filter((checkpoint) => checkpoint?.scheme === scheme.id))
  }

  /** Cuts it, or goes on with what another execution has cut. */
  async #cut(): Promise<Partitioning> {
    const { scheme: unfinished, cursor, sequence } = this.#before
    checkCuts(this.#before, this.#plan, this.#cuts)
    const position = unfinished ? (unfinished.position ?? unfinished.start) : cursor
    const partitioning = await this.#partition(unfinished?.bounds ?? this.#cuts, position)
    const { bounds, snapshot, start } = partitioning
    if (unfinished && String(bounds) !== String(unfinished.bounds)) {
      await partitioning.release()
      throw damagedField('checkpoint.scheme.bounds', 'values in the order of the cursor, behind its position')
    }
    const isContinued = !this.#plan.cursor && this.#plan.isResumable && sequence > 0
    const made = { id: this.#context.executionId, bounds, position, start, isContinued, isResumed: false }
    this.#scheme = { ...(unfinished ? { ...unfinished, isResumed: true } : made), snapshot }
    return partitioning
  }

  async #partition(cuts: Cuts, position: unknown): Promise<Partitioning> {
    const { datasource, cursor, query, failures } = this.#plan
    if (!cursor || !datasource.partition) return { bounds: cuts as readonly string[], release: async () => undefined }
    const reading = { ...cursor, position, limit: Number.POSITIVE_INFINITY, leaveOut: () => undefined }
    try {
      const statement = query.render(variablesOf(this.#before))
      return await datasource.partition(statement, { cursor: reading, cuts, signal: this.#context.signal })
    } catch (error) {
      throw new JobError('datasource', failures.datasource, { cause: error })
    }
  }

  async #untilDone(): Promise<void> {
    let working: Promise<void> | undefined
    try {
      await this.#begin()
      working = this.#work()
      await this.#follow()
    } catch (error) {
      await this.#stop()
      throw error
    } finally {
      this.#isStopped = true
      this.#tellNews()
      await working
    }
  }

  /** Stores how it was cut, and only then lets the parts begin: those that live by another cut have to end before. */
  async #begin(): Promise<void> {
    const { id, bounds, isResumed } = this.#scheme
    this.#context.progress({ checkpoint: { ...this.#before, scheme: this.#scheme } })
    await this.#context.save()
    this.#context.signal.throwIfAborted()
    if (!isResumed) await this.#endAll()
    const numbers = Array.from({ length: bounds.length + 1 }, (_, n) => n)
    this.#progress = numbers.map((n) => new PartProgress(n, id, this.#limit))
    await Promise.all(this.#progress.map((part) => this.#beginPart(part)))
    this.#say()
  }

  async #beginPart(part: PartProgress): Promise<void> {
    const record = await this.#findStopped(part)
    if (!record || !this.#scheme.isResumed || !part.goesOnWith(record)) return this.#start(part, record)
    part.adopt(record)
    if (part.isFree) await this.#parts.enqueue(record)
  }

  /** The execution of a part: one that is to stop, once it has. */
  async #findStopped({ n }: PartProgress): Promise<ExecutionRecord | undefined> {
    let record = await this.#parts.find(n)
    while (record?.state === 'aborting') {
      await this.#pause()
      this.#context.signal.throwIfAborted()
      record = await this.#parts.find(n)
    }
    return record
  }

  async #start(part: PartProgress, before: ExecutionRecord | undefined): Promise<void> {
    await this.#parts.start(part.n)
    part.ignore(before)
  }

  /** Tells how far the parts have come, until all are done, or one has failed. */
  async #follow(): Promise<void> {
    while (!this.#isDone) {
      await this.#pause()
      await this.#look(this.#progress.filter(({ isDone }) => !isDone))
      this.#context.signal.throwIfAborted()
      if (this.#damage !== undefined) throw this.#damage
      const failed = this.#progress.filter(({ hasFailed }) => hasFailed)
      for (const part of failed) {
        if (!part.isAdopted) throw part.failureOf(this.#progress.length)
        await this.#try(() => this.#start(part, part.record))
      }
      this.#say()
    }
  }

  /** Does those parts here, one after the other, that nobody has taken, or whose node was lost. */
  async #work(): Promise<void> {
    while (!this.#isDone && !this.#isStopped) {
      const free = this.#progress.find(({ isFree }) => isFree)
      if (free?.record) await this.#try(() => this.#parts.run(free.record as ExecutionRecord))
      if (free) await this.#look([free])
      if (free?.isFree ?? true) await this.#pause()
      else this.#tellNews()
    }
  }

  /** Asks all parts to stop, and waits until they have: unless others go on with the whole, or may do so already. */
  async #stop(): Promise<void> {
    this.#isStopped = true
    let isOver = false
    while (!isOver && this.#context.isHeld()) {
      await this.#try(async () => {
        if (!(await this.#isHandedBack())) await this.#endAll()
        isOver = true
      })
      if (!isOver) await this.#pause()
    }
    await this.#look(this.#progress)
    if (this.#context.isHeld()) this.#say()
  }

  /** Whether the signal to stop is that of a node which closes: nobody has asked the job itself. */
  async #isHandedBack(): Promise<boolean> {
    if (!this.#context.signal.aborted) return false
    const whole = await this.#parts.whole()
    return whole !== undefined && whole.state !== 'aborting' && !isEnded(whole.state)
  }

  async #endAll(): Promise<void> {
    for (let live = await this.#parts.live(); live.length > 0; live = await this.#parts.live()) {
      await Promise.all(live.map((n) => this.#parts.abort(n)))
      await this.#pause()
      if (!this.#context.isHeld()) return
    }
  }

  async #look(parts: readonly PartProgress[]): Promise<void> {
    await Promise.all(parts.map((part) => this.#try(() => part.look(this.#parts))))
  }

  get #isDone(): boolean {
    return this.#progress.every(({ isDone }) => isDone)
  }

  /** What storage does not answer now, it is asked again. */
  async #try(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      if (JobError.isInstance(error) && error.code === 'checkpoint') this.#damage ??= error
      else warnOf(this.#context.logger, this.#context, error, 'could not reach a part, and tries again')
    }
  }

  /** Until the next look, or until there is news. */
  #pause(): Promise<void> {
    const { least, ofPart } = intervals
    return sleep(this.#context.clock, Math.max(least, ofPart * this.#progress.length), this.#news.signal)
  }

  #tellNews(): void {
    this.#news.abort()
    this.#news = createAbortController()
  }

  #say(): void {
    const { detail, lastId } = this.#reached
    this.#context.progress({ count: detail.read, detail, ...(lastId !== undefined && { lastId }) })
  }

  /** What the parts have come to: the checkpoint is that of the whole once all are done. */
  get #reached(): { detail: IngestionDetail; lastId: string | undefined; checkpoint: WholeCheckpoint } {
    const { cursor, isResumable } = this.#plan
    const { scheme: _, position: __, deadLetters: ___, ...before } = this.#before
    const sum = PartProgress.sum(this.#progress)
    const split = before.sequence > 0 || this.#scheme.isResumed || sum.detail.split === true
    const detail = {
      ...addedUp(sum.detail, this.#counted),
      ...(cursor && { consistency: 'snapshot' as const }),
      split,
    }
    // Parts that go on by themselves have counted what they wrote before.
    const written = sum.written + (this.#scheme.isContinued ? 0 : writtenBy(before))
    const { lastId, maxPrimaryKey, lastRecordTimestamp, lastRecord } = sum.last ?? {}
    const checkpoint = {
      ...before,
      ...variablesOf({ lastId, maxPrimaryKey, lastRecordTimestamp, lastRecord } as WholeCheckpoint),
      ...(sum.last?.cursor !== undefined && { cursor: sum.last.cursor }),
      ...(!cursor && isResumable && { bounds: this.#scheme.bounds }),
      sequence: before.sequence + (sum.last ? 1 : 0),
      written,
    }
    return { detail, lastId, checkpoint }
  }

  /** Keeps where all parts have come to: beside the records first, where the job may go on without parts. */
  async #finish(): Promise<void> {
    const { checkpoint, detail } = this.#reached
    const position = await this.#target.keep(checkpoint, detail)
    this.#say()
    const kept = { ...checkpoint, ...(position !== undefined && { position }) }
    this.#context.progress({ checkpoint: this.#plan.isResumable ? kept : null })
  }
}

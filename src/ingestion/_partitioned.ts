import { sleep } from '../core/clock.js'
import { JobError } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import { isEnded } from '../core/lifecycle.js'
import { warnOf } from '../core/logger.js'
import { type Parts, partsOf } from '../core/parts.js'
import type { ExecutionRecord } from '../core/storage.js'
import { PartProgress } from './_part-progress.js'
import type { Plan } from './_plan.js'
import { initialCheckpoint, variablesOf, type WholeCheckpoint } from './checkpoint.js'
import { type Cuts, type Part, type Partitioning, partIn, type Scheme } from './partitions.js'

/** How often to look how far the parts have come, in milliseconds. */
const interval = 250

/** The part of an ingestion that a run does. Throws `aborted` when the whole has ended. */
export async function findPart(context: JobContext, n: number): Promise<Part> {
  const whole = await partsOf(context).whole()
  const { scheme } = (whole?.checkpoint ?? {}) as Partial<WholeCheckpoint>
  if (whole?.state === 'running' && scheme) return partIn(scheme, n)
  throw new JobError('aborted', 'The job has ended that this is a part of.')
}

/**
 * One run of an ingestion in parts: cuts it, lets the parts wait for slots of any registry, does those here that nobody has
 * taken, and tells of all as one.
 */
export class PartitionedRun {
  readonly #plan: Plan
  readonly #context: JobContext
  readonly #parts: Parts
  readonly #cuts: Cuts
  readonly #before: WholeCheckpoint
  #scheme!: Scheme
  #progress: readonly PartProgress[] = []
  #news = new AbortController()
  #isStopped = false

  constructor(plan: Plan, context: JobContext, cuts: Cuts) {
    const { checkpoint, executionId } = context
    this.#plan = plan
    this.#context = context
    this.#parts = partsOf(context)
    this.#cuts = cuts
    this.#before = (checkpoint as WholeCheckpoint | undefined) ?? initialCheckpoint(executionId)
  }

  /** Runs to the end of all parts. */
  async run(): Promise<'completed'> {
    const partitioning = await this.#cut()
    try {
      await this.#begin()
      await this.#untilDone()
    } finally {
      await partitioning.release()
    }
    this.#say()
    return 'completed'
  }

  /** Cuts it, or goes on with what another execution has cut. */
  async #cut(): Promise<Partitioning> {
    const { scheme: unfinished, cursor } = this.#before
    const position = unfinished ? unfinished.position : cursor
    const partitioning = await this.#partition(unfinished?.bounds ?? this.#cuts, position)
    const { bounds, snapshot } = partitioning
    const id = unfinished?.id ?? this.#context.executionId
    this.#scheme = { id, bounds, snapshot, position, isResumed: unfinished !== undefined }
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

  /** Stores how it was cut, and only then lets the parts begin. */
  async #begin(): Promise<void> {
    this.#context.progress({ checkpoint: { ...this.#before, scheme: this.#scheme } })
    await this.#context.save()
    this.#context.signal.throwIfAborted()
    const numbers = Array.from({ length: this.#scheme.bounds.length + 1 }, (_, n) => n)
    this.#progress = await Promise.all(numbers.map((n) => this.#beginPart(n)))
  }

  async #beginPart(n: number): Promise<PartProgress> {
    const { isResumed } = this.#scheme
    if (!isResumed) await this.#endFormer(n)
    const record = await this.#parts.find(n)
    const progress = new PartProgress(n, this.#scheme.id)
    const goesOn = isResumed && record !== undefined && (!isEnded(record.state) || progress.isDoneBy(record))
    if (goesOn) progress.see(record)
    else {
      progress.ignore(record)
      await this.#parts.start(n)
    }
    return progress
  }

  /** Sees to it that no part lives any more that was cut otherwise. */
  async #endFormer(n: number): Promise<void> {
    const { signal, clock } = this.#context
    for (let former = await this.#parts.find(n); former && !isEnded(former.state); former = await this.#parts.find(n)) {
      await this.#parts.abort(n)
      await sleep(clock, interval, signal)
      signal.throwIfAborted()
    }
  }

  async #untilDone(): Promise<void> {
    const working = this.#work()
    try {
      await this.#follow()
    } catch (error) {
      if (this.#context.isHeld()) await this.#stop()
      throw error
    } finally {
      this.#isStopped = true
      this.#tellNews()
      await working
    }
  }

  /** Tells how far the parts have come, until all are done, or one has failed. */
  async #follow(): Promise<void> {
    while (!this.#isDone) {
      await this.#pause()
      await this.#look()
      this.#context.signal.throwIfAborted()
      for (const part of this.#progress) part.throwIfFailed(this.#progress.length)
      this.#say()
    }
  }

  /** Does those parts here, one after the other, that nobody has taken, or whose node was lost. */
  async #work(): Promise<void> {
    while (!this.#isDone && !this.#isStopped) {
      const free = this.#progress.find(({ isFree }) => isFree)
      if (free?.record) await this.#try(() => this.#parts.run(free.record as ExecutionRecord))
      if (free) await this.#look(free)
      if (free?.isFree ?? true) await this.#pause()
      else this.#tellNews()
    }
  }

  /** Asks all parts to stop, and waits until they have. */
  async #stop(): Promise<void> {
    this.#isStopped = true
    const isLive = ({ isLive }: PartProgress) => isLive
    await Promise.all(this.#progress.filter(isLive).map(({ n }) => this.#try(() => this.#parts.abort(n))))
    while (this.#progress.some(isLive) && this.#context.isHeld()) {
      await this.#look()
      if (this.#progress.some(isLive)) await sleep(this.#context.clock, interval, this.#news.signal)
    }
    this.#say()
  }

  async #look(...parts: readonly PartProgress[]): Promise<void> {
    const looked = parts.length > 0 ? parts : this.#progress.filter(({ isDone }) => !isDone)
    await Promise.all(looked.map((part) => this.#try(() => part.look(this.#parts))))
  }

  get #isDone(): boolean {
    return this.#progress.every(({ isDone }) => isDone)
  }

  /** What storage does not answer now, it is asked again. */
  async #try(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      warnOf(this.#context.logger, this.#context, error, 'could not reach a part, and tries again')
    }
  }

  #pause(): Promise<void> {
    return sleep(this.#context.clock, interval, AbortSignal.any([this.#context.signal, this.#news.signal]))
  }

  #tellNews(): void {
    this.#news.abort()
    this.#news = new AbortController()
  }

  #say(): void {
    const { detail, last } = PartProgress.sum(this.#progress)
    const { cursor } = this.#plan
    const { isResumed } = this.#scheme
    const { scheme: _, ...before } = this.#before
    const { scheme: __, position: ___, deadLetters: ____, sequence: _____, ...reached } = last ?? {}
    const checkpoint = {
      ...before,
      ...(this.#isDone
        ? { ...reached, origin: before.origin, sequence: before.sequence + 1 }
        : { scheme: this.#scheme }),
    }
    const lastId = last?.lastId
    this.#context.progress({
      count: detail.read,
      detail: { ...detail, ...(cursor && { consistency: 'snapshot' }), split: isResumed || detail.split === true },
      checkpoint,
      ...(lastId !== undefined && { lastId }),
    })
  }
}

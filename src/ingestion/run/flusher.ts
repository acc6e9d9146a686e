import { leaseLost, withTimeout } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { DeadLetters } from './dead-letters.js'
import type { ResumePoint, RunProgress } from './progress.js'

/** What a flusher needs. */
export interface FlusherOptions {
  readonly context: ExecutionContext
  readonly progress: RunProgress
  readonly deadLetters: DeadLetters | undefined
  /** `flush` of the target. Absent when each write is durable. */
  readonly flushTarget: ((checkpoint: unknown) => Promise<unknown>) | undefined
  /** Whether the target may be written to while it flushes. */
  readonly writesDuringFlush: boolean
  /** Reports a position that is durable. */
  report(point: ResumePoint): void
}

/**
 * Makes written records durable, and reports the position that is durable then. It does so when `progressInterval` has passed, after a
 * batch or while the run waits, and never between two writes of one batch.
 */
export class Flusher {
  readonly #options: FlusherOptions
  #flushedAt: number
  /** Whether nothing was written since the last flush. */
  #isFlushed = true
  /** Whether a batch is written in part. No checkpoint describes that. */
  #isInBatch = false
  #isSound = true
  /** The running flush of a target that may be written to meanwhile. */
  #flushing: Promise<void> | undefined

  constructor(options: FlusherOptions) {
    this.#options = options
    this.#flushedAt = options.context.clock.now()
  }

  /** Whether no flush has failed while the run waited or looked for a bad record. After that, no record can be blamed for an error. */
  get isSound(): boolean {
    return this.#isSound
  }

  get isFlushed(): boolean {
    return this.#isFlushed
  }

  /** Call before each write to the target. */
  beginWrite(): void {
    this.#isInBatch = true
    this.#setWritten()
  }

  /** Call after each batch. `failed` is the number of its records that were set aside. */
  endBatch(failed: number): void {
    this.#isInBatch = false
    if (failed > 0) this.#setWritten()
  }

  /** Flushes after a batch, if that is due. The target may be written to meanwhile, if it supports that. */
  async afterBatch(): Promise<void> {
    if (!this.#isDue) return
    if (!this.#options.writesDuringFlush) return this.flush()
    await this.#flushing
    // The next one is due an interval later, not while this one is saved.
    this.#flushedAt = this.#options.context.clock.now()
    this.#flushing = this.#flush()
    // The next flush reports the error.
    this.#flushing.catch(() => undefined)
  }

  /** Waits for a batch, or for its transform. If that is slow, flushes what the target has accepted. */
  async whenIdle<Next>(next: Promise<Next>): Promise<Next> {
    if (this.#isFlushed || this.#isInBatch) return next
    const { clock, progressInterval } = this.#options.context
    const left = Math.max(0, this.#flushedAt + progressInterval - clock.now())
    const settled = next.then(
      () => true,
      () => true,
    )
    if (await withTimeout(clock, left, settled)) return next
    await this.flushUnblamed()
    return next
  }

  /** Flushes everything written. When that fails, no record is blamed for it. */
  async flushUnblamed(): Promise<void> {
    try {
      await this.flush()
    } catch (error) {
      this.#isSound = false
      throw error
    }
  }

  /** Flushes everything written. */
  async flush(): Promise<void> {
    await this.#flushing
    this.#flushing = undefined
    await this.#flush()
  }

  /** Waits for the running flush, whatever becomes of it. */
  async settled(): Promise<void> {
    await Promise.allSettled([this.#flushing])
  }

  get #isDue(): boolean {
    const { context, flushTarget } = this.#options
    return flushTarget === undefined || context.clock.now() - this.#flushedAt >= context.progressInterval
  }

  #setWritten(): void {
    this.#isFlushed = this.#options.flushTarget === undefined
  }

  /** Reports the position once the targets hold it: dead letters first, so that none is passed. */
  async #flush(): Promise<void> {
    const { context, progress, deadLetters, flushTarget, report } = this.#options
    checkHeld(context)
    if (progress.isBeyond) return
    if (deadLetters) progress.mark({ deadLetters: await deadLetters.flush() })
    const { resumePoint, kept } = progress
    if (flushTarget) {
      this.#isFlushed = true
      const position = await flushTarget(kept)
      progress.mark({ position })
      this.#flushedAt = context.clock.now()
      report({ ...resumePoint, checkpoint: { ...resumePoint.checkpoint, position } })
    } else report(resumePoint)
    if (!deadLetters?.isAhead) return
    await context.save()
    deadLetters.settle()
  }
}

/** Throws when another execution may write now. */
export function checkHeld(context: ExecutionContext): void {
  if (!context.isHeld()) throw leaseLost()
}

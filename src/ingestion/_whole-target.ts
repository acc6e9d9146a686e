import { JobError } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import { holding } from './_allocator.js'
import type { Plan } from './_plan.js'
import { keptWholeCheckpoint, storedWholeCheckpoint } from './_stored.js'
import { checkTarget } from './_target-check.js'
import { initialCheckpoint, type KeptWholeCheckpoint, type WholeCheckpoint, writtenBy } from './checkpoint.js'
import { type IngestionDetail, nothingRead } from './detail.js'
import type { ResourceNeed } from './resources.js'
import type { TargetWriter } from './target.js'

/**
 * The target of an ingestion in parts, as the whole knows it. Parts write to it under names of their own; what is kept there
 * under the name of the job has to fit, as the job may be cut today and not tomorrow.
 */
export class WholeTarget {
  readonly #plan: Plan
  readonly #context: JobContext
  #writer: TargetWriter | undefined

  constructor(plan: Plan, context: JobContext) {
    this.#plan = plan
    this.#context = context
  }

  /** What it holds while the target is open. */
  get needs(): readonly ResourceNeed[] {
    return this.#plan.target.needs?.({}) ?? []
  }

  /**
   * Takes over from executions that were not cut, of which none can write from then on. Gives where the job goes on. `written` says how
   * many records the parts have written that are not done.
   */
  async takeOver(written: number): Promise<WholeCheckpoint> {
    const { checkpoint, executionId } = this.#context
    const stored: WholeCheckpoint = storedWholeCheckpoint(checkpoint) ?? initialCheckpoint(executionId)
    this.#writer = await this.#open(stored)
    const { mustRestart, checkpoint: kept } = this.#writer
    if (mustRestart) return initialCheckpoint(executionId)
    const before = stored.scheme || !this.#isOwn(kept) ? stored : ownOf(keptWholeCheckpoint(kept))
    const { ifTargetReset } = this.#plan
    const expected = { written: written + writtenBy(before), ifTargetReset }
    const found = await this.#targeting(() => checkTarget(this.#writer as TargetWriter, expected))
    return found === 'restart' ? initialCheckpoint(executionId) : before
  }

  /** Keeps how the job was cut: parts can then resume although storage was lost. */
  async begin(checkpoint: WholeCheckpoint): Promise<void> {
    const { executionId } = this.#context
    const kept = this.#plan.isResumable ? { ...checkpoint, executionId, detail: nothingRead } : null
    await this.#targeting(async () => this.#writer?.flush?.(kept))
  }

  /** Lets the target go. Parts open it by themselves. */
  async release(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await this.#targeting(async () => writer?.abort?.(new JobError('aborted', 'The job goes on in parts.')))
  }

  /** Keeps the checkpoint beside the records. Gives where the target stands. */
  keep(checkpoint: WholeCheckpoint, detail: IngestionDetail): Promise<unknown> {
    return holding(this.#context, { needs: this.needs }, () => this.#keep(checkpoint, detail))
  }

  async #keep(checkpoint: WholeCheckpoint, detail: IngestionDetail): Promise<unknown> {
    const { executionId } = this.#context
    const writer = await this.#open({ ...checkpoint, sequence: checkpoint.sequence + 1 })
    return this.#targeting(async () => {
      const position = await writer.flush?.(this.#plan.isResumable ? { ...checkpoint, executionId, detail } : null)
      await writer.commit?.()
      return position
    })
  }

  #open({ scheme, sequence, position }: WholeCheckpoint): Promise<TargetWriter> {
    const { type, id, executionId, signal } = this.#context
    const { target, isResumable } = this.#plan
    const isResumed = scheme !== undefined || sequence > 0
    // What parts have written is behind every position.
    const place = scheme ? undefined : position
    return this.#targeting(async () =>
      target.open({ type, id, executionId, signal, position: place, isResumed, isResumable }),
    )
  }

  #isOwn(kept: unknown): kept is KeptWholeCheckpoint {
    if (kept === undefined || kept === null || !this.#plan.isResumable) return false
    return !this.#plan.startsOver || (kept as KeptWholeCheckpoint).origin === this.#context.executionId
  }

  async #targeting<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      throw new JobError('target', this.#plan.failures.target, { cause: error })
    }
  }
}

function ownOf({ executionId: _, detail: __, ...checkpoint }: KeptWholeCheckpoint): WholeCheckpoint {
  return checkpoint
}

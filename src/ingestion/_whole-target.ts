import { JobError } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import type { Plan } from './_plan.js'
import { initialCheckpoint, type KeptCheckpoint, type WholeCheckpoint } from './checkpoint.js'
import type { IngestionDetail } from './detail.js'
import type { TargetWriter } from './target.js'

/**
 * The target of an ingestion in parts, as the whole knows it. Parts write to it under names of their own; what is kept there
 * under the name of the job has to fit, as the job may be cut today and not tomorrow.
 */
export class WholeTarget {
  readonly #plan: Plan
  readonly #context: JobContext

  constructor(plan: Plan, context: JobContext) {
    this.#plan = plan
    this.#context = context
  }

  /** Takes over from executions that were not cut, of which none can write from then on. Gives where the job goes on. */
  async takeOver(): Promise<WholeCheckpoint> {
    const { checkpoint, executionId } = this.#context
    const before: WholeCheckpoint = (checkpoint as WholeCheckpoint | undefined) ?? initialCheckpoint(executionId)
    const writer = await this.#open(before)
    const { mustRestart, checkpoint: kept } = writer
    await this.#targeting(async () => writer.abort?.(new JobError('aborted', 'The job goes on in parts.')))
    if (mustRestart) return initialCheckpoint(executionId)
    if (before.scheme || kept === undefined || !this.#plan.isResumable) return before
    const { executionId: _, detail: __, scheme: ___, range: ____, ...own } = kept as KeptCheckpoint
    return own
  }

  /** Keeps the checkpoint beside the records. Gives where the target stands. */
  async keep(checkpoint: WholeCheckpoint, detail: IngestionDetail): Promise<unknown> {
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

  async #targeting<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      throw new JobError('target', this.#plan.failures.target, { cause: error })
    }
  }
}

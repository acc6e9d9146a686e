import { createAbortController, JobError, sleep, warnOf } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import { type ExecutionRecord, isEnded } from '../../core/model/index.js'
import { type Partition, partitionIn } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'
import { IngestionRun, storedParentCheckpoint } from '../run/index.js'

/** How often to check whether the parent is still live, in milliseconds. */
const interval = 1000

/** One run of a partition. It lasts as long as the parent is live, or will be resumed. */
export class PartitionRun {
  readonly #plan: IngestionPlan
  readonly #context: ExecutionContext
  readonly #n: number
  /** Aborts when the partition has ended. */
  readonly #over = createAbortController()

  constructor(plan: IngestionPlan, context: ExecutionContext, n: number) {
    this.#plan = plan
    this.#context = context
    this.#n = n
  }

  /** Runs to the end of the partition. It is aborted when the parent has ended, or has a newer scheme. */
  async run(): Promise<void> {
    const partition = this.#partitionOf(await this.#context.partitions.parent())
    if (!partition) {
      await this.#abort()
      this.#context.signal.throwIfAborted()
      // A return would say that the partition is done.
      throw new JobError('aborted', 'The parent job of this partition has ended, or has other partitions now.')
    }
    const watching = this.#watch(partition)
    try {
      await new IngestionRun({ ...this.#plan, partition }, this.#context).run()
    } finally {
      this.#over.abort()
      await watching
    }
  }

  async #watch({ scheme }: Partition): Promise<void> {
    const { clock, logger } = this.#context
    while (!this.#over.signal.aborted) {
      await sleep(clock, interval, this.#over.signal)
      try {
        const parent = this.#over.signal.aborted ? undefined : await this.#context.partitions.parent()
        if (parent && this.#partitionOf(parent)?.scheme !== scheme) return await this.#abort()
      } catch (error) {
        warnOf(logger, this.#context, error, 'could not read its parent job')
      }
    }
  }

  /** Aborts this execution: its parent needs it no more. */
  async #abort(): Promise<void> {
    await this.#context.partitions.abort(this.#n)
  }

  /** The partition by the parent's scheme. `undefined` when that will not be resumed. */
  #partitionOf(parent: ExecutionRecord | undefined): Partition | undefined {
    const { scheme } = storedParentCheckpoint(parent?.checkpoint) ?? {}
    if (!parent || !scheme || parent.state === 'aborting') return undefined
    const isLeft = parent.isOrphaned === true && this.#plan.isTakenOver
    return isEnded(parent.state) && !isLeft ? undefined : partitionIn(scheme, this.#n, parent.executionId)
  }
}

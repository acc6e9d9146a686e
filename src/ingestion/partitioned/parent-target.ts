import { callTarget, executionOrder, JobError } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import { type ExecutionRecord, isEnded } from '../../core/model/index.js'
import {
  checkedNeeds,
  type IngestionDetail,
  nothingRead,
  type OpenTarget,
  type Partition,
  type ResourceNeed,
  type TargetAbort,
  type TargetWriter,
} from '../contract/index.js'
import { type IngestionPlan, withFieldCount } from '../definition/index.js'
import {
  checkParentResumable,
  checkpointIn,
  checkSelection,
  checkTarget,
  flushed,
  holding,
  initialCheckpoint,
  isSamePosition,
  type KeptParentCheckpoint,
  keptCheckpoint,
  keptParentCheckpoint,
  openTarget,
  otherQueryWarning,
  type ParentCheckpoint,
  removeEarlier,
  storedParentCheckpoint,
  storedPartitionCheckpoint,
  warnOfRepeats,
  withQuery,
  withSelection,
  writtenBy,
} from '../run/index.js'
import { checkPosition } from './check-partition.js'
import { isDoneBy } from './partition-progress.js'

/**
 * The target of an ingestion with partitions, as the parent uses it. Partitions write under names of their own. The parent keeps what
 * is stored under the job's name consistent, as the job may have `partitions` today and not tomorrow.
 */
export class ParentTarget {
  readonly #plan: IngestionPlan
  readonly #context: ExecutionContext
  #writer: TargetWriter | undefined
  #keepsCheckpoints = false
  #isRestarted = false

  constructor(plan: IngestionPlan, context: ExecutionContext) {
    this.#plan = plan
    this.#context = context
  }

  /** What the parent holds while the target is open. */
  get needs(): readonly ResourceNeed[] {
    return checkedNeeds('target', this.#plan.target, {})
  }

  /** Whether it stores the checkpoints that executions resume from. Known after `takeOver`. */
  get keepsCheckpoints(): boolean {
    return this.#keepsCheckpoints
  }

  /** Whether the job loads everything again. Known after `takeOver`. */
  get isRestarted(): boolean {
    return this.#isRestarted
  }

  get #initial(): ParentCheckpoint {
    return withQuery(withSelection(initialCheckpoint(this.#context.executionId), this.#plan), this.#plan)
  }

  /**
   * Takes over from executions without partitions, which cannot write from then on. Returns the checkpoint that the job resumes from.
   * `written` is the number of records that unfinished partitions have written.
   */
  async takeOver(written: number): Promise<ParentCheckpoint> {
    const { checkpoint } = this.#context
    const stored: ParentCheckpoint = storedParentCheckpoint(checkpoint) ?? this.#initial
    const isRefresh = stored.refresh === true
    const opened = await this.#open(stored)
    const { writer, resume } = opened
    this.#writer = writer
    const kept = checkpointIn(resume)
    this.#keepsCheckpoints = kept !== undefined && this.#plan.isResumable
    this.#isRestarted = resume === 'restart'
    if (this.#isRestarted) return { ...this.#initial, ...(isRefresh && { refresh: true }) }
    const own = this.#isOwn(kept, isRefresh ? stored.origin : undefined) ? ownOf(keptParentCheckpoint(kept)) : undefined
    // The target stores a scheme, and its end, before storage does: where they differ, one of the two was restored.
    const isKept = own !== undefined && (!stored.scheme || own.scheme?.id !== stored.scheme.id)
    const before = withSelection(isKept ? own : stored, this.#plan)
    checkSelection(isKept ? own : stored, this.#plan)
    checkParentResumable(isKept ? 'the target' : 'storage', before, this.#plan)
    const { ifTargetReset } = this.#plan
    const expected = { written: writtenBy(before) + (isKept ? 0 : written), ifTargetReset }
    const found = await this.#callTarget(() => checkTarget(opened, expected))
    this.#isRestarted = found === 'restart'
    if (this.#isRestarted) return this.#initial
    const warning = otherQueryWarning(isKept ? own : stored, this.#plan)
    if (warning) this.#context.warnOnce(warning)
    const { scheme } = before
    if (!scheme && before.sequence === 0 && !isRefresh)
      await this.#callTarget(() => warnOfRepeats(this.#plan, this.#context, writer))
    return scheme ? { ...before, scheme: { ...scheme, isKept: own?.scheme?.isKept === true } } : before
  }

  /**
   * The executions that completed a partition according to storage, and not according to the target. Throws `checkpoint` when a partition could
   * not resume from what the target holds, before any writes.
   */
  async findUndone(
    records: readonly (ExecutionRecord | undefined)[],
    partitionIn: (n: number) => Partition,
  ): Promise<ReadonlySet<string>> {
    const undone = new Set<string>()
    // One after the other: before the partitions begin, the target has resources for one writer only.
    for (const [n, record] of records.entries()) {
      // A live one may be writing on another node, which opening the target would stop.
      if (!record || !isEnded(record.state)) continue
      const partition = partitionIn(n)
      const isSame = await this.#compare(n, record, partition)
      if (!isSame && isDoneBy(record, partition.scheme)) undone.add(record.executionId)
    }
    return undone
  }

  /**
   * Whether the target holds a partition as its last execution left it. Otherwise the target was restored from a backup, or storage was
   * changed: the partition resumes from what the target holds. Throws `checkpoint` when it cannot resume from that.
   */
  async #compare(n: number, { executionId, checkpoint }: ExecutionRecord, own: Partition): Promise<boolean> {
    const reached = storedPartitionCheckpoint(checkpoint)
    const { type, id, signal } = this.#context
    const asking = laterOf(executionId, this.#context.executionId)
    const partition = { type, id, partition: n, executionId: asking, signal, position: undefined }
    const kept = await this.#callTarget(async () => {
      const { writer, resume } = await openTarget(this.#plan.target, {
        ...partition,
        isResumed: true,
        isResumable: true,
        scheme: own.scheme,
      })
      await writer.abort?.(stop(new JobError('aborted', 'The partition has yet to begin.')))
      return checkpointIn(resume)
    })
    if (kept === undefined || kept === null) return false
    const found = keptCheckpoint(kept)
    checkPosition('the target', found, this.#plan, own)
    return reached !== undefined && isSamePosition(found, reached)
  }

  /**
   * Whether the target lost the `written` records of the partitions, and the job loads them again. Called after partitions have stopped.
   */
  async mustRestart(written: number): Promise<boolean> {
    if (this.#plan.ifTargetReset !== 'restart') return false
    return holding(this.#context, { needs: this.needs }, async () => {
      const { checkpoint } = this.#context
      const opened = await this.#open(storedParentCheckpoint(checkpoint) ?? this.#initial)
      this.#writer = opened.writer
      try {
        const expected = { written, ifTargetReset: 'restart' } as const
        return (await this.#callTarget(() => checkTarget({ ...opened, resume: 'position' }, expected))) === 'restart'
      } finally {
        await this.release()
      }
    })
  }

  /**
   * Stores the scheme in the target, so that partitions can resume even if storage was lost. `mustTruncate` removes all earlier records
   * together with that.
   */
  async begin(checkpoint: ParentCheckpoint, mustTruncate: boolean): Promise<void> {
    const { executionId } = this.#context
    if (mustTruncate) await this.#callTarget(() => removeEarlier(this.#writer, this.#context.signal))
    const kept = this.#plan.isResumable ? { ...withFieldCount(checkpoint), executionId, detail: nothingRead } : null
    await this.#callTarget(() => flushed(this.#writer, kept))
  }

  /** Closes the target. Partitions open it on their own. */
  async release(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await this.#callTarget(async () =>
      writer?.abort?.(stop(new JobError('aborted', 'The job continues in partitions.'))),
    )
  }

  /** Stores the checkpoint with the records. Returns the position of the target. */
  saveCheckpoint(checkpoint: ParentCheckpoint, detail: IngestionDetail): Promise<unknown> {
    return holding(this.#context, { needs: this.needs }, () => this.#saveCheckpoint(checkpoint, detail))
  }

  async #saveCheckpoint(checkpoint: ParentCheckpoint, detail: IngestionDetail): Promise<unknown> {
    const { executionId } = this.#context
    const { ifTargetReset } = this.#plan
    const opened = await this.#open({ ...checkpoint, sequence: checkpoint.sequence + 1 })
    const { writer } = opened
    return this.#callTarget(async () => {
      try {
        // A partition knows what the table lost while it ran, and not what it lost after that.
        const expected = { written: writtenBy(checkpoint), ifTargetReset }
        if ((await checkTarget({ ...opened, resume: 'position' }, expected)) === 'restart')
          throw new JobError('target', 'The target was emptied after a partition was done.', { isTransient: true })
        const position = await flushed(
          writer,
          this.#plan.isResumable ? { ...withFieldCount(checkpoint), executionId, detail } : null,
        )
        await callTarget<unknown>('commit', () => writer.commit?.())
        return position
      } catch (error) {
        // The first error matters.
        await Promise.allSettled([writer.abort?.(stop(error))])
        throw error
      }
    })
  }

  #open({ scheme, sequence, position }: ParentCheckpoint): Promise<Required<OpenTarget>> {
    const { type, id, executionId, signal } = this.#context
    const warn = (message: string) => this.#context.warnOnce(message)
    const opening = { type, id, executionId, signal, warn, log: (text: string) => this.#context.log(text) }
    const { target, isResumable, ifTargetReset: ifReset } = this.#plan
    const isResumed = scheme !== undefined || sequence > 0
    // What partitions have written is after every position.
    const openPosition = scheme ? undefined : position
    return this.#callTarget(async () =>
      openTarget(target, { ...opening, position: openPosition, isResumed, isResumable, ifReset }),
    )
  }

  /** Whether the job may resume from a checkpoint of the target: during a full refresh, from one of that alone. */
  #isOwn(kept: unknown, refreshOrigin: string | undefined): kept is KeptParentCheckpoint {
    if (kept === undefined || kept === null || !this.#plan.isResumable) return false
    const { origin } = kept as KeptParentCheckpoint
    if (refreshOrigin !== undefined && origin !== refreshOrigin) return false
    return !this.#plan.startsOver || origin === this.#context.executionId
  }

  async #callTarget<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      throw new JobError('target', this.#plan.failures.target, { cause: error })
    }
  }
}

function stop(reason: unknown): TargetAbort {
  return { reason, leaseLost: false }
}

/** Of an execution of a partition and one of its job, the later. A storage that was restored knows of fewer executions than the target. */
function laterOf(one: string, other: string): string {
  return (executionOrder(one) ?? '') > (executionOrder(other) ?? '') ? one : other
}

function ownOf({ executionId: _, detail: __, ...checkpoint }: KeptParentCheckpoint): ParentCheckpoint {
  return checkpoint
}

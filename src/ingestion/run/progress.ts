import type { ExecutionContext } from '../../core/execution/index.js'
import { addedUp, type IngestionDetail, nothingRead, type ReadBatch } from '../contract/index.js'
import { type IngestionPlan, withFieldCount } from '../definition/index.js'
import type { BatchName } from './batch-writer.js'
import {
  addedTo,
  advance,
  type Checkpoint,
  checkSelection,
  checkUnpartitioned,
  countsBetween,
  initialCheckpoint,
  type KeptCheckpoint,
  repeat,
  withQuery,
  withSelection,
} from './checkpoint.js'
import { otherQueryWarning } from './other-query.js'
import { checkResumable, isSameRange } from './resumable.js'
import { keptCheckpoint, storedCheckpoint, storedDetail, storedPartitionCheckpoint } from './stored-checkpoint.js'

/** A position that an execution may resume from. */
export interface ResumePoint {
  readonly checkpoint: Checkpoint
  /** The counts at that position. */
  readonly detail: IngestionDetail
}

/** What a run adds to its checkpoint besides its position: the positions of its targets, whether ids are out of order, and its end. */
type Marks = Pick<Checkpoint, 'position' | 'deadLetters' | 'isUnordered' | 'isDone' | 'queryDigest'>

/** A batch that was read, with its position. */
export interface PlacedBatch {
  readonly read: ReadBatch
  readonly name: BatchName
  /** The checkpoint after it, without its counts. */
  readonly after: Checkpoint
  /** Whether an execution may resume from there. */
  readonly isResumePoint: boolean
}

/** The progress of a run: the last position that an execution may resume from, and what was written beyond it. */
export class RunProgress {
  readonly #plan: IngestionPlan
  readonly #executionId: string
  /** Makes keys unique to this run. */
  readonly #nonce = crypto.randomUUID()
  /** Whether storage holds a checkpoint of this partition and its scheme. */
  readonly isOfScheme: boolean
  /** The origin of the full refresh that storage asks for. */
  readonly #refreshOrigin: string | undefined
  /** Whether the target has yet to begin a full refresh. */
  #isRefresh: boolean
  #isResumed: boolean
  #isRestarted = false
  /** About the checkpoint that the run resumes from. */
  #warning: string | undefined
  #resumePoint: ResumePoint
  #beyond: ResumePoint | undefined
  /** Added to every checkpoint, as they may change while a batch is written. */
  #marks: Marks = {}
  /** Added to the counts, likewise. */
  #notes: Partial<IngestionDetail> = {}

  constructor(plan: IngestionPlan, { executionId, checkpoint, detail }: ExecutionContext) {
    this.#plan = plan
    this.#executionId = executionId
    const stored = plan.partition
      ? storedPartitionCheckpoint(checkpoint)
      : (storedCheckpoint(checkpoint) as Checkpoint | undefined)
    if (stored !== undefined && !plan.partition) checkUnpartitioned(stored)
    this.isOfScheme = plan.partition !== undefined && stored?.scheme === plan.partition.scheme
    this.#refreshOrigin = !plan.partition && stored?.refresh ? stored.origin : undefined
    this.#isRefresh = this.#refreshOrigin !== undefined
    this.#isResumed = plan.isResumable && !this.#isRefresh && this.isOwn(stored)
    if (this.#isResumed) {
      checkSelection(stored as Checkpoint, plan)
      checkResumable('storage', stored as Checkpoint, plan)
      this.#warning = otherQueryWarning(stored as Checkpoint, plan)
    }
    this.#resumePoint = {
      checkpoint: this.#isResumed ? this.#owned(stored as Checkpoint) : this.#initial,
      detail: (this.#isResumed && storedDetail(detail)) || nothingRead,
    }
  }

  /**
   * Whether this run may resume from a checkpoint. A partition resumes from one of the same scheme, or of the same range if partitions
   * resume from their own checkpoints.
   */
  isOwn(checkpoint: unknown): checkpoint is Checkpoint {
    if (checkpoint === undefined || checkpoint === null) return false
    const { partition, startsOver } = this.#plan
    const { scheme, range, origin } = checkpoint as Checkpoint
    if (startsOver && origin !== this.#executionId) return false
    if (this.#refreshOrigin !== undefined && origin !== this.#refreshOrigin) return false
    if (!partition || scheme === partition.scheme) return true
    return partition.isContinued === true && isSameRange(range, partition.range)
  }

  /** The checkpoint of this run: it is not done yet. */
  #owned({ isDone: _, refresh: __, ...all }: Checkpoint): Checkpoint {
    const { partition, cursor } = this.#plan
    // A run without a cursor moves on without its position, which no later run may resume from.
    const { cursor: ___, ...withoutCursor } = all
    const checkpoint = cursor ? all : withoutCursor
    return partition ? { ...checkpoint, scheme: partition.scheme } : withSelection(checkpoint, this.#plan)
  }

  get #initial(): Checkpoint {
    const { partition } = this.#plan
    const checkpoint = initialCheckpoint(this.#executionId, partition)
    return partition ? checkpoint : withQuery(withSelection(checkpoint, this.#plan), this.#plan)
  }

  /** Whether the run resumes from the checkpoint of another one. */
  get isResumed(): boolean {
    return this.#isResumed
  }

  /** Whether the run goes on behind records that earlier ones have read. */
  get isContinued(): boolean {
    return this.#isResumed && this.checkpoint.sequence > 0
  }

  /** Whether the job begins from the beginning, of its own accord: not because the target has lost the records, nor in a full refresh. */
  get isNew(): boolean {
    return !this.#isResumed && !this.#isRestarted && !this.#isRefresh && !this.#plan.partition
  }

  /** What the job should warn of when the run resumes. */
  get warning(): string | undefined {
    return this.#isResumed ? this.#warning : undefined
  }

  get checkpoint(): Checkpoint {
    return this.resumePoint.checkpoint
  }

  get detail(): IngestionDetail {
    return this.resumePoint.detail
  }

  /** The last position that an execution may resume from. */
  get resumePoint(): ResumePoint {
    const { checkpoint, detail } = this.#resumePoint
    const refresh = this.#isRefresh && { refresh: true }
    return { checkpoint: { ...checkpoint, ...this.#marks, ...refresh }, detail: { ...detail, ...this.#notes } }
  }

  /** The counts of everything written, also beyond that position. */
  get written(): IngestionDetail {
    return { ...this.#reached.detail, ...this.#notes }
  }

  /** Whether the target has yet to begin a full refresh. */
  get isRefresh(): boolean {
    return this.#isRefresh
  }

  /** Called when the target has begun the full refresh, at the latest with the next flush. */
  settleRefresh(): void {
    this.#isRefresh = false
  }

  /** Whether more was written than an execution may resume from. */
  get isBeyond(): boolean {
    return this.#beyond !== undefined
  }

  /** The checkpoint for a target that stores it, without failed records. `null` when no execution resumes from here. */
  get kept(): KeptCheckpoint | null {
    const { checkpoint, detail } = this.resumePoint
    const { latestFailures: _, ...counts } = detail
    return this.#plan.isResumable
      ? { ...withFieldCount(checkpoint), executionId: this.#executionId, detail: counts }
      : null
  }

  /** What storage holds of a checkpoint. Of a job without positions, only partitions keep one. */
  stored(checkpoint: Checkpoint): unknown {
    const { partition, isResumable } = this.#plan
    if (isResumable) return withFieldCount(checkpoint)
    const done = checkpoint.isDone && { isDone: true }
    return partition && withFieldCount({ ...initialCheckpoint(checkpoint.origin), scheme: partition.scheme, ...done })
  }

  /** Starts from the beginning. */
  restart(): void {
    this.#isResumed = false
    this.#isRestarted = true
    this.#resumePoint = { checkpoint: this.#initial, detail: nothingRead }
    this.#marks = {}
    this.#notes = {}
  }

  /**
   * Resumes from the checkpoint that a target stores with the records: storage may be older, never newer. Records that an earlier
   * execution or try has committed and not reported count here, as storage has no count of them.
   */
  resumeFrom(kept: unknown): void {
    const { executionId: _, detail: __, ...checkpoint } = keptCheckpoint(kept)
    if (!this.#plan.partition) checkUnpartitioned(checkpoint)
    checkSelection(checkpoint, this.#plan)
    checkResumable('the target', checkpoint, this.#plan)
    this.#warning = otherQueryWarning(checkpoint, this.#plan)
    const unreported = this.#isResumed ? countsBetween(this.checkpoint, checkpoint) : nothingRead
    this.#isResumed = true
    this.#isRefresh = checkpoint.refresh === true
    this.#resumePoint = { checkpoint: this.#owned(checkpoint), detail: addedUp(this.detail, unreported) }
  }

  /** Marks the checkpoint when everything was read. The job continues with a partition that is not marked, whatever state storage gives it. */
  end(): void {
    this.mark(this.#plan.partition ? { isDone: true } : withQuery({}, this.#plan))
  }

  /** Adds to the checkpoint. */
  mark(marks: Marks): void {
    this.#marks = { ...this.#marks, ...marks }
  }

  /** Adds to the detail. */
  report(detail: Partial<IngestionDetail>): void {
    this.#notes = { ...this.#notes, ...detail }
  }

  /** Whether an execution may resume after a batch. */
  isResumePoint({ position, isReplay }: ReadBatch): boolean {
    return this.#plan.cursor === undefined || position !== undefined || isReplay === true
  }

  /** Determines the position of a batch that was read. */
  place(read: ReadBatch, now: number): PlacedBatch {
    const { batch, parallel, isReplay = false } = read
    const isResumePoint = this.isResumePoint(read)
    const before = this.#reached.checkpoint
    const after = isReplay ? repeat(before, now) : this.#after(read, now)
    const { origin, sequence } = before
    // Ties and repeated records may be batched differently the next time. A try that starts over may read other records.
    const isCertain = this.#plan.isResumable && isResumePoint && !isReplay && !this.#beyond
    const own = parallel?.name ?? sequence
    const position = isCertain ? `${origin}:${own}` : `${origin}:${own}:${this.#nonce}`
    // Position and extent: a batch that is read again with more records is another batch.
    const end = parallel ? '' : (after.lastId ?? '')
    const name = { number: sequence, position, key: `${position}:${batch.length}:${end}` }
    return { read, name, after, isResumePoint }
  }

  /** Moves the position after a batch or, when only its first records are settled, after those. */
  moveAfter({ read, after, isResumePoint }: PlacedBatch, settled: IngestionDetail, now: number): void {
    if (settled.read === 0) return
    const before = this.#reached
    const isWhole = settled.read === read.batch.length
    const first: ReadBatch = isWhole ? read : partOf(read, settled.read)
    // What is repeated has no position of its own.
    const checkpoint = isWhole || read.isReplay ? after : this.#after(first, now)
    const reached = {
      checkpoint: { ...checkpoint, ...addedTo(before.checkpoint, settled) },
      detail: addedUp(before.detail, settled),
    }
    const isKnown = isWhole ? isResumePoint : this.isResumePoint(first)
    this.#beyond = isKnown ? undefined : reached
    if (isKnown) this.#resumePoint = reached
  }

  get #reached(): ResumePoint {
    return this.#beyond ?? this.#resumePoint
  }

  #after(read: ReadBatch, now: number): Checkpoint {
    const { pkField, query, cursor } = this.#plan
    const after = advance(this.#reached.checkpoint, read, now, pkField, query.needs)
    return cursor || pkField === undefined ? after : { ...after, pkField }
  }
}

/** The first records of a batch, with the position after them if the datasource knows it. */
function partOf(read: ReadBatch, count: number): ReadBatch {
  const { batch, isReplay } = read
  const position = isReplay ? undefined : read.positionAfter?.(count)
  return { batch: batch.slice(0, count), ...(position !== undefined && { position }), ...(isReplay && { isReplay }) }
}

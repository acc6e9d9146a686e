import { JobError } from '../../core/base/index.js'
import { isWithin, type Partitions, restoredError } from '../../core/execution/index.js'
import { type ExecutionRecord, isEnded } from '../../core/model/index.js'
import { addedUp, type IngestionDetail, nothingRead, type Partition, type PartitionCounts } from '../contract/index.js'
import {
  type Checkpoint,
  checkRange,
  countsSince,
  damagedField,
  storedDetail,
  storedPartitionCheckpoint,
} from '../run/index.js'

/** The combined progress of partitions. */
interface Sum {
  readonly detail: IngestionDetail
  /** How many records they have written, by their checkpoints. */
  readonly written: number
  /** The checkpoint of the last partition that has read anything, up to the first unfinished one. */
  readonly last: Checkpoint | undefined
}

/** The progress of one partition, as last seen in storage. */
export class PartitionProgress {
  readonly n: number
  readonly #partition: Pick<Partition, 'scheme' | 'range'>
  /** How many nodes in a row may be lost before the partition has failed. */
  readonly #limit: number
  #record: ExecutionRecord | undefined
  /** What the parent's executions have counted of it, apart from the record. */
  #counted: PartitionCounts | undefined
  /** Whether the parent has started it, or has adopted an execution. */
  #isBegun = false
  /** What the parent counts of executions before the last one. */
  #former: IngestionDetail = nothingRead
  /** The counts from before the parent resumed. */
  #before: IngestionDetail = nothingRead
  /** The execution that the parent resumed with. */
  #adopted: string | undefined
  /** An execution from before the parent began. */
  #ignored: string | undefined

  constructor(
    n: number,
    partition: Pick<Partition, 'scheme' | 'range'>,
    counted: PartitionCounts | null | undefined,
    limit: number,
  ) {
    this.n = n
    this.#partition = partition
    this.#counted = counted ?? undefined
    this.#limit = limit
  }

  /** The combined progress of partitions, given in order. */
  static sum(partitions: readonly PartitionProgress[]): Sum {
    const first = partitions.findIndex(({ isDone }) => !isDone)
    const reached = partitions
      .slice(0, first < 0 ? partitions.length : first + 1)
      .flatMap(({ checkpoint }) => checkpoint ?? [])
    const counted = partitions.reduce(
      (sum, { detail }) => ({ ...addedUp(sum, detail), ...heldOf(sum, detail) }),
      nothingRead,
    )
    const done = partitions.filter(({ isDone }) => isDone).length
    return {
      detail: { ...counted, parts: { total: partitions.length, done } },
      written: writtenUpTo(partitions.map(({ checkpoint }) => checkpoint)),
      last: reached.findLast(({ sequence }) => sequence > 0),
    }
  }

  get range(): Partition['range'] {
    return this.#partition.range
  }

  get record(): ExecutionRecord | undefined {
    return this.#record
  }

  /** The counts since the parent began, over all its executions. */
  get detail(): IngestionDetail {
    return less(addedUp(this.#former, detailOf(this.#record)), this.#before, detailOf(this.#record))
  }

  /** What the parent's executions have counted of it, up to the record. */
  get counted(): PartitionCounts | undefined {
    return this.#countsOf(this.#record) ?? this.#counted
  }

  /** Its checkpoint, once it has one of its own. */
  get checkpoint(): Checkpoint | undefined {
    const checkpoint = storedPartitionCheckpoint(this.#record?.checkpoint)
    if (checkpoint?.scheme !== this.#partition.scheme) return undefined
    checkRange('storage', checkpoint, this.#partition)
    return checkpoint
  }

  get isDone(): boolean {
    return this.#record !== undefined && isDoneBy(this.#record, this.#partition.scheme)
  }

  get isLive(): boolean {
    return this.#record !== undefined && !isEnded(this.#record.state)
  }

  /** Whether no node runs it: it is queued, or its node was lost. */
  get isFree(): boolean {
    const record = this.#record
    return record !== undefined && (this.isLive ? record.node === null : this.#isLeft(record))
  }

  /** Whether the parent can continue with an execution that existed before it. */
  canContinue(record: ExecutionRecord): boolean {
    if (!isEnded(record.state)) return true
    // The state alone may have been changed in storage. A partition that was done resumes at its end.
    const { isDone } = storedPartitionCheckpoint(record.checkpoint) ?? {}
    return isDone === true && isDoneBy(record, this.#partition.scheme)
  }

  /**
   * Throws `checkpoint` when storage holds less of the partition than the parent has counted of it, so that it would be written again. Only
   * for a target that keeps no checkpoints: any other is compared with storage.
   */
  checkStored(record: ExecutionRecord | undefined): void {
    const known = this.#counted
    // An execution that restarts removes the checkpoint first.
    if (known === undefined || (record && record.checkpoint === undefined)) return
    const counts = this.#countsOf(record)
    const isLess = counts === undefined || (counts.origin === known.origin && counts.read < known.read)
    const partition = `partition ${this.n + 1}`
    if (isLess)
      throw damagedField(
        'storage',
        `checkpoint of ${partition}`,
        `that of ${known.read} or more records that the job has counted`,
      )
  }

  /** Counts what its executions have saved and no parent has, because the process of the parent was lost. */
  catchUp(record: ExecutionRecord | undefined): void {
    const counts = this.#countsOf(record)
    if (!counts) return
    const { origin } = counts
    const before = this.#counted?.origin === origin ? this.#counted : {}
    this.#former = addedUp(this.#former, countsSince(before, counts))
    this.#counted = counts
  }

  /** Continues with an execution that existed before the parent. */
  adopt(record: ExecutionRecord): void {
    this.#isBegun = true
    this.#record = record
    this.#before = detailOf(record)
    this.#adopted = record.executionId
  }

  /** Expects a new execution after this one, if there is one. */
  ignore(record: ExecutionRecord | undefined): void {
    if (this.#record && this.#record.executionId !== record?.executionId) return
    this.#isBegun = true
    this.#former = addedUp(this.#former, detailOf(this.#record))
    this.#counted = this.counted
    this.#record = undefined
    this.#ignored = record?.executionId
  }

  /** Reads the partition from storage. */
  async refresh(partitions: Partitions): Promise<void> {
    if (!this.#isBegun) return
    const record = await partitions.find(this.n)
    if (!record || record.executionId === this.#ignored) return
    const before = this.#record
    const seen = new Set<string>()
    let former = this.#former
    for (let last = record; before && last.executionId !== before.executionId && !seen.has(last.executionId); ) {
      seen.add(last.executionId)
      const executionId = last.resumedFrom ?? before.executionId
      last = (await partitions.findEnded({ ...last, executionId })) ?? before
      former = addedUp(former, detailOf(last))
    }
    // Another refresh may have come first, and must not be counted twice.
    if (this.#record !== before) return
    this.#former = former
    this.#record = record
  }

  /** Whether it failed, and no node will resume it. */
  get hasFailed(): boolean {
    const record = this.#record
    return record !== undefined && !this.isLive && !this.isDone && !this.#isLeft(record)
  }

  /** Whether the failed execution began before the parent did: the end of the earlier parent may have caused it. */
  get isAdopted(): boolean {
    return this.#record?.executionId === this.#adopted
  }

  /** The failure, as one of `total` partitions. */
  failureOf(total: number): JobError {
    const { error = ['It was aborted.'], failure } = this.#record ?? {}
    const cause = restoredError(error, failure)
    return new JobError('part', `Partition ${this.n + 1} of ${total} failed.`, { cause })
  }

  #countsOf(record: ExecutionRecord | undefined): PartitionCounts | undefined {
    const checkpoint = storedPartitionCheckpoint(record?.checkpoint)
    return checkpoint?.scheme === this.#partition.scheme ? countsOf(record) : undefined
  }

  /** Whether it is an orphan that may still be resumed. */
  #isLeft(record: ExecutionRecord): boolean {
    return isEnded(record.state) && record.isOrphaned === true && isWithin(this.#limit, record)
  }
}

/** Whether an execution completed a partition of a scheme. */
export function isDoneBy({ state, checkpoint }: ExecutionRecord, scheme: string): boolean {
  return state === 'successful' && (checkpoint as Checkpoint | undefined)?.scheme === scheme
}

/** The counts of a partition: by its checkpoint or, where it starts from the beginning each time, by its execution. */
export function countsOf(record: ExecutionRecord | undefined): PartitionCounts | undefined {
  const checkpoint = storedPartitionCheckpoint(record?.checkpoint)
  if (!record || !checkpoint) return undefined
  const { executionId } = record
  const { origin, counts } =
    checkpoint.sequence > 0
      ? { origin: checkpoint.origin, counts: checkpoint }
      : { origin: executionId, counts: detailOf(record) }
  const { read = 0, failed = 0, skipped = 0 } = counts
  return read > 0 ? { origin, read, failed, skipped } : undefined
}

/** How many records were written up to these checkpoints. */
export function writtenUpTo(checkpoints: readonly (Checkpoint | undefined)[]): number {
  return checkpoints.reduce((sum, checkpoint) => sum + (checkpoint?.written ?? 0), 0)
}

function detailOf(record: ExecutionRecord | undefined): IngestionDetail {
  return { ...nothingRead, ...storedDetail(record?.detail) }
}

function less(all: IngestionDetail, before: IngestionDetail, last: IngestionDetail): IngestionDetail {
  const { read, written, failed, skipped } = before
  const { latestFailures: _, ...noted } = last
  const known = new Set(before.latestFailures?.map(({ key }) => key))
  const latestFailures = all.latestFailures?.filter(({ key }) => !known.has(key))
  return {
    ...noted,
    ...(latestFailures?.length && { latestFailures }),
    read: all.read - read,
    written: all.written - written,
    failed: all.failed - failed,
    skipped: all.skipped - skipped,
  }
}

/** What holds for the parent as soon as it holds for one partition. */
function heldOf(one: IngestionDetail, other: IngestionDetail): Partial<IngestionDetail> {
  const withoutCursor = one.withoutCursor ?? other.withoutCursor
  const split = one.split || other.split
  return { ...(split !== undefined && { split }), ...(withoutCursor !== undefined && { withoutCursor }) }
}

import { createAbortController, JobError, newExecutionId, sleep, warnOf } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { ExecutionRecord } from '../../core/model/index.js'
import {
  addedUp,
  checkedNeeds,
  type IngestionDetail,
  maxPartitions,
  nothingRead,
  type Partition,
  type PartitionCounts,
  type Partitioning,
  type PartitionPlan,
  partitionIn,
  type RefreshEffect,
  type SplitRequest,
} from '../contract/index.js'
import { type IngestionPlan, needsOf, withFieldCount } from '../definition/index.js'
import {
  type AllocationRequest,
  announceRefresh,
  checkSplit,
  countsBetween,
  damagedField,
  holding,
  type ParentCheckpoint,
  type Release,
  storedDetail,
  storedParentCheckpoint,
  storedPartitionCheckpoint,
} from '../run/index.js'
import { checkPartition } from './check-partition.js'
import { endPartitions, isReleased } from './end-partitions.js'
import { parentProgress } from './parent-progress.js'
import { ParentTarget } from './parent-target.js'
import type { ParentTotal } from './parent-total.js'
import { PartitionLogs } from './partition-logs.js'
import { countsOf, PartitionProgress, writtenUpTo } from './partition-progress.js'
import { boundsField, splitQuery } from './split-query.js'

/** How often to poll the partitions, in milliseconds: at least, per partition, and at most while they stop. */
const intervals = { least: 250, ofPart: 10, most: 5000 }

/**
 * One run of an ingestion with partitions. It creates the partitions, queues them for any registry, runs those that no registry has
 * claimed, and reports the progress of all as one job.
 */
export class ParentRun {
  readonly #plan: IngestionPlan
  readonly #context: ExecutionContext
  readonly #partitions: ExecutionContext['partitions']
  readonly #split: SplitRequest
  /** How many nodes in a row may be lost per partition. */
  readonly #limit: number
  readonly #target: ParentTarget
  readonly #logs: PartitionLogs
  readonly #total: ParentTotal
  /** The counts of earlier tries, and of what earlier executions have not reported. */
  #counted: IngestionDetail
  #before!: ParentCheckpoint
  #scheme!: PartitionPlan
  #progress: readonly PartitionProgress[] = []
  #fullRefresh: RefreshEffect | undefined
  #change = createAbortController()
  #isStopped = false
  /** Executions that completed partitions of which the target holds something else. */
  #undone: ReadonlySet<string> = new Set()
  /** A damaged partition in storage, which cannot be resumed. */
  #damage: unknown

  constructor(plan: IngestionPlan, context: ExecutionContext, split: SplitRequest, limit: number, total: ParentTotal) {
    this.#plan = plan
    this.#context = context
    this.#partitions = context.partitions
    this.#split = split
    this.#limit = limit
    this.#total = total
    this.#target = new ParentTarget(plan, context)
    this.#logs = new PartitionLogs(context)
    const { fullRefresh, ...counted } = storedDetail(context.detail) ?? nothingRead
    this.#fullRefresh = fullRefresh
    this.#counted = counted
  }

  /** Runs to the end of all partitions. */
  async run(): Promise<void> {
    await holding(this.#context, this.#request, (release) => this.#runPartitions(release))
    await this.#finish()
    this.#context.complete()
  }

  /** A partition that failed because the target was emptied makes the job load everything again, if that is wanted. */
  async #explained(error: unknown): Promise<unknown> {
    const isPartition = JobError.isInstance(error) && error.code === 'part'
    const { written } = PartitionProgress.sum(this.#progress)
    if (!isPartition || this.#context.signal.aborted || !(await this.#target.mustRestart(written))) return error
    return new JobError('target', this.#plan.failures.target, { cause: error, isTransient: true })
  }

  get #request(): AllocationRequest {
    const { datasource, cursor } = this.#plan
    const snapshotNeeds = cursor && datasource.partition ? checkedNeeds('datasource', datasource, 1) : []
    return { needs: [...this.#target.needs, ...snapshotNeeds], partitionNeeds: needsOf(this.#plan) }
  }

  async #runPartitions(release: Release): Promise<void> {
    const { signal } = this.#context
    const wake = () => this.#wake()
    const partitioning = await this.#prepare()
    // Only the snapshot stays open while the partitions run.
    release(this.#target.needs)
    signal.addEventListener('abort', wake)
    const stopListening = this.#partitions.onChange(wake)
    try {
      await this.#untilDone()
    } finally {
      signal.removeEventListener('abort', wake)
      stopListening()
      await partitioning.release()
    }
  }

  /** Takes over the target, and creates the partitions. */
  async #prepare(): Promise<Partitioning> {
    try {
      this.#before = await this.#target.takeOver(await this.#writtenUnfinished())
      const stored = storedParentCheckpoint(this.#context.checkpoint)
      if (stored) this.#counted = addedUp(this.#counted, countsBetween(stored, this.#before))
      if (stored && this.#target.isRestarted) this.#counted = nothingRead
      const partitioning = await this.#makePartitions()
      try {
        await this.#beginTarget()
        await this.#target.release()
        this.#undone = await this.#findUndone()
        return partitioning
      } catch (error) {
        await partitioning.release()
        throw error
      }
    } finally {
      await this.#target.release()
    }
  }

  /** Stores the scheme in the target. A full refresh begins there, once no partition of an earlier scheme runs. */
  async #beginTarget(): Promise<void> {
    const { refresh, ...before } = this.#before
    if (refresh) {
      this.#fullRefresh = announceRefresh(this.#plan, this.#context)
      this.#context.progress({ detail: { ...this.#counted, fullRefresh: this.#fullRefresh } })
      await this.#endAll()
    }
    await this.#target.begin({ ...before, scheme: this.#scheme }, refresh === true && this.#fullRefresh === 'truncate')
    this.#before = before
  }

  /** Done partitions of which the target holds something else. */
  async #findUndone(): Promise<ReadonlySet<string>> {
    const { isResumed, isKept } = this.#scheme
    if (!isResumed || !isKept) return new Set()
    return this.#target.findUndone(await this.#findAll(this.#scheme), (n) => this.#partitionIn(n))
  }

  #partitionIn(n: number): Partition {
    return partitionIn(this.#scheme, n, this.#context.executionId)
  }

  /** The live or last execution of each partition. */
  #findAll({ bounds }: Pick<PartitionPlan, 'bounds'>): Promise<(ExecutionRecord | undefined)[]> {
    return Promise.all(Array.from({ length: bounds.length + 1 }, (_, n) => this.#partitions.find(n)))
  }

  /** How many records unfinished partitions have written. Asked before the target, which then holds them. */
  async #writtenUnfinished(): Promise<number> {
    const { scheme } = storedParentCheckpoint(this.#context.checkpoint) ?? {}
    if (!scheme) return 0
    const records = await this.#findAll(scheme)
    const checkpoints = records.map((record) => storedPartitionCheckpoint(record?.checkpoint))
    return writtenUpTo(checkpoints.filter((checkpoint) => checkpoint?.scheme === scheme.id))
  }

  /** Creates the partitions, or resumes those of an earlier execution. */
  async #makePartitions(): Promise<Partitioning> {
    const { scheme: unfinished, cursor, sequence } = this.#before
    checkSplit(this.#before, this.#plan, this.#split)
    const isContinued = !this.#plan.cursor && this.#plan.isResumable && sequence > 0
    const counted = await this.#countedBefore(isContinued)
    const position = unfinished ? (unfinished.position ?? unfinished.start) : cursor
    const partitioning = await this.#partition(unfinished?.bounds ?? this.#split, position)
    const { bounds, snapshot, start } = partitioning
    if (unfinished && String(bounds) !== String(unfinished.bounds)) {
      await partitioning.release()
      throw damagedField('storage', boundsField, 'values in the order of the cursor, behind its position')
    }
    const isKept = this.#target.keepsCheckpoints
    const { id: jobId, clock } = this.#context
    const id = newExecutionId(jobId, clock.now())
    const { columns = [] } = this.#plan.cursor ?? {}
    const made = { id, bounds, columns, position, start, isContinued, isResumed: false, isKept }
    this.#scheme = { ...(unfinished ? { ...unfinished, isResumed: true } : made), snapshot, counted }
    return partitioning
  }

  /** What earlier executions have counted of the partitions. Everything so far, where the checkpoint does not say. */
  async #countedBefore(isContinued: boolean): Promise<(PartitionCounts | null)[]> {
    const { scheme, bounds = [] } = this.#before
    if (scheme?.counted) return [...scheme.counted]
    if (!scheme && !isContinued) return []
    const records = await this.#findAll(scheme ?? { bounds })
    return records.map((record) => countsOf(record) ?? null)
  }

  #partition(split: SplitRequest, position: unknown): Promise<Partitioning> {
    return splitQuery(this.#plan, this.#context, { split, position, before: this.#before })
  }

  async #untilDone(): Promise<void> {
    let working: Promise<void> | undefined
    try {
      await this.#begin()
      void this.#total.count(this.#before, this.#scheme)
      working = this.#work()
      await this.#monitor()
    } catch (error) {
      await this.#stop()
      throw await this.#explained(error)
    } finally {
      this.#isStopped = true
      this.#total.stop()
      this.#wake()
      await working
    }
  }

  /** Stores the scheme before any partition begins. Live partitions of another scheme have to end first. */
  async #begin(): Promise<void> {
    const { id, bounds, isResumed, counted } = this.#scheme
    const numbers = Array.from({ length: bounds.length + 1 }, (_, n) => n)
    this.#progress = numbers.map((n) => new PartitionProgress(n, this.#partitionIn(n), counted?.[n], this.#limit))
    const counts = this.#counted.read > 0 && { count: this.#counted.read, detail: this.#counted }
    this.#context.progress({ checkpoint: withFieldCount({ ...this.#before, scheme: this.#scheme }), ...counts })
    await this.#context.save()
    this.#context.signal.throwIfAborted()
    if (isResumed) await this.#checkNoMore(id, bounds.length + 1)
    else await this.#endAll()
    const records = await Promise.all(this.#progress.map((partition) => this.#findStopped(partition)))
    for (const partition of this.#progress) this.#check(partition, records[partition.n])
    await Promise.all(this.#progress.map((partition) => this.#beginPartition(partition, records[partition.n])))
    this.#report()
  }

  /** Throws `checkpoint` when a scheme has more partitions than bounds: what the extra one wrote would come again. */
  async #checkNoMore(scheme: string, count: number): Promise<void> {
    const beyond = count < maxPartitions ? await this.#partitions.find(count) : undefined
    if (storedPartitionCheckpoint(beyond?.checkpoint)?.scheme !== scheme) return
    throw damagedField('storage', boundsField, 'complete, as there are more partitions than it has bounds for')
  }

  /** Throws `checkpoint` for a damaged partition, before any writes: what the sound ones write would stay. */
  #check(partition: PartitionProgress, record: ExecutionRecord | undefined): void {
    const { isResumed, isKept, isContinued } = this.#scheme
    if (isResumed && !isKept) checkPartition(record, this.#plan, this.#partitionIn(partition.n))
    if (isResumed && !isKept && !isContinued) partition.checkStored(record)
  }

  async #beginPartition(partition: PartitionProgress, record: ExecutionRecord | undefined): Promise<void> {
    partition.catchUp(record)
    const canContinue = record && this.#scheme.isResumed && partition.canContinue(record)
    if (!canContinue || this.#undone.has(record.executionId)) return this.#start(partition, record)
    partition.adopt(record)
    if (partition.isFree) await this.#partitions.enqueue(record)
  }

  /** The execution of a partition, after an aborting one has stopped. */
  async #findStopped({ n }: PartitionProgress): Promise<ExecutionRecord | undefined> {
    let record = await this.#partitions.find(n)
    for (let turn = 1; record?.state === 'aborting'; turn++) {
      await this.#pause(turn)
      this.#context.signal.throwIfAborted()
      record = await this.#partitions.find(n)
    }
    return record
  }

  async #start(partition: PartitionProgress, before: ExecutionRecord | undefined): Promise<void> {
    await this.#partitions.start(partition.n)
    partition.ignore(before)
  }

  /** Reports the progress of the partitions until all are done, or one has failed. */
  async #monitor(): Promise<void> {
    while (!this.#isDone) {
      await this.#pause()
      await this.#refresh(this.#progress.filter(({ isDone }) => !isDone))
      this.#context.signal.throwIfAborted()
      if (this.#damage !== undefined) throw this.#damage
      const failed = this.#progress.filter(({ hasFailed }) => hasFailed)
      for (const partition of failed) {
        if (!partition.isAdopted) throw partition.failureOf(this.#progress.length)
        await this.#try(() => this.#start(partition, partition.record))
      }
      this.#report()
    }
  }

  /** Runs partitions in this process, one after the other, that no node has claimed or whose node was lost. */
  async #work(): Promise<void> {
    while (!this.#isDone && !this.#isStopped) {
      const free = this.#progress.find(({ isFree }) => isFree)
      if (free?.record) await this.#try(() => this.#partitions.run(free.record as ExecutionRecord))
      if (free) await this.#refresh([free])
      if (free?.isFree ?? true) await this.#pause()
      else this.#wake()
    }
  }

  /** Aborts all partitions and waits until they have stopped, unless another node resumes the parent. */
  async #stop(): Promise<void> {
    this.#isStopped = true
    let isOver = false
    while (!isOver && this.#context.isHeld()) {
      await this.#try(async () => {
        if (!(await isReleased(this.#context))) await this.#endAll()
        isOver = true
      })
      if (!isOver) await this.#pause()
    }
    await this.#refresh(this.#progress)
    if (this.#context.isHeld()) this.#report()
  }

  #endAll(): Promise<void> {
    return endPartitions(this.#context, (turn) => this.#pause(turn))
  }

  async #refresh(partitions: readonly PartitionProgress[]): Promise<void> {
    await Promise.all(partitions.map((partition) => this.#try(() => partition.refresh(this.#partitions))))
    for (const { n, record } of partitions) if (record) this.#logs.copy(n, record)
  }

  get #isDone(): boolean {
    return this.#progress.every(({ isDone }) => isDone)
  }

  /** Retries later what storage does not answer now. */
  async #try(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      if (JobError.isInstance(error) && error.code === 'checkpoint') this.#damage ??= error
      else warnOf(this.#context.logger, this.#context, error, 'could not reach a partition and tries again')
    }
  }

  /** Waits for the next poll, or for a change: up to twice as long with each turn. */
  #pause(turn = 1): Promise<void> {
    const { least, ofPart, most } = intervals
    const first = Math.max(least, ofPart * this.#progress.length)
    return sleep(this.#context.clock, Math.max(first, Math.min(most, first * 2 ** (turn - 1))), this.#change.signal)
  }

  #wake(): void {
    this.#change.abort()
    this.#change = createAbortController()
  }

  #report(): void {
    const { detail, update } = this.#reached
    this.#total.update(this.#progress, detail.read)
    this.#context.progress(update)
  }

  get #reached() {
    const [plan, before, scheme, counted] = [this.#plan, this.#before, this.#scheme, this.#counted]
    return parentProgress(this.#progress, { plan, before, scheme, counted, fullRefresh: this.#fullRefresh })
  }

  /** Stores the final checkpoint: with the records first, so that the job can continue without partitions. */
  async #finish(): Promise<void> {
    const { finished, detail } = this.#reached
    this.#total.end(detail.read)
    this.#report()
    const position = await this.#target.saveCheckpoint(finished, detail)
    const kept = { ...finished, ...(position !== undefined && { position }) }
    this.#context.progress({ checkpoint: this.#plan.isResumable ? withFieldCount(kept) : null })
  }
}

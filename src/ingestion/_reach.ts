import type { JobContext } from '../core/job.js'
import type { BatchName } from './_delivery.js'
import type { Plan } from './_plan.js'
import { keptCheckpoint, storedCheckpoint, storedDetail } from './_stored.js'
import type { RecordBatch } from './batch.js'
import {
  advance,
  type Checkpoint,
  checkUncut,
  initialCheckpoint,
  type KeptCheckpoint,
  repeat,
  writtenBy,
} from './checkpoint.js'
import { addedUp, type IngestionDetail, nothingRead } from './detail.js'

/** A place that a run has come to. */
export interface Place {
  readonly checkpoint: Checkpoint
  /** What was counted by then. */
  readonly detail: IngestionDetail
}

/** A batch that was read, and where it lies. */
export interface MetBatch {
  readonly batch: RecordBatch
  readonly name: BatchName
  readonly before: Place
  /** The checkpoint behind it. */
  readonly behind: Checkpoint
  /** Whether an execution may go on from there. */
  readonly isPlace: boolean
}

/** How far a run has come: the last place that an execution may go on from, and what was written beyond it. */
export class Reach {
  readonly #plan: Plan
  readonly #executionId: string
  /** Makes keys that no other run makes. */
  readonly #nonce = crypto.randomUUID()
  #isResumed: boolean
  #place: Place
  #beyond: Place | undefined

  constructor(plan: Plan, { executionId, checkpoint, detail }: JobContext) {
    this.#plan = plan
    this.#executionId = executionId
    const stored = storedCheckpoint(checkpoint) as Checkpoint | undefined
    if (stored !== undefined && !plan.part) checkUncut(stored)
    this.#isResumed = plan.isResumable && this.isOwn(stored)
    this.#place = {
      checkpoint: this.#isResumed ? this.#owned(stored as Checkpoint) : initialCheckpoint(executionId, plan.part),
      detail: (this.#isResumed && storedDetail(detail)) || nothingRead,
    }
  }

  /**
   * Whether a checkpoint is there that this run may go on from: of a part, one that was cut by the same scheme, or one of the
   * same range where parts go on by themselves.
   */
  isOwn(checkpoint: unknown): checkpoint is Checkpoint {
    if (checkpoint === undefined || checkpoint === null) return false
    const { part, startsOver } = this.#plan
    const { scheme, range, origin } = checkpoint as Checkpoint
    if (startsOver && origin !== this.#executionId) return false
    if (!part || scheme === part.scheme) return true
    return part.isContinued === true && range?.from === part.range.from && range?.until === part.range.until
  }

  #owned(checkpoint: Checkpoint): Checkpoint {
    const { part } = this.#plan
    return part ? { ...checkpoint, scheme: part.scheme } : checkpoint
  }

  /** Whether the run goes on from the checkpoint of another one. */
  get isResumed(): boolean {
    return this.#isResumed
  }

  get checkpoint(): Checkpoint {
    return this.#place.checkpoint
  }

  get detail(): IngestionDetail {
    return this.#place.detail
  }

  /** The last place that an execution may go on from. */
  get place(): Place {
    return this.#place
  }

  /** Whether more was written than an execution may go on from. */
  get isBeyond(): boolean {
    return this.#beyond !== undefined
  }

  /** The checkpoint, for a target that keeps it; `null` when no execution goes on from here. */
  get kept(): KeptCheckpoint | null {
    const { checkpoint, detail } = this.#place
    return this.#plan.isResumable ? { ...checkpoint, executionId: this.#executionId, detail } : null
  }

  /** Begins anew, whatever came before. */
  restart(): void {
    this.#isResumed = false
    this.#place = { checkpoint: initialCheckpoint(this.#executionId, this.#plan.part), detail: nothingRead }
  }

  /** What a target keeps together with the records is never behind storage, which may have missed the last of it. */
  goOnFrom(kept: unknown): void {
    const { executionId, detail, ...checkpoint } = keptCheckpoint(kept)
    if (!this.#plan.part) checkUncut(checkpoint)
    this.#isResumed = true
    this.#place = {
      checkpoint: this.#owned(checkpoint),
      detail: executionId === this.#executionId ? detail : this.detail,
    }
  }

  /** Adds to the checkpoint where a target stands, or whether ids are out of order. */
  mark(positions: Pick<Checkpoint, 'position' | 'deadLetters' | 'isUnordered'>): void {
    this.#place = { ...this.#place, checkpoint: { ...this.checkpoint, ...positions } }
  }

  /** Adds to the detail. */
  tell(detail: Partial<IngestionDetail>): void {
    this.#place = { ...this.#place, detail: { ...this.detail, ...detail } }
  }

  /** Whether an execution may go on from behind a batch. */
  isPlace({ position }: RecordBatch): boolean {
    return this.#plan.cursor === undefined || position !== undefined
  }

  /** Gives a batch that was read its place. */
  meet(batch: RecordBatch, now: number): MetBatch {
    const isPlace = this.isPlace(batch)
    const before = this.#beyond ?? this.#place
    const isRepeated = batch.position !== undefined && batch.position === before.checkpoint.cursor
    const behind = isRepeated ? repeat(before.checkpoint, now) : this.#behind(before, batch, now)
    const { origin, sequence } = before.checkpoint
    // A part of ties, or of what comes again, may hold other records the next time.
    const isCertain = isPlace && !isRepeated && !this.#beyond
    const own = batch.split?.name ?? sequence
    const place = isCertain ? `${origin}:${own}` : `${origin}:${own}:${this.#nonce}`
    // Place and extent: a batch that comes again larger, as the source has grown, is another batch.
    const end = batch.split ? '' : (behind.lastId ?? '')
    const name = { place, key: `${place}:${batch.length}:${end}` }
    return { batch, name, before, behind, isPlace }
  }

  /** Comes behind a batch, or, where only its first records are settled, behind those. */
  pass({ batch, before, behind, isPlace }: MetBatch, settled: IngestionDetail, now: number): void {
    if (settled.read === 0) return
    const isWhole = settled.read === batch.length
    const checkpoint = isWhole ? behind : this.#behind(before, batch.slice(0, settled.read), now)
    const written = writtenBy(before.checkpoint) + settled.written
    const place = {
      checkpoint: { ...checkpoint, written },
      detail: addedUp(before.detail, settled),
    }
    const isKnown = isWhole ? isPlace : this.#plan.cursor === undefined
    this.#beyond = isKnown ? undefined : place
    if (isKnown) this.#place = place
  }

  #behind({ checkpoint }: Place, batch: RecordBatch, now: number): Checkpoint {
    const { pkField, query } = this.#plan
    return advance(checkpoint, batch, now, pkField, query.needs)
  }
}

import { JobError } from '../core/errors.js'
import { takeoverOf } from '../core/execution.js'
import { isEnded } from '../core/lifecycle.js'
import type { Parts } from '../core/parts.js'
import type { ExecutionRecord } from '../core/storage.js'
import { storedCheckpoint, storedDetail } from './_stored.js'
import type { Checkpoint } from './checkpoint.js'
import { addedUp, type IngestionDetail, nothingRead } from './detail.js'

/** What the parts have come to together. */
interface Sum {
  readonly detail: IngestionDetail
  /** How many records they have written, by their checkpoints. */
  readonly written: number
  /** The checkpoint of the last part, of those up to which none is unfinished, that has read anything. */
  readonly last: Checkpoint | undefined
}

/** How far one part has come, by what storage was seen to hold of it. */
export class PartProgress {
  readonly n: number
  readonly #scheme: string
  /** How many nodes in a row may be lost of it before it has failed. */
  readonly #limit: number
  #record: ExecutionRecord | undefined
  /** What its executions before the last one have come to. */
  #former: IngestionDetail = nothingRead
  /** What was counted of it before the whole went on. */
  #before: IngestionDetail = nothingRead
  /** The execution that the whole went on with. */
  #adopted: string | undefined
  /** An execution that came before all this. */
  #ignored: string | undefined

  constructor(n: number, scheme: string, limit: number) {
    this.n = n
    this.#scheme = scheme
    this.#limit = limit
  }

  /** What parts, in their order, have come to together. */
  static sum(parts: readonly PartProgress[]): Sum {
    const first = parts.findIndex(({ isDone }) => !isDone)
    const reached = parts.slice(0, first < 0 ? parts.length : first + 1).flatMap(({ checkpoint }) => checkpoint ?? [])
    const counted = parts.reduce(
      (sum, { detail }) => ({ ...addedUp(sum, detail), ...heldOf(sum, detail) }),
      nothingRead,
    )
    const done = parts.filter(({ isDone }) => isDone).length
    return {
      detail: { ...counted, parts: { total: parts.length, done } },
      written: writtenUpTo(parts.map(({ checkpoint }) => checkpoint)),
      last: reached.findLast(({ sequence }) => sequence > 0),
    }
  }

  get record(): ExecutionRecord | undefined {
    return this.#record
  }

  /** What it has counted since the whole began, over all its executions. */
  get detail(): IngestionDetail {
    return less(addedUp(this.#former, detailOf(this.#record)), this.#before, detailOf(this.#record))
  }

  /** Its checkpoint, once it has one of its own. */
  get checkpoint(): Checkpoint | undefined {
    const checkpoint = storedCheckpoint(this.#record?.checkpoint) as Checkpoint | undefined
    return checkpoint?.scheme === this.#scheme ? checkpoint : undefined
  }

  get isDone(): boolean {
    return this.#record !== undefined && this.#isDoneBy(this.#record)
  }

  get isLive(): boolean {
    return this.#record !== undefined && !isEnded(this.#record.state)
  }

  /** Whether nobody does it: it waits, or its node was lost. */
  get isFree(): boolean {
    const record = this.#record
    return record !== undefined && (this.isLive ? record.node === '' : this.#isLeft(record))
  }

  /** Whether the whole can go on with an execution that was there before it. */
  goesOnWith(record: ExecutionRecord): boolean {
    return !isEnded(record.state) || this.#isDoneBy(record)
  }

  /** Goes on with an execution that was there before the whole. */
  adopt(record: ExecutionRecord): void {
    this.#record = record
    this.#before = detailOf(record)
    this.#adopted = record.executionId
  }

  /** Another execution is to come after this one, if there is one. */
  ignore(record: ExecutionRecord | undefined): void {
    this.#former = addedUp(this.#former, detailOf(this.#record))
    this.#record = undefined
    this.#ignored = record?.executionId
  }

  /** Looks what storage holds. */
  async look(parts: Parts): Promise<void> {
    const record = await parts.find(this.n)
    if (!record || record.executionId === this.#ignored) return
    const before = this.#record
    const seen = new Set<string>()
    for (let last = record; before && last.executionId !== before.executionId && !seen.has(last.executionId); ) {
      seen.add(last.executionId)
      const executionId = last.resumedFrom ?? before.executionId
      last = (await parts.findEnded({ ...last, executionId })) ?? before
      this.#former = addedUp(this.#former, detailOf(last))
    }
    this.#record = record
  }

  /** Whether it failed, and nobody goes on with it. */
  get hasFailed(): boolean {
    const record = this.#record
    return record !== undefined && !this.isLive && !this.isDone && !this.#isLeft(record)
  }

  /** Whether what failed began before the whole did: that may have been its end's doing. */
  get isAdopted(): boolean {
    return this.#record?.executionId === this.#adopted
  }

  /** The failure, as one of a part of `total`. */
  failureOf(total: number): JobError {
    const messages = this.#record?.error ?? ['It was aborted.']
    const cause = messages.reduceRight<JobError | undefined>(
      (cause, message) => new JobError('part', message, cause && { cause }),
      undefined,
    )
    return new JobError('part', `Part ${this.n + 1} of ${total} failed.`, { cause })
  }

  /** Whether an execution did it to its end. */
  #isDoneBy({ state, checkpoint }: ExecutionRecord): boolean {
    return state === 'successful' && (checkpoint as Checkpoint | undefined)?.scheme === this.#scheme
  }

  /** Whether it ended for want of its node alone. */
  #isLeft(record: ExecutionRecord): boolean {
    return isEnded(record.state) && record.isOrphaned === true && takeoverOf(record).takeovers <= this.#limit
  }
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
  return {
    ...last,
    read: all.read - read,
    written: all.written - written,
    failed: all.failed - failed,
    skipped: all.skipped - skipped,
  }
}

/** What is true of the whole as soon as it is of one part. */
function heldOf(one: IngestionDetail, other: IngestionDetail): Partial<IngestionDetail> {
  const withoutCursor = one.withoutCursor ?? other.withoutCursor
  const split = one.split || other.split
  return { ...(split !== undefined && { split }), ...(withoutCursor !== undefined && { withoutCursor }) }
}

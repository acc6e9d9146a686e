import { JobError } from '../core/errors.js'
import { isEnded } from '../core/lifecycle.js'
import type { Parts } from '../core/parts.js'
import type { ExecutionRecord } from '../core/storage.js'
import type { Checkpoint } from './checkpoint.js'
import { addedUp, type IngestionDetail, nothingRead } from './detail.js'

/** How many nodes in a row may be lost of a part that does not come on, before the whole fails. */
const maxTakeovers = 5

/** What the parts have come to together. */
interface Sum {
  readonly detail: IngestionDetail
  /** The checkpoint of the last part, of those up to which none is unfinished, that has read anything. */
  readonly last: Checkpoint | undefined
}

/** How far one part has come, by what storage was seen to hold of it. */
export class PartProgress {
  readonly n: number
  readonly #scheme: string
  #record: ExecutionRecord | undefined
  /** What its executions before the last one have come to. */
  #former: IngestionDetail = nothingRead
  /** An execution that came before all this. */
  #ignored: string | undefined

  constructor(n: number, scheme: string) {
    this.n = n
    this.#scheme = scheme
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
      last: reached.findLast(({ sequence }) => sequence > 0),
    }
  }

  get record(): ExecutionRecord | undefined {
    return this.#record
  }

  /** What it has counted, over all its executions. */
  get detail(): IngestionDetail {
    return addedUp(this.#former, detailOf(this.#record))
  }

  /** Its checkpoint, once it has one of its own. */
  get checkpoint(): Checkpoint | undefined {
    const checkpoint = this.#record?.checkpoint as Checkpoint | undefined
    return checkpoint?.scheme === this.#scheme ? checkpoint : undefined
  }

  get isDone(): boolean {
    return this.#record !== undefined && this.isDoneBy(this.#record)
  }

  get isLive(): boolean {
    return this.#record !== undefined && !isEnded(this.#record.state)
  }

  /** Whether nobody does it: it waits, or its node was lost. */
  get isFree(): boolean {
    const record = this.#record
    return record !== undefined && (this.isLive ? record.node === '' : this.#isLeft(record))
  }

  /** Whether an execution did it to its end. */
  isDoneBy({ state, checkpoint }: ExecutionRecord): boolean {
    return state === 'successful' && (checkpoint as Checkpoint | undefined)?.scheme === this.#scheme
  }

  /** Takes in what storage holds. */
  see(record: ExecutionRecord): void {
    this.#record = record
  }

  /** The execution says nothing: another one is to come. */
  ignore(record: ExecutionRecord | undefined): void {
    this.#ignored = record?.executionId
  }

  /** Looks what storage holds. */
  async look(parts: Parts): Promise<void> {
    const record = await parts.find(this.n)
    const before = this.#record
    if (!record || record.executionId === this.#ignored) return
    if (before && before.executionId !== record.executionId) {
      this.#former = addedUp(this.#former, detailOf((await parts.findEnded(before)) ?? before))
    }
    this.see(record)
  }

  /** Throws the failure of a part that nobody goes on with, one of `total`. */
  throwIfFailed(total: number): void {
    const record = this.#record
    if (!record || this.isLive || this.isDone || this.#isLeft(record)) return
    const messages = record.error ?? ['It was aborted.']
    const cause = messages.reduceRight<JobError | undefined>(
      (cause, message) => new JobError('part', message, cause && { cause }),
      undefined,
    )
    throw new JobError('part', `Part ${this.n + 1} of ${total} failed.`, { cause })
  }

  /** Whether it ended for want of its node alone. */
  #isLeft({ state, isOrphaned, takeovers = 0 }: ExecutionRecord): boolean {
    return isEnded(state) && isOrphaned === true && takeovers < maxTakeovers
  }
}

function detailOf(record: ExecutionRecord | undefined): IngestionDetail {
  return { ...nothingRead, ...(record?.detail as IngestionDetail | undefined) }
}

/** What is true of the whole as soon as it is of one part. */
function heldOf(one: IngestionDetail, other: IngestionDetail): Partial<IngestionDetail> {
  const withoutCursor = one.withoutCursor ?? other.withoutCursor
  const split = one.split || other.split
  return { ...(split !== undefined && { split }), ...(withoutCursor !== undefined && { withoutCursor }) }
}

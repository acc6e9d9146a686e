import { type Clock, sleep } from '../core/clock.js'
import { chain, errorMessages, JobError, read } from '../core/errors.js'
import type { Redactor } from '../core/redact.js'
import { backoff } from '../core/retry-policy.js'
import { Budget } from './_budget.js'
import { type DeadLetters, recordOf } from './_dead-letters.js'
import type { Tolerance } from './_plan.js'
import type { RecordBatch } from './batch.js'
import { addedUp, type IngestionDetail, nothingRead } from './detail.js'
import type { DeadLetter } from './failures.js'
import type { TargetContext } from './target.js'
import type { BatchTransform, TransformedBatch } from './transform.js'

/** What hands batches over needs. */
export interface DeliveryOptions {
  readonly context: TargetContext
  readonly transform: BatchTransform
  /** Writes to the target, under an idempotency key. */
  write(batch: RecordBatch, key: string): Promise<void>
}

/** What tells a batch from others. */
export interface BatchName {
  /** Where it stands among those that were read: the same when it comes again after a crash. */
  readonly place: string
  /** Place and extent: its idempotency key. */
  readonly key: string
}

/** What becomes of the batches that were read, on their way into the target. */
export interface Delivery {
  /** What became of the batch that came last: of all its records, or, when that failed, of the first ones. */
  readonly settled: IngestionDetail
  /** Transforms and writes a batch. `before` was counted before it. */
  deliver(batch: RecordBatch, name: BatchName, before: IngestionDetail): Promise<void>
}

/** Writes a batch whole, or fails. */
export class WholeDelivery implements Delivery {
  settled = nothingRead
  readonly #options: DeliveryOptions

  constructor(options: DeliveryOptions) {
    this.#options = options
  }

  async deliver(batch: RecordBatch, { key }: BatchName): Promise<void> {
    const { transform, write, context } = this.#options
    this.settled = nothingRead
    const { batch: transformed, skipped } = await transform(batch, context)
    if (transformed.length > 0) await write(transformed, key)
    this.settled = { read: batch.length, written: batch.length - skipped, failed: 0, skipped }
  }
}

/** What a delivery that tolerates failures needs. */
export interface TolerantDeliveryOptions extends DeliveryOptions {
  readonly tolerance: Tolerance
  readonly deadLetters: DeadLetters | undefined
  readonly clock: Clock
  readonly redactor: Redactor
  /** What dead letters are said to be of. */
  readonly shown: Pick<DeadLetter, 'type' | 'id' | 'executionId'>
  /** Whether the target can go on after a write that it has refused. */
  isSound(): boolean
  /** Hears of a record that failed and goes nowhere. */
  dropped(error: unknown): void
}

/** A part of a batch: from `start` up to, not including, `end`. */
interface Range {
  readonly start: number
  readonly end: number
}

/** How often in a row a write may fail for the moment before its try fails. */
const maxTries = 5

/** The waits between them, in milliseconds. */
const waits = { delay: 200, maxDelay: 5000 }

/** Errors that no record is to blame for. */
const fatal: ReadonlySet<unknown> = new Set(['aborted', 'lease_lost', 'too_many_failures'])

/**
 * Writes what can be written. A batch that fails is written in parts: around the record that the error names, else in halves,
 * down to the record that fails alone, which is put aside. One that fails for the moment is written in halves after a while.
 * Parts are written in order, so that there always is a place up to which all is settled.
 */
export class TolerantDelivery implements Delivery {
  settled = nothingRead
  readonly #options: TolerantDeliveryOptions
  readonly #budget: Budget
  #batch!: RecordBatch
  #name!: BatchName
  /** What was counted before the batch. */
  #before = nothingRead
  /** How often in a row a write failed for the moment. */
  #tries = 0

  constructor(options: TolerantDeliveryOptions) {
    this.#options = options
    this.#budget = new Budget(options.tolerance.limits)
  }

  async deliver(batch: RecordBatch, name: BatchName, before: IngestionDetail): Promise<void> {
    this.#batch = batch
    this.#name = name
    this.#before = before
    this.settled = nothingRead
    const rest: Range[] = [{ start: 0, end: batch.length }]
    for (let range = rest.pop(); range; range = rest.pop()) rest.push(...(await this.#settle(range)).reverse())
    await this.#options.deadLetters?.write()
    this.#budget.judge(this.#counts)
  }

  get #counts(): IngestionDetail {
    return addedUp(this.#before, this.settled)
  }

  /** Settles a part of the batch. Gives the parts to go on with instead when it cannot be settled as a whole. */
  async #settle(range: Range): Promise<Range[]> {
    const { transform, write, context } = this.#options
    // A part of its own decodes records of its own: a transform may have changed those of another try.
    const part = this.#batch.slice(range.start, range.end)
    let transformed: TransformedBatch | undefined
    try {
      transformed = await transform(part, context)
      const { failures = [] } = transformed
      const [first] = failures
      // What comes after the record that fails the job is not to be written.
      if (first && part.length > 1 && !this.#budget.allows(failures.length, this.#counts)) {
        return around(range, range.start + first.index)
      }
      if (transformed.batch.length > 0) await write(transformed.batch, this.#keyOf(range))
    } catch (error) {
      return this.#recover(range, error, transformed)
    }
    this.#tries = 0
    this.#count(range, transformed)
    return []
  }

  async #recover(range: Range, error: unknown, transformed: TransformedBatch | undefined): Promise<Range[]> {
    const { context, tolerance, isSound } = this.#options
    const { start, end } = range
    if (context.signal.aborted || isFatal(error) || !isSound()) throw error
    if (tolerance.isTransient(error)) {
      await this.#pause(error)
      return halves(range)
    }
    this.#tries = 0
    if (end - start === 1) {
      this.#putAside(start, error)
      return []
    }
    const place = transformed && originOf(error, transformed)
    return place === undefined || start + place >= end ? halves(range) : around(range, start + place)
  }

  async #pause(error: unknown): Promise<void> {
    const { clock, context } = this.#options
    this.#tries++
    if (this.#tries > maxTries) throw error
    await sleep(clock, backoff(this.#tries, waits), context.signal)
    context.signal.throwIfAborted()
  }

  /** Counts the records of a part that is settled, in their order. */
  #count({ start, end }: Range, { failures = [], skipped }: TransformedBatch): void {
    let next = start
    for (const { index, error } of failures) {
      this.#pass(start + index - next)
      this.#putAside(start + index, error)
      next = start + index + 1
    }
    this.#pass(end - next)
    this.settled = addedUp(this.settled, { read: 0, written: -skipped, failed: 0, skipped })
  }

  #pass(written: number): void {
    if (written === 0) return
    this.#budget.pass()
    this.settled = addedUp(this.settled, { read: written, written, failed: 0, skipped: 0 })
  }

  #putAside(index: number, error: unknown): void {
    const { deadLetters, shown, clock, redactor, dropped } = this.#options
    this.#budget.take(error, this.#counts)
    const letter: DeadLetter = {
      ...shown,
      key: `${this.#name.place}:${index}`,
      time: new Date(clock.now()).toISOString(),
      phase: JobError.isInstance(error) && error.code === 'transform' ? 'transform' : 'target',
      error: errorMessages(error, redactor),
      record: recordOf(this.#batch.slice(index, index + 1)),
    }
    if (deadLetters) deadLetters.put(letter)
    else dropped(error)
    this.settled = addedUp(this.settled, { read: 1, written: 0, failed: 1, skipped: 0 })
  }

  #keyOf({ start, end }: Range): string {
    const isWhole = end - start === this.#batch.length
    return isWhole ? this.#name.key : `${this.#name.key}:${start}-${end}`
  }
}

function halves({ start, end }: Range): Range[] {
  if (end - start === 1) return [{ start, end }]
  const middle = (start + end + 1) >>> 1
  return [
    { start, end: middle },
    { start: middle, end },
  ]
}

/** What is before a place, the place, and what is after it. */
function around({ start, end }: Range, place: number): Range[] {
  const parts = [
    { start, end: place },
    { start: place, end: place + 1 },
    { start: place + 1, end },
  ]
  return parts.filter((part) => part.end > part.start)
}

function isFatal(error: unknown): boolean {
  return [...chain(error)].some((link) => JobError.isInstance(link) && fatal.has(link.code))
}

/** The place of the record that an error names, if it names one of the batch that was written: a target may say anything. */
function originOf(error: unknown, { batch, originOf }: TransformedBatch): number | undefined {
  for (const link of chain(error)) {
    const place = read(link, 'recordIndex')
    if (Number.isSafeInteger(place))
      return (place as number) >= 0 && (place as number) < batch.length ? originOf(place as number) : undefined
  }
  return undefined
}

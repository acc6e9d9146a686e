import {
  type Clock,
  chain,
  errorMessages,
  JobError,
  notePlace,
  type RecordPlace,
  read,
  sleep,
} from '../../core/base/index.js'
import { backoff } from '../../core/model/index.js'
import type { Redactor } from '../../core/redaction/index.js'
import {
  addedUp,
  type IngestionDetail,
  maxFailures,
  nothingRead,
  type RecordBatch,
  type TargetContext,
} from '../contract/index.js'
import type { BatchTransform, DeadLetter, Tolerance, TransformContext, TransformedBatch } from '../definition/index.js'
import { type DeadLetters, recordOf } from './dead-letters.js'
import { failedRecords } from './failed-records.js'
import { FailureBudget } from './failure-budget.js'
import { originsOf, RecentBatches } from './recent-batches.js'
import { type NamedBatch, noKeys, phaseOf, type RecordPlaces, type Slice } from './record-place.js'

/** What a batch writer needs. */
export interface BatchWriterOptions {
  readonly context: TargetContext & TransformContext
  readonly transform: BatchTransform
  /** Writes to the target, under an idempotency key. */
  write(batch: RecordBatch, key: string): Promise<void>
  /** Whether the target has written each batch when `write` resolves. An error of it is then about that batch. */
  keepsNone(): boolean
  readonly places: RecordPlaces
}

/** Identifies a batch. */
export interface BatchName {
  /** The number of the batch since the job began from the beginning, from 0. */
  readonly number: number
  /** The position of the batch among those read: the same when it is read again after a crash. */
  readonly position: string
  /** Position and extent: the idempotency key. */
  readonly key: string
}

/** What became of a batch. */
export interface BatchOutcome {
  /** The counts of its records or, with an `error`, of the first ones of them. */
  readonly settled: IngestionDetail
  /** Why the others were not written. */
  readonly error?: unknown
}

/** Transforms batches and writes them to the target. */
export interface BatchWriter {
  readonly places: RecordPlaces
  /** Transforms and writes a batch. `before` has the counts before it. Never rejects. */
  write(batch: RecordBatch, name: BatchName, before: IngestionDetail): Promise<BatchOutcome>
  /** Where the target failed when it was not asked to write a batch, as in a flush. */
  placeOf(error: unknown): RecordPlace
}

/** Notes at which record the target failed in a call that writes no batch. */
export async function placing<Answer>(
  answer: Promise<Answer>,
  batchWriter: Pick<BatchWriter, 'placeOf'>,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    return await answer
  } catch (error) {
    if (!signal.aborted) notePlace(error, batchWriter.placeOf(error))
    throw error
  }
}

/** Throws an error of the target that no record causes. */
export function ofNoRecord(error: unknown): never {
  notePlace(error, { phase: 'target' })
  throw error
}

/** Writes each batch completely, or fails. */
export class DirectBatchWriter implements BatchWriter {
  readonly #options: BatchWriterOptions
  readonly #recent: RecentBatches
  readonly places: RecordPlaces

  constructor(options: BatchWriterOptions) {
    this.#options = options
    this.#recent = new RecentBatches(options.places)
    this.places = options.places
  }

  async write(batch: RecordBatch, { key, number }: BatchName, before: IngestionDetail): Promise<BatchOutcome> {
    const { places } = this
    const { transform, write, context, keepsNone } = this.#options
    const named = { number, first: before.read + 1, length: batch.length, keys: places.keysOf(batch) }
    let transformed: TransformedBatch | undefined
    try {
      transformed = await transform(batch, context)
      const { batch: result, skipped } = transformed
      this.#recent.add(key, named, transformed)
      if (result.length > 0) await write(result, key)
      return { settled: { read: batch.length, written: batch.length - skipped, failed: 0, skipped } }
    } catch (error) {
      // The schema and the transform name records as they were read, and the target those that it received.
      const index = read(error, 'recordIndex')
      const place = transformed
        ? this.#recent.placeOf(error, key, keepsNone())
        : places.of(named, phaseOf(error), typeof index === 'number' ? index : { start: 0, end: batch.length })
      if (!context.signal.aborted) notePlace(error, place)
      return { settled: nothingRead, error }
    }
  }

  placeOf(error: unknown): RecordPlace {
    return this.#recent.placeOf(error, undefined, false)
  }
}

/** What a batch writer that tolerates failures needs. */
export interface TolerantBatchWriterOptions extends BatchWriterOptions {
  readonly tolerance: Tolerance
  readonly deadLetters: DeadLetters | undefined
  readonly clock: Clock
  readonly redactor: Redactor
  /** The job and execution that dead letters name. */
  readonly shown: Pick<DeadLetter, 'type' | 'id' | 'executionId'>
  /** Whether the target can continue after a rejected write. */
  isSound(): boolean
  /**
   * Called before a batch with a failed record is written in parts: makes what is before the batch durable. Nothing of the batch is
   * written then.
   */
  beforeParts(): Promise<void>
  /** Called for a failed record without a dead-letter target. */
  dropped(error: unknown): void
}

/** How often in a row a write may fail with a transient error before the try fails. */
const maxTries = 5

/** The delays between them, in milliseconds. */
const waits = { delay: 200, maxDelay: 5000 }

/** Errors that no record causes. */
const fatal: ReadonlySet<unknown> = new Set(['aborted', 'lease_lost', 'too_many_failures'])

/**
 * Isolates bad records. A failed batch is split around the record that the error names, or in half, until the failing record stands
 * alone and becomes a dead letter. A transient failure is retried in halves after a delay. Slices are written in order, so that there
 * always is a position up to which everything is settled.
 */
export class TolerantBatchWriter implements BatchWriter {
  readonly #options: TolerantBatchWriterOptions
  readonly #budget: FailureBudget
  readonly places: RecordPlaces
  #batch!: RecordBatch
  #name!: BatchName
  #keys = noKeys
  /** The counts before the batch. */
  #before = nothingRead
  /** The counts of its first records, which are settled. */
  #settled = nothingRead
  /** Those of its records that failed. */
  #failures: DeadLetter[] = []
  #isInParts = false
  /** How many consecutive writes failed with a transient error. */
  #tries = 0

  constructor(options: TolerantBatchWriterOptions) {
    this.#options = options
    this.#budget = new FailureBudget(options.tolerance.limits)
    this.places = options.places
  }

  async write(batch: RecordBatch, name: BatchName, before: IngestionDetail): Promise<BatchOutcome> {
    this.#batch = batch
    this.#name = name
    this.#keys = this.places.keysOf(batch)
    this.#before = before
    this.#settled = nothingRead
    this.#failures = []
    this.#isInParts = false
    try {
      await this.#settleAll()
      return { settled: this.#settledWithFailures }
    } catch (error) {
      return { settled: this.#settledWithFailures, error }
    }
  }

  get #settledWithFailures(): IngestionDetail {
    if (this.#failures.length === 0) return this.#settled
    const { redactor, tolerance } = this.#options
    const latestFailures = failedRecords(this.#failures, redactor, tolerance.showsRecords)
    return { ...this.#settled, latestFailures }
  }

  placeOf(): RecordPlace {
    return this.places.upTo(this.#counts.read)
  }

  async #settleAll(): Promise<void> {
    const rest: Slice[] = [{ start: 0, end: this.#batch.length }]
    for (let range = rest.pop(); range; range = rest.pop()) rest.push(...(await this.#settle(range)).reverse())
    await this.#options.deadLetters?.write()
    this.#budget.judge(this.#counts)
  }

  get #counts(): IngestionDetail {
    return addedUp(this.#before, this.#settled)
  }

  /** Settles a slice of the batch. Returns the slices to continue with when it cannot be settled at once. */
  async #settle(range: Slice): Promise<Slice[]> {
    const { transform, write, context } = this.#options
    // A new slice decodes its own records: a transform may have changed those of another try.
    const part = this.#batch.slice(range.start, range.end)
    let transformed: TransformedBatch | undefined
    try {
      transformed = await transform(part, context)
      const { failures = [] } = transformed
      const [first] = failures
      if (first) await this.#beginParts()
      // Records after the one that fails the job must not be written.
      if (first && part.length > 1 && !this.#budget.allows(failures.length, this.#counts)) {
        return around(range, [range.start + first.index])
      }
      if (transformed.batch.length > 0) await write(transformed.batch, this.#keyOf(range))
    } catch (error) {
      return this.#recover(range, error, transformed)
    }
    this.#tries = 0
    this.#count(range, transformed)
    return []
  }

  async #recover(range: Slice, error: unknown, transformed: TransformedBatch | undefined): Promise<Slice[]> {
    const { context, tolerance, isSound } = this.#options
    const { start, end } = range
    if (context.signal.aborted) throw error
    if (isFatal(error) || !isSound()) {
      notePlace(error, this.#placeOf(error, range))
      throw error
    }
    await this.#beginParts()
    if (tolerance.isTransient(error)) {
      await this.#pause(error)
      return halves(range)
    }
    this.#tries = 0
    if (end - start === 1) {
      this.#setAside(start, error)
      return []
    }
    const positions = transformed ? originsOf(error, transformed).map((position) => start + position) : []
    const named = positions.filter((position) => position < end)
    return named.length === 0 ? halves(range) : around(range, named)
  }

  async #beginParts(): Promise<void> {
    if (this.#isInParts) return
    this.#isInParts = true
    await this.#options.beforeParts()
  }

  async #pause(error: unknown): Promise<void> {
    const { clock, context } = this.#options
    this.#tries++
    if (this.#tries > maxTries) {
      notePlace(error, this.#placeOf(error, { start: 0, end: this.#batch.length }))
      throw error
    }
    await sleep(clock, backoff(this.#tries, waits), context.signal)
    context.signal.throwIfAborted()
  }

  /** Counts the records of a settled slice, in order. */
  #count({ start, end }: Slice, { failures = [], skipped }: TransformedBatch): void {
    let next = start
    for (const { index, error } of failures) {
      this.#pass(start + index - next)
      this.#setAside(start + index, error)
      next = start + index + 1
    }
    this.#pass(end - next)
    this.#settled = addedUp(this.#settled, { read: 0, written: -skipped, failed: 0, skipped })
  }

  #pass(written: number): void {
    if (written === 0) return
    this.#budget.pass()
    this.#settled = addedUp(this.#settled, { read: written, written, failed: 0, skipped: 0 })
  }

  #setAside(index: number, error: unknown): void {
    const { deadLetters, shown, clock, redactor, dropped } = this.#options
    const place = this.#placeOf(error, index)
    try {
      this.#budget.take(error, this.#counts)
    } catch (failure) {
      const { text: _, ...fields } = place
      // Its causes say the rest.
      notePlace(failure, fields)
      notePlace(error, place)
      throw failure
    }
    const letter: DeadLetter = {
      ...shown,
      key: `${this.#name.position}:${index}`,
      time: new Date(clock.now()).toISOString(),
      phase: phaseOf(error),
      error: errorMessages(error, redactor),
      record: recordOf(this.#batch.slice(index, index + 1)),
    }
    // The messages of a dead letter do not have it, as the letter has the record.
    notePlace(error, place)
    if (deadLetters) deadLetters.put(letter)
    else dropped(error)
    this.#failures = [...this.#failures.slice(1 - maxFailures), letter]
    this.#settled = addedUp(this.#settled, { read: 1, written: 0, failed: 1, skipped: 0 })
  }

  #placeOf(error: unknown, records: number | Slice): RecordPlace {
    const batch: NamedBatch = { number: this.#name.number, first: this.#before.read + 1, keys: this.#keys }
    return this.places.of(batch, phaseOf(error), records)
  }

  #keyOf({ start, end }: Slice): string {
    const isWhole = end - start === this.#batch.length
    return isWhole ? this.#name.key : `${this.#name.key}:${start}-${end}`
  }
}

function halves({ start, end }: Slice): Slice[] {
  if (end - start === 1) return [{ start, end }]
  const middle = (start + end + 1) >>> 1
  return [
    { start, end: middle },
    { start: middle, end },
  ]
}

/** The slices of each index, and those between them. */
function around({ start, end }: Slice, positions: readonly number[]): Slice[] {
  const parts: Slice[] = []
  let next = start
  for (const position of [...new Set(positions)].sort((a, b) => a - b)) {
    parts.push({ start: next, end: position }, { start: position, end: position + 1 })
    next = position + 1
  }
  return [...parts, { start: next, end }].filter((part) => part.end > part.start)
}

function isFatal(error: unknown): boolean {
  return [...chain(error)].some((link) => JobError.isInstance(link) && fatal.has(link.code))
}

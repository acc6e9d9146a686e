import { ignoreRejections, isThenable, JobError, nonRecord } from '../../adapter.js'
import { Abortable } from './abortable.js'
import { OwnRecords } from './own-records.js'
import { sizeOf } from './size-of.js'

/** Records that a source yields one by one. */
export type RecordIterator<Item extends object> = Iterator<Item> | AsyncIterator<Item>

/**
 * Takes the records of an iterator in batches. An abort, also while the iterator waits, throws the reason of the signal. `close` frees the
 * source when it has not been read to its end.
 */
export class RecordReader<Item extends object> {
  /** Whether the source may have more records, or an error. */
  isOpen = true
  readonly #iterator: RecordIterator<Item>
  readonly #signal: AbortSignal
  readonly #abortable: Abortable
  readonly #check: (record: unknown) => void
  /** Absent for a collection, which holds what it holds. */
  readonly #ownRecords: OwnRecords<Item> | undefined
  #failure: { readonly error: unknown } | undefined
  /** A record that did not fit in the previous batch. */
  #leftover: { readonly record: Item; readonly bytes: number } | undefined

  /** `check` throws for what is not a record. `isAhead` says that the source holds records before they are taken. */
  constructor(
    iterator: RecordIterator<Item>,
    signal: AbortSignal,
    { check = checkRecord, isAhead = false }: { check?(record: unknown): void; isAhead?: boolean } = {},
  ) {
    this.#check = check
    this.#iterator = iterator
    this.#signal = signal
    this.#abortable = new Abortable(signal)
    this.#ownRecords = isOfCollection(iterator) ? undefined : new OwnRecords(!isAhead)
  }

  /**
   * Returns the next records: at most `count`, and at most `bytes` in all, except for a larger record alone. An error
   * comes after the records before it.
   */
  async take(count: number, bytes: number): Promise<Item[]> {
    this.#signal.throwIfAborted()
    const { record: leftover, bytes: leftoverBytes = 0 } = this.#leftover ?? {}
    const records: Item[] = leftover ? [leftover] : []
    this.#leftover = undefined
    if (this.#failure) throw this.#failure.error
    try {
      await this.#fill(records, count, bytes, leftoverBytes)
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason
      this.#failure = { error }
    }
    return records
  }

  async #fill(records: Item[], count: number, bytes: number, filled: number): Promise<void> {
    const isBounded = Number.isFinite(bytes)
    let sum = filled
    while (records.length < count && sum < bytes) {
      const step = this.#iterator.next()
      const { done, value } = isPromise(step) ? checkedResult(await this.#abortable.wait(step)) : checkedResult(step)
      if (done) {
        this.isOpen = false
        return
      }
      if (isThenable(value)) this.#ignorePromises(value)
      this.#check(value)
      const record = this.#ownRecords ? this.#owned(value, records) : value
      const size = isBounded ? sizeOf(record) : 0
      if (records.length > 0 && sum + size > bytes) {
        this.#leftover = { record, bytes: size }
        return
      }
      sum += size
      records.push(record)
    }
  }

  #owned(value: Item, records: Item[]): Item {
    try {
      return (this.#ownRecords as OwnRecords<Item>).own(value)
    } catch (error) {
      // It has the values of the later record by now.
      if (records.at(-1) === value) records.pop()
      throw error
    }
  }

  /** A promise is no record, and the promises behind one in a collection exist already. */
  #ignorePromises(first: unknown): void {
    ignoreRejections([first, ...(isOfCollection(this.#iterator) ? this.#iterator : [])])
  }

  /** Closes the iterator, unless it is at its end. A source that hangs may never close. */
  async close(): Promise<void> {
    this.#abortable.dispose()
    if (this.isOpen) await this.#iterator.return?.()
  }
}

function isPromise<Value>(step: Value | PromiseLike<Value>): step is PromiseLike<Value> {
  return typeof step === 'object' && step !== null && 'then' in step
}

/** The result of `next`, which the source may give as anything. */
function checkedResult<Item>(result: IteratorResult<Item>): IteratorResult<Item> {
  if (typeof result === 'object' && result !== null) return result
  const shown = result === null ? 'null' : result === undefined ? 'nothing' : `a ${typeof result}`
  throw new JobError(
    'datasource',
    `Expected \`next\` of the iterator to give an object with \`done\` and \`value\`, got ${shown}.`,
  )
}

/** Throws `datasource` for what is no record. */
export function checkRecord(record: unknown): void {
  const found = nonRecord(record)
  if (found !== undefined) throw new JobError('datasource', `Expected every record to be an object, got ${found}.`)
}

function isOfCollection(iterator: RecordIterator<object>): iterator is IterableIterator<object> {
  return /^(Array|Set|Map) Iterator$/.test(Object.prototype.toString.call(iterator).slice(8, -1))
}

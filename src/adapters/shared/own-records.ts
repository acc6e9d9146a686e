import { JobError } from '../../adapter.js'

/**
 * Makes each record an object of its own, where an iterator gives one object again and again with other values. Only such records are copied,
 * and the first one, which nothing tells from them.
 */
export class OwnRecords<Item extends object> {
  readonly #mayCopy: boolean
  #previous: Item | undefined
  /** Whether the previous record was copied before its object could change. */
  #isCopied = true
  #isReused = false

  /** Without `mayCopy`, the source gives records ahead, so that a copy would come too late: one object for two records is refused. */
  constructor(mayCopy: boolean) {
    this.#mayCopy = mayCopy
  }

  /**
   * The record to keep in place of a given one. Throws `datasource` when the previous one is the same object and was kept itself, so that it
   * has the values of this one by now.
   */
  own(record: Item): Item {
    const isSame = record === this.#previous
    if (isSame && !(this.#isCopied && this.#mayCopy)) throw reusedFailure()
    this.#isReused ||= isSame
    const mustCopy = this.#isReused || this.#previous === undefined
    this.#previous = record
    this.#isCopied = mustCopy && isPlain(record)
    return this.#isCopied ? { ...record } : record
  }
}

function isPlain(record: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(record)
  return prototype === Object.prototype || prototype === null
}

function reusedFailure(): JobError {
  return new JobError(
    'datasource',
    'Expected every record to be an object of its own, got the same object twice in a row, so that the first record has the values of the second: ' +
      'return a new object for each record, such as `{ ...record }`.',
  )
}

/**
 * Reads items ahead of the consumer until their size reaches the limit. The last item may exceed it.
 *
 * @experimental
 */
export class Prefetch<Item> {
  readonly #items: AsyncIterator<Item, void>
  readonly #sizeOf: (item: Item) => number
  readonly #limit: number
  /** Requested items that the consumer has not taken. The last one may still be pending. */
  readonly #requests: Promise<IteratorResult<Item, void>>[] = []
  /** The size of the items that have arrived. */
  #size = 0
  #isReading = false
  #isOver = false
  #hasFailed = false

  /** Starts to read. `limit` has the unit of `sizeOf`. */
  constructor(items: AsyncIterator<Item, void>, limit: number, sizeOf: (item: Item) => number) {
    this.#items = items
    this.#limit = limit
    this.#sizeOf = sizeOf
    this.#request()
  }

  /** Whether reading has failed. The items before the error can still be taken, then the error is thrown. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /** Returns the next item. */
  async next(): Promise<IteratorResult<Item, void>> {
    if (this.#requests.length === 0) this.#request()
    const result = await (this.#requests.shift() as Promise<IteratorResult<Item, void>>)
    if (!result.done) this.#size -= this.#sizeOf(result.value)
    this.#continue()
    return result
  }

  /** Stops reading ahead. */
  stop(): void {
    this.#isOver = true
  }

  #continue(): void {
    if (!this.#isReading && !this.#isOver && this.#size < this.#limit) this.#request()
  }

  #request(): void {
    this.#isReading = true
    const next = this.#items.next()
    this.#requests.push(next)
    next.then(this.#handleResult, this.#handleFailure)
  }

  readonly #handleResult = (result: IteratorResult<Item, void>) => {
    this.#isReading = false
    if (result.done) this.#isOver = true
    else this.#size += this.#sizeOf(result.value)
    this.#continue()
  }

  readonly #handleFailure = () => {
    this.#isReading = false
    this.#isOver = true
    this.#hasFailed = true
  }
}

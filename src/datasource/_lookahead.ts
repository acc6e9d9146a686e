/** Reads items before somebody asks for them, until those that wait fill their room: the last of them may reach beyond it. */
export class Lookahead<Item> {
  readonly #items: AsyncIterator<Item, void>
  readonly #sizeOf: (item: Item) => number
  readonly #room: number
  /** What was asked for and nobody has taken. The last of it may be yet to come. */
  readonly #asked: Promise<IteratorResult<Item, void>>[] = []
  /** The size of what has come of it. */
  #size = 0
  #isReading = false
  #isOver = false
  #hasFailed = false

  /** Begins to read. `room` is in the unit of `sizeOf`. */
  constructor(items: AsyncIterator<Item, void>, room: number, sizeOf: (item: Item) => number) {
    this.#items = items
    this.#room = room
    this.#sizeOf = sizeOf
    this.#ask()
  }

  /** Whether reading has failed: what came before can still be taken, and then the error. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /** The next item. */
  async next(): Promise<IteratorResult<Item, void>> {
    if (this.#asked.length === 0) this.#ask()
    const result = await (this.#asked.shift() as Promise<IteratorResult<Item, void>>)
    if (!result.done) this.#size -= this.#sizeOf(result.value)
    this.#goOn()
    return result
  }

  /** Reads no further ahead. */
  stop(): void {
    this.#isOver = true
  }

  #goOn(): void {
    if (!this.#isReading && !this.#isOver && this.#size < this.#room) this.#ask()
  }

  #ask(): void {
    this.#isReading = true
    const next = this.#items.next()
    this.#asked.push(next)
    next.then(this.#hold, this.#fail)
  }

  readonly #hold = (result: IteratorResult<Item, void>) => {
    this.#isReading = false
    if (result.done) this.#isOver = true
    else this.#size += this.#sizeOf(result.value)
    this.#goOn()
  }

  readonly #fail = () => {
    this.#isReading = false
    this.#isOver = true
    this.#hasFailed = true
  }
}

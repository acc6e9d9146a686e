/** The most text that waits for one reader, in characters: who does not take it in time is too slow. */
export const maxWaiting = 256 * 1024

/** What an {@link EventStream} needs of where its text comes from. */
export interface StreamSource {
  /** Called by the first `next()`. Gives what the reader is told before all that is pushed meanwhile. */
  open(): Promise<string>
  /** Called once, when the stream has ended, if it was opened. */
  close(): void
}

/** The text for one reader, as a `TextStream`. It takes what waits in one piece. */
export class EventStream implements AsyncIterableIterator<string, undefined> {
  readonly #source: StreamSource
  #state: 'new' | 'opening' | 'open' | 'ended' = 'new'
  /** What the reader is told first is not bounded, as it is made once. */
  #first = ''
  #waiting: string[] = []
  #size = 0
  #wake: (() => void) | undefined

  constructor(source: StreamSource) {
    this.#source = source
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /**
   * Adds to what waits for the next `flush()`. Ends the stream when that is too much: the reader comes back, and is told what
   * it missed.
   */
  push(text: string): void {
    if (this.#state === 'ended') return
    this.#size += text.length
    this.#waiting.push(text)
    if (this.#size > maxWaiting) this.end()
  }

  /** Gives what waits to a reader that is ready for it. */
  flush(): void {
    if (this.#hasNews) this.#wake?.()
  }

  /** Ends the stream, with what waits untold. */
  end(): void {
    const { close } = this.#source
    if (this.#state === 'opening' || this.#state === 'open') close()
    this.#state = 'ended'
    this.#first = ''
    this.#waiting = []
    this.#wake?.()
  }

  async next(): Promise<IteratorResult<string, undefined>> {
    if (this.#state === 'new') this.#open()
    if (!this.#hasNews && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#isEnded ? { done: true, value: undefined } : { done: false, value: this.#take() }
  }

  async return(): Promise<IteratorResult<string, undefined>> {
    this.end()
    return { done: true, value: undefined }
  }

  get #hasNews(): boolean {
    return this.#state === 'open' && (this.#first !== '' || this.#waiting.length > 0)
  }

  get #isEnded(): boolean {
    return this.#state === 'ended'
  }

  async #open(): Promise<void> {
    this.#state = 'opening'
    try {
      this.#first = await this.#source.open()
      if (!this.#isEnded) this.#state = 'open'
      this.#wake?.()
    } catch {
      // The source has told why. A reader that has seen its headers can be told no more than that it is over.
      this.end()
    }
  }

  #take(): string {
    const text = this.#first + this.#waiting.join('')
    this.#first = ''
    this.#waiting = []
    this.#size = 0
    this.#wake = undefined
    return text
  }
}

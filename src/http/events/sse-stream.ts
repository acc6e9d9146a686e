import { pieceSize, type TextStream } from '../answers/index.js'

/** The maximum number of characters that wait for one reader. A reader with more is too slow. */
export const maxWaiting = 256 * 1024

/** The source of an {@link SseStream}. */
export interface StreamSource {
  /**
   * The first text of the reader, before all that is pushed. Started by the first `next()`, and created as the reader
   * reads.
   */
  welcome(): AsyncIterator<string, undefined>
  /** Called once when an opened stream has ended. */
  close(): void
}

/** The text for one reader. All waiting text is returned as one piece. */
export class SseStream implements TextStream, AsyncIterableIterator<string, undefined> {
  readonly isEndless = true
  readonly #source: StreamSource
  /** `welcoming` until the first text was read. */
  #state: 'new' | 'welcoming' | 'open' | 'ended' = 'new'
  #welcome: AsyncIterator<string, undefined> | undefined
  #isFetching = false
  #first = ''
  #waiting: string[] = []
  #size = 0
  #wake: (() => void) | undefined
  readonly #listeners = new Set<() => void>()

  constructor(source: StreamSource) {
    this.#source = source
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  onEnd(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Adds text for the next `flush()`. Ends the stream when too much is waiting; the reader reconnects and gets what
   * it missed.
   */
  push(text: string): void {
    if (this.#state === 'ended') return
    this.#size += text.length
    this.#waiting.push(text)
    if (this.#size > maxWaiting) this.end()
  }

  /** Delivers waiting text to a reader that is ready. */
  flush(): void {
    if (this.#hasText) this.#wake?.()
  }

  /** Takes the waiting text, for the first text to include. */
  takeWaiting(): string {
    const text = this.#waiting.join('')
    this.#waiting = []
    this.#size = 0
    return text
  }

  /** Ends the stream and drops the waiting text. */
  end(): void {
    if (this.#state === 'ended') return
    const wasOpened = this.#state !== 'new'
    this.#state = 'ended'
    this.#first = ''
    this.#waiting = []
    if (wasOpened) this.#source.close()
    this.#wake?.()
    // A pending fetch settles later, without a reader.
    this.#welcome?.return?.()?.catch(() => {})
    for (const listener of [...this.#listeners]) listener()
  }

  async next(): Promise<IteratorResult<string, undefined>> {
    if (this.#state === 'new') {
      this.#state = 'welcoming'
      this.#welcome = this.#source.welcome()
    }
    if (this.#state === 'welcoming' && this.#first === '' && !this.#isFetching) void this.#fetch()
    if (!this.#hasText && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#isEnded ? { done: true, value: undefined } : { done: false, value: this.#take() }
  }

  async return(): Promise<IteratorResult<string, undefined>> {
    this.#listeners.clear()
    this.end()
    return { done: true, value: undefined }
  }

  get #hasText(): boolean {
    if (this.#state === 'welcoming') return this.#first !== ''
    return this.#state === 'open' && (this.#first !== '' || this.#waiting.length > 0)
  }

  get #isEnded(): boolean {
    return this.#state === 'ended'
  }

  /** Reads the next piece of the first text. Small pieces are joined. */
  async #fetch(): Promise<void> {
    this.#isFetching = true
    try {
      let text = ''
      while (this.#state === 'welcoming' && text.length < pieceSize) {
        const piece = await this.#welcome?.next()
        if (this.#isEnded) return
        if (piece?.done !== false) this.#state = 'open'
        text += piece?.value ?? ''
      }
      this.#first = text
      if (this.#hasText) this.#wake?.()
    } catch {
      // The source has logged the error. The headers are sent, so the stream can only end.
      this.end()
    } finally {
      this.#isFetching = false
    }
  }

  #take(): string {
    const text = this.#state === 'open' ? this.#first + this.takeWaiting() : this.#first
    this.#first = ''
    this.#wake = undefined
    return text
  }
}

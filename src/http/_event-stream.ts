import { pieceSize } from './_pages.js'
import type { TextStream } from './_stream.js'

/** The most text that waits for one reader, in characters: who does not take it in time is too slow. */
export const maxWaiting = 256 * 1024

/** What an {@link EventStream} needs of where its text comes from. */
export interface StreamSource {
  /** What the reader is told before all that is pushed meanwhile: begun by the first `next()`, and taken as the reader reads. */
  welcome(): AsyncIterator<string, undefined>
  /** Called once, when the stream has ended, if it was opened. */
  close(): void
}

/** The text for one reader. It takes what waits in one piece. */
export class EventStream implements TextStream, AsyncIterableIterator<string, undefined> {
  readonly isEndless = true
  readonly #source: StreamSource
  /** `welcoming` until it was told all that comes first. */
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

  /** What was pushed and waits, for a welcome that comes to it. */
  takeWaiting(): string {
    const text = this.#waiting.join('')
    this.#waiting = []
    this.#size = 0
    return text
  }

  /** Ends the stream, with what waits untold. */
  end(): void {
    if (this.#state === 'ended') return
    const wasOpened = this.#state !== 'new'
    this.#state = 'ended'
    this.#first = ''
    this.#waiting = []
    if (wasOpened) this.#source.close()
    this.#wake?.()
    // Of one that is fetching, it settles later: nobody waits for it.
    this.#welcome?.return?.()?.catch(() => {})
    for (const listener of [...this.#listeners]) listener()
  }

  async next(): Promise<IteratorResult<string, undefined>> {
    if (this.#state === 'new') {
      this.#state = 'welcoming'
      this.#welcome = this.#source.welcome()
    }
    if (this.#state === 'welcoming' && this.#first === '' && !this.#isFetching) void this.#fetch()
    if (!this.#hasNews && !this.#isEnded) {
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

  get #hasNews(): boolean {
    if (this.#state === 'welcoming') return this.#first !== ''
    return this.#state === 'open' && (this.#first !== '' || this.#waiting.length > 0)
  }

  get #isEnded(): boolean {
    return this.#state === 'ended'
  }

  /** Gets the next piece of the welcome: small ones go out together. */
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
      if (this.#hasNews) this.#wake?.()
    } catch {
      // The source has told why. A reader that has seen its headers can be told no more than that it is over.
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

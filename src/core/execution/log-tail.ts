import { answerOf, type Clock } from '../base/index.js'
import { maxLogLines, maxTextLength } from '../model/index.js'
import type { Redactor } from '../redaction/index.js'

/** How many characters of a text are kept until it is shown: enough to see a secret at the end of a line completely. */
const maxKept = 10_000

interface Line {
  readonly at: number
  readonly text: string
  /** The line as it is saved, once that is known. */
  shown?: string
}

/** The last lines that a job logged. A line costs next to nothing until it is saved: most are never seen. */
export class LogTail {
  readonly #clock: Clock
  readonly #redactor: Redactor
  #lines: Line[] = []
  #isSaved = true

  constructor({ clock, redactor }: { clock: Clock; redactor: Redactor }) {
    this.#clock = clock
    this.#redactor = redactor
  }

  /** Whether there are lines since the last `take`. */
  get isUnsaved(): boolean {
    return !this.#isSaved
  }

  /** Adds a line, of a time in epoch milliseconds. Never throws. */
  add(text: unknown, at = this.#clock.now()): void {
    const whole = typeof text === 'string' ? text : `${answerOf(() => String(text), '')}`
    this.#lines.push({ at, text: whole.slice(0, maxKept) })
    if (this.#lines.length >= 2 * maxLogLines) this.#lines = this.#lines.slice(-maxLogLines)
    this.#isSaved = false
  }

  /** The lines to save, each with its time, secrets redacted. */
  take(): string[] {
    this.#isSaved = true
    this.#lines = this.#lines.slice(-maxLogLines)
    return this.#lines.map((line) => {
      line.shown ??= this.#shown(line)
      return line.shown
    })
  }

  #shown({ at, text }: Line): string {
    const time = `${new Date(at).toISOString()} `
    return time + this.#redactor.shorten(text, maxTextLength - time.length - 1)
  }
}

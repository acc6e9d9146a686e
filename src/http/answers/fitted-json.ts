import type { Redactor } from '../../adapter.js'

/** The deepest level of a value, and the name of a property that tells of those that are left out. */
const maxDepth = 16
const others = '…'

/**
 * How many arrays and objects a value may have: some, and one for so many characters. `headgate/client` refuses an answer with many
 * more, as reading them blocks the event loop.
 */
const containers = { some: 4, characters: 8 }

/** The room for the sentences: every level may end in a cut text, and in what is left out after it. */
const notes = (maxDepth + 1) * 96

/**
 * A copy of a JSON value that has up to `limit` characters as JSON. A sentence stands where something is left out: at the end of a
 * text, in the last element of an array, in the property `…` of an object.
 */
export function fitted(value: unknown, redactor: Redactor, limit: number): unknown {
  return new FittedCopy(redactor, limit).of(value, 0)
}

class FittedCopy {
  readonly #redactor: Redactor
  #left: number
  #written = 0
  #containers = 0

  constructor(redactor: Redactor, limit: number) {
    this.#redactor = redactor
    this.#left = limit - notes
  }

  of(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.#text(value)
    if (typeof value !== 'object' || value === null) {
      this.#write(String(value).length)
      return value
    }
    if (depth === maxDepth) return this.#text(`Left out, as it is nested in more than ${maxDepth} levels.`)
    this.#containers++
    this.#write(2)
    return Array.isArray(value) ? this.#list(value, depth) : this.#object(value, depth)
  }

  #text(text: string): string {
    const length = text.length > this.#left ? text.length : lengthOf(text)
    if (length <= this.#left) {
      this.#write(length)
      return text
    }
    const room = Math.floor(Math.max(this.#left, 0) / longest)
    this.#write(this.#left)
    // A secret at the end is redacted before the text is cut.
    return `${this.#redactor.shorten(text, room)} (shortened from ${text.length} characters)`
  }

  #list(values: readonly unknown[], depth: number): unknown[] {
    const shown: unknown[] = []
    for (const value of values) {
      if (!this.#hasRoom(value)) return [...shown, leftOut(values.length - shown.length)]
      this.#write(1)
      shown.push(this.of(value, depth + 1))
    }
    return shown
  }

  #object(value: object, depth: number): object {
    const names = Object.keys(value)
    const shown: [string, unknown][] = []
    for (const name of names) {
      const its = (value as Record<string, unknown>)[name]
      if (name.length + 4 > this.#left || !this.#hasRoom(its)) {
        shown.push([others, leftOut(names.length - shown.length)])
        break
      }
      this.#write(name.length + 4)
      shown.push([name, this.of(its, depth + 1)])
    }
    return Object.fromEntries(shown)
  }

  #hasRoom(value: unknown): boolean {
    if (this.#left <= 0) return false
    const isContainer = typeof value === 'object' && value !== null
    return !isContainer || this.#containers < containers.some + this.#written / containers.characters
  }

  #write(length: number): void {
    this.#left -= length
    this.#written += length
  }
}

/** The characters for which redacting writes an escape such as `\\u0001`. */
const escaped = /(?![\t\n])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

/** How many characters of JSON such a character takes then. */
const longest = 7

/** The length of a text in JSON, once it is redacted. */
function lengthOf(text: string): number {
  return JSON.stringify(text.replace(escaped, '\\u0001')).length
}

function leftOut(count: number): string {
  return `${count} more ${count === 1 ? 'is' : 'are'} left out.`
}

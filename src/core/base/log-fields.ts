import { isSecretName, type Redactor } from '../redaction/index.js'
import { read } from './errors.js'

/** Limits of a copy: levels of nesting, total values, and characters of one text. */
export interface CopyBounds {
  readonly depth: number
  readonly values: number
  readonly text: number
}

/** The limits of a log entry. */
const logBounds: CopyBounds = { depth: 8, values: 1000, text: 10_000 }

/** Replaces a value that is not shown. */
const beyond = '…'

/**
 * Redacts a value, by default of a log entry: in texts, in the values of names such as `password`, and in errors with their causes. Returns a copy
 * that is bounded in depth and size. Values with `toJSON` are shown by its result.
 */
export function redactedFields(details: unknown, redactor: Redactor, bounds: CopyBounds = logBounds): unknown {
  return new Copy(redactor, bounds).of(details, 0)
}

class Copy {
  readonly #redactor: Redactor
  readonly #bounds: CopyBounds
  #left: number

  constructor(redactor: Redactor, bounds: CopyBounds) {
    this.#redactor = redactor
    this.#bounds = bounds
    this.#left = bounds.values
  }

  /** The copy of a value. A value that throws when it is read is not shown. */
  of(value: unknown, depth: number): unknown {
    try {
      return this.#copy(value, depth)
    } catch {
      return beyond
    }
  }

  #copy(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.#redactor.shorten(value, this.#bounds.text)
    // Loggers show the description of a symbol, and the name of a function.
    if (typeof value === 'symbol' || typeof value === 'function')
      return this.#redactor.shorten(named(value), this.#bounds.text)
    if (typeof value !== 'object' || value === null || value instanceof Date) return value
    if (depth === this.#bounds.depth) return beyond
    if (value instanceof Error) return this.#error(value, depth)
    if (value instanceof URL) return this.of(value.href, depth)
    if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
    if (value instanceof Map) return this.#map(value, depth)
    if (Array.isArray(value) || value instanceof Set) return this.#list(value, depth)
    const toJson = read(value, 'toJSON')
    if (typeof toJson === 'function') return this.of(toJson.call(value, ''), depth + 1)
    return this.#object(value, depth)
  }

  #list(values: Iterable<unknown>, depth: number): unknown[] {
    const shown: unknown[] = []
    let before: unknown
    for (const value of values) {
      if (this.#left-- <= 0) return [...shown, beyond]
      shown.push(
        isSecretFlag(before)
          ? hidden(before, value)
          : isSecretEntry(value)
            ? [this.of(value[0], depth + 1), hidden(value[0], value[1])]
            : this.of(value, depth + 1),
      )
      before = value
    }
    return shown
  }

  #map(values: ReadonlyMap<unknown, unknown>, depth: number): unknown[] {
    const shown: unknown[] = []
    for (const [name, value] of values) {
      if (this.#left-- <= 0) return [...shown, beyond]
      const label = typeof name === 'symbol' ? name.description : name
      shown.push([this.of(name, depth + 2), isSecret(label) ? hidden(name, value) : this.of(value, depth + 2)])
    }
    return shown
  }

  #object(value: object, depth: number): object {
    const shown: [string, unknown][] = []
    // A pair of a name and its value, as headers and environments are listed, and as validators tell of a field.
    const isSecretPair = labels.some((label) => [read(value, label)].flat().slice(0, 16).some(isSecret))
    for (const name of Object.keys(value)) {
      if (this.#left-- <= 0) break
      const its = read(value, name)
      shown.push([
        this.#redactor.shorten(name, this.#bounds.text),
        isSecretName(name) || (isSecretPair && given.has(name)) ? hidden(name, its) : this.of(its, depth + 1),
      ])
    }
    return Object.fromEntries(shown)
  }

  /** An `Error` with the same stack, code and causes, so that loggers recognize it. */
  #error(error: Error, depth: number): Error {
    const fields = this.#object(error, depth)
    const shown = Object.assign(new Error(this.#text(error, 'message')), fields)
    const put = (name: string, value: unknown) =>
      Object.defineProperty(shown, name, { value, configurable: true, writable: true, enumerable: name in fields })
    put('name', this.#text(error, 'name'))
    put('stack', this.#text(error, 'stack'))
    for (const name of ['cause', 'errors']) {
      const its = read(error, name)
      if (its !== undefined) put(name, this.of(its, depth + 1))
    }
    return shown
  }

  #text(error: Error, name: string): string {
    const text = read(error, name)
    return typeof text === 'string' ? this.#redactor.shorten(text, this.#bounds.text) : ''
  }
}

function named(value: symbol | object): string {
  return typeof value === 'symbol' ? String(value) : `[function ${read(value, 'name')}]`
}

/** An argument or a header that names the secret that follows it in a list. */
const flag = /^(?:--?(?<name>[\w-]{1,64})|(?:proxy-)?authorization|(?:set-)?cookie|x-api-key)$/i

/** Where a field is named, and where its value is, in what a validator tells. */
const labels = ['name', 'key', 'path', 'property', 'field', 'param', 'column']
const given = new Set(['value', 'received', 'input'])

function isSecret(name: unknown): boolean {
  return typeof name === 'string' && isSecretName(name)
}

/** An entry of an object in a list of such. */
function isSecretEntry(value: unknown): value is [string, unknown] {
  return Array.isArray(value) && value.length === 2 && isSecret(value[0])
}

function isSecretFlag(value: unknown): boolean {
  const match = typeof value === 'string' ? flag.exec(value) : null
  return match !== null && isSecretName(match.groups?.name ?? match[0])
}

/** The redacted value of a secret name. Numbers of tokens are counts, and those of ids name a row. */
function hidden(name: unknown, value: unknown): unknown {
  const isCount = typeof value === 'number' && /tokens?|cookies?|[-_]id$/i.test(String(name))
  const isPlain = value === null || ['undefined', 'boolean'].includes(typeof value)
  return isPlain || isCount || value === '' ? value : '***'
}

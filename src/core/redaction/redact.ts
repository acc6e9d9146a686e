import { decoded } from './decode.js'
import { redisSecrets } from './redis-errors.js'
import { argumentSecrets } from './secret-arguments.js'
import { namedSecrets } from './secret-names.js'
import { knownTokens } from './secret-tokens.js'
import { urlSecrets } from './secret-urls.js'
import type { Span } from './spans.js'

/** Replaces a secret. */
const mask = '***'

/** How far to read beyond the end of a shortened text, so that a secret at the end is seen completely. */
const margin = 8192

/** The length of texts that are remembered, as names of fields and words repeat, and how many are. */
const short = { length: 40, count: 1000 }

/** How many times a text may be escaped, as HTML in HTML. */
const maxEscapes = 3

/** Maximum length of a secret of a registry, in characters, so that `margin` covers it. */
export const maxSecretLength = 4096

/** Where a text has secrets of a user. With `isEscaped`, also as they are escaped in any way. */
type OwnSpans = (text: string, isEscaped: boolean) => Span[]

/** Redacts secrets: in the forms that the library knows, and those of the user. */
export class Redactor {
  readonly #secrets: OwnSpans
  readonly #custom: ((text: string) => string) | undefined
  readonly #known = new Map<string, string>()

  /** `secrets` finds those of the user, and `custom` redacts a text further. */
  constructor(secrets: OwnSpans = () => [], custom?: (text: string) => string) {
    this.#secrets = secrets
    this.#custom = custom
  }

  /** Forgets the texts that were redacted before a secret was known. */
  protected forget(): void {
    this.#known.clear()
  }

  /** Redacts a text, in linear time. Colours of terminals are removed, and other control characters escaped. */
  redact(colored: string): string {
    const text = withoutColors(colored)
    return printable(this.#customize(withoutSpans(text, this.#spansIn(text, false), text.length)))
  }

  /**
   * The redacted beginning of a text, of at most `limit` characters and `…`, for a message. Also redacts secrets that the end would
   * split. Control characters are escaped, except tabs and line breaks: SQL and stacks have them on purpose.
   */
  shorten(text: string, limit: number): string {
    // What a function of the user hides may change.
    const isKept = text.length <= short.length && limit >= 6 * short.length && !this.#custom
    const redacted = (isKept ? this.#known.get(text) : undefined) ?? this.#shortened(text, limit)
    if (!isKept) return redacted
    if (this.#known.size >= short.count) this.#known.clear()
    this.#known.set(text, redacted)
    return redacted
  }

  #shortened(text: string, limit: number): string {
    const isCut = text.length > limit + margin
    const window = withoutColors(isCut ? text.slice(0, limit + margin) : text)
    // A secret that begins before here is seen completely.
    const end = isCut ? window.length - maxSecretLength : window.length
    const redacted = printable(this.#customize(withoutSpans(window, this.#spansIn(window, isCut), end)))
    return redacted.length > limit || isCut ? `${redacted.slice(0, limit)}…` : redacted
  }

  /** The secrets of a text, as it is and as it reads without its escapes. */
  #spansIn(text: string, isCut: boolean, level = 0): Span[] {
    const plain = level < maxEscapes ? decoded(text) : undefined
    const hidden = plain ? this.#spansIn(plain.text, isCut, level + 1).map(plain.written) : []
    const own = this.#secrets(text, level === 0)
    const spans = [
      ...urlSecrets(text, isCut),
      ...namedSecrets(text),
      ...argumentSecrets(text),
      ...redisSecrets(text),
      ...knownTokens(text),
      ...own,
      ...hidden,
    ]
    return spans.sort((one, other) => one.start - other.start)
  }

  /** A function that fails must not reveal what it should redact. */
  #customize(text: string): string {
    if (!this.#custom) return text
    try {
      const redacted: unknown = this.#custom(text)
      if (typeof redacted === 'string') return redacted
      // Nobody awaits it, and an unhandled rejection would end the host.
      if (redacted instanceof Promise) redacted.catch(() => undefined)
      return mask
    } catch {
      return mask
    }
  }
}

/** The redactor of messages that belong to no registry. */
export const commonRedactor: Redactor = new Redactor()

/**
 * Replaces secrets in a text by `***`: passwords of URLs, of connection strings and of SQL, values of names such as
 * `password`, `token`, `client_secret` and `Authorization`, credentials of headers, tokens that have a known prefix, web
 * hooks and private keys. A text that is redacted already stays as it is.
 */
export function redact(text: string): string {
  return commonRedactor.redact(text)
}

/** A cache, as most names repeat. */
const secretNames = new Map<string, boolean>()

/** Whether a name, such as `password`, marks its value as a secret. */
export function isSecretName(name: string): boolean {
  const isSecret = secretNames.get(name) ?? hidesValue(`${name.slice(0, 200)}="x"`)
  if (secretNames.size < 1000 && name.length < 200) secretNames.set(name, isSecret)
  return isSecret
}

function hidesValue(text: string, level = 0): boolean {
  if (!namedSecrets(text).next().done) return true
  const plain = level < maxEscapes ? decoded(text) : undefined
  return plain !== undefined && hidesValue(plain.text, level + 1)
}

/** Colours and links of terminals, also as JSON and Node write them. */
const colors =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with one.
  /(?:\u001b\[|\u009b|\\{1,4}(?:u001b|x1b|033)\[)[\d;:]{0,64}[mK]|\u001b\([A-Z0-9]|\u001b\]8;[^\u0007\u001b]{0,4096}(?:\u0007|\u001b\\)/gi

function withoutColors(text: string): string {
  return text.replace(colors, '')
}

/** What moves the cursor of a terminal, or reorders a line. */
const controls = /(?![\t\n]|\r\n)[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

function printable(text: string): string {
  return text.replace(controls, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function withoutSpans(text: string, spans: readonly Span[], end: number): string {
  const kept: string[] = []
  let at = 0
  for (const span of spans) {
    if (span.start >= end) break
    if (span.end <= at) continue
    if (span.start >= at) kept.push(text.slice(at, span.start), mask)
    at = span.end
  }
  kept.push(text.slice(at, Math.max(at, end)))
  return kept.join('')
}

/** What stands in the place of a secret. */
const mask = '***'

/** A stretch of a text that is a secret: from `start` up to `end`. */
interface Span {
  readonly start: number
  readonly end: number
}

/** How far a text is read beyond where it is cut, so that a secret is seen whole that the cut would split. */
const margin = 8192

/** The longest secret that a registry can be given, in characters: what `margin` covers. */
export const maxSecretLength = 4096

/** Hides secrets: the forms that the library knows, and those that a user names. */
export class Redactor {
  readonly #secrets: readonly string[]
  readonly #custom: ((text: string) => string) | undefined

  /** `own` are secrets as they are written, or a function that redacts a text further. */
  constructor(own: readonly string[] | ((text: string) => string) = []) {
    this.#secrets = typeof own === 'function' ? [] : [...new Set(own.flatMap(spellingsOf))]
    this.#custom = typeof own === 'function' ? own : undefined
  }

  /** Whether it hides more than {@link redact} does. */
  get hasOwn(): boolean {
    return this.#secrets.length > 0 || this.#custom !== undefined
  }

  /** A text without its secrets. Takes time in proportion to its length. */
  redact(text: string): string {
    return this.#customize(withoutSpans(text, this.#spansIn(text, false), text.length))
  }

  /** The beginning of a text, of at most `limit` characters and `…`, without its secrets, also those that the cut splits. */
  shorten(text: string, limit: number): string {
    const isCut = text.length > limit + margin
    const window = isCut ? text.slice(0, limit + margin) : text
    // A secret that begins before here is seen whole.
    const end = isCut ? window.length - maxSecretLength : window.length
    const redacted = this.#customize(withoutSpans(window, this.#spansIn(window, isCut), end))
    return redacted.length > limit || isCut ? `${redacted.slice(0, limit)}…` : redacted
  }

  #spansIn(text: string, isCut: boolean): Span[] {
    const own = this.#secrets.flatMap((secret) => [...occurrences(text, secret)])
    const spans = [...urlSecrets(text, isCut), ...namedSecrets(text), ...knownTokens(text), ...own]
    return spans.sort((one, other) => one.start - other.start)
  }

  /** A function that fails must not show what it was to hide. */
  #customize(text: string): string {
    if (!this.#custom) return text
    try {
      const redacted: unknown = this.#custom(text)
      return typeof redacted === 'string' ? redacted : mask
    } catch {
      return mask
    }
  }
}

/** The redactor of messages that belong to no registry. */
export const commonRedactor: Redactor = new Redactor()

/**
 * Replaces secrets in a text by `***`: passwords of URLs and of connection strings, values of names such as `password`,
 * `token`, `client_secret` and `Authorization`, bearer tokens, JSON Web Tokens and private keys.
 */
export function redact(text: string): string {
  return commonRedactor.redact(text)
}

/** A secret as it is, and as it stands in a URL and in JSON. */
function spellingsOf(secret: string): string[] {
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]
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

function* occurrences(text: string, secret: string): Generator<Span> {
  for (let at = text.indexOf(secret); at >= 0; at = text.indexOf(secret, at + secret.length)) {
    yield { start: at, end: at + secret.length }
  }
}

/** The end of the word that `from` is in. */
function wordEnd(text: string, from: number): number {
  return endOf(text, from, /\s/g)
}

/** Where `stop` matches first, or the end of the text. */
function endOf(text: string, from: number, stop: RegExp): number {
  stop.lastIndex = from
  return stop.exec(text)?.index ?? text.length
}

/** Where a sticky pattern that matches at `at` ends; `at` when it does not. */
function after(text: string, at: number, pattern: RegExp): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}

/** The schemes of which a user alone is a secret. */
const keySchemes = /(?:rediss?|valkeys?|https?)$/i

/** How far after the end of a word a password with spaces is looked for. */
const spacedPassword = 256

/** Passwords in URLs, up to the last `@` of the word: a password may have any character, encoded or not. */
function* urlSecrets(text: string, isCut: boolean): Generator<Span> {
  let word = { end: 0, at: -1 }
  let from = 0
  for (let colon = text.indexOf('://'); colon >= 0; colon = text.indexOf('://', from)) {
    const user = colon + 3
    from = user
    if (user >= word.end) {
      const end = wordEnd(text, user)
      word = { end, at: user + text.slice(user, end).lastIndexOf('@') }
    }
    const userEnd = endOf(text, user, /[:/@?#\s]/g)
    if (text[userEnd] === '@' && keySchemes.test(text.slice(Math.max(0, colon - 8), colon))) {
      yield { start: user, end: userEnd }
    }
    if (text[userEnd] !== ':') continue
    const start = userEnd + 1
    const end =
      word.at > userEnd ? word.at : isCut && word.end === text.length ? text.length : spacedEnd(text, start, word.end)
    if (end === undefined) continue
    yield { start, end }
    from = end
  }
}

/** The end of a password with spaces, which some drivers take: no port, and an `@` on the same line. */
function spacedEnd(text: string, start: number, end: number): number | undefined {
  if (after(text, start, /\d{0,5}(?=[\s/?#"'),.;\]}>]|$)/y) > start) return undefined
  const [line = ''] = text.slice(end, end + spacedPassword).split('\n', 1)
  const at = line.indexOf('@')
  return at > 0 ? end + at : undefined
}

const name =
  /pass(?:word|wd|phrase|code)|pwd|secret|token|credential|(?:api|access|account|private|encryption|signing)[-_ ]?key|(?:^|[^a-z0-9])pass(?=["'\\]{0,2}\s{0,8}[=:])|authorization|cookie|[?&](?:sig|x-amz-signature)(?==)/gi

/** What may follow a name, up to its value: the rest of the name, a quote that closes it, and what assigns. */
const rest = /s?(?:[-_.\dA-Z][-\w.]{0,63})?/y
const assigns =
  /(?:\\{0,3}["'`]?[\])]?\s*(?:=>|:=|[=:>]|%3[AD])|(?:,[^()]{0,256})?\)=(?=\())\s*(?:[|>][-+]?[^\S\n]*\n\s*)?/iy
/** SQL's `password '…'`, and `--password …` of a command. */
const assignsQuoted = /\s+(?=\\?["'])/y
const assignsSpace = /\s+(?=\S)/y
const isPassword = /^pass(?:word|wd|phrase|code)$|^pwd$/i
const isHeader = /^authorization$|^cookie$/i
const scheme = /(?:bearer|basic|digest|negotiate|apikey|token)\s+/iy

/** The values of names that tell of a secret. */
function* namedSecrets(text: string): Generator<Span> {
  name.lastIndex = 0
  const names = new RegExp(name)
  for (let match = names.exec(text); match; match = names.exec(text)) {
    const start = valueStart(text, match)
    if (start === undefined) continue
    const end = valueEnd(text, start, match[0])
    if (end > start) yield { start, end }
    names.lastIndex = Math.max(end, names.lastIndex)
  }
}

function valueStart(text: string, { 0: word, index }: RegExpExecArray): number | undefined {
  const wordEnd = index + word.length
  const nameEnd = after(text, wordEnd, rest)
  const assigned = after(text, nameEnd, assigns)
  if (assigned > nameEnd) return assigned
  if (!isPassword.test(word)) return undefined
  const isFlag = /--[-\w]{0,32}$/.test(text.slice(Math.max(0, index - 34), index))
  const spaced = after(text, nameEnd, isFlag ? assignsSpace : assignsQuoted)
  return spaced > nameEnd ? spaced : undefined
}

function valueEnd(text: string, start: number, word: string): number {
  const [opening = ''] = /^(?:\\{1,3}["']|["'`])/.exec(text.slice(start, start + 4)) ?? []
  if (opening !== '') return quotedEnd(text, start + opening.length, opening)
  if (text[start - 1] === '>' && text[start - 2] !== '=') return endOf(text, start, /<|\s/g)
  if (text[start] === '(') return endOf(text, start, /\)/g) + 1
  if (isHeader.test(word)) return endOf(text, start, /[\r\n"']/g)
  return wordEnd(text, after(text, start, scheme))
}

/** The end of what a quote opened, with the quote that closes it: the end of the text when none does. */
function quotedEnd(text: string, from: number, opening: string): number {
  const quote = opening.at(-1) as string
  const depth = opening.length - 1
  for (let at = text.indexOf(quote, from); at >= 0; at = text.indexOf(quote, at + 1)) {
    let slashes = 0
    while (at - slashes > from && text[at - 1 - slashes] === '\\') slashes++
    // As deep as it was opened: one with more before it, or an odd number more, is part of the value.
    const isClosing = depth === 0 ? slashes % 2 === 0 : slashes <= depth
    if (!isClosing) continue
    // SQL doubles a quote that is part of the value.
    if (depth > 0 || text[at + 1] !== quote) return at + 1
    at++
  }
  return text.length
}

/** Secrets that show by themselves. */
const tokens =
  /\bbearer\s{1,16}(?!(?:realm|error|scope)=)|\beyJ(?=[\w-]{8})|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|npm_|sk_live_|sk-)(?=\w{8})|-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----|:thin:[^\s/@]{1,128}\/|\bidentified\s{1,16}by\s{1,16}(?=["'])/gi

function* knownTokens(text: string): Generator<Span> {
  const found = new RegExp(tokens)
  for (let match = found.exec(text); match; match = found.exec(text)) {
    const end = match.index + match[0].length
    const span = tokenSpan(text, match[0], match.index, end)
    yield span
    found.lastIndex = Math.max(span.end, end)
  }
}

function tokenSpan(text: string, found: string, start: number, end: number): Span {
  if (found.startsWith('-----')) {
    const closing = text.indexOf('-----END', end)
    return { start: end, end: closing < 0 ? text.length : closing }
  }
  if (/^bearer/i.test(found)) return { start: end, end: endOf(text, end, /[\s"']/g) }
  if (/^identified/i.test(found)) return { start: end, end: quotedEnd(text, end + 1, text[end] as string) }
  if (found.startsWith(':')) {
    const at = text.slice(end, end + spacedPassword).indexOf('@')
    return { start: end, end: Math.max(end + at, end) }
  }
  return { start, end: endOf(text, end, /[^\w.~+/=-]/g) }
}

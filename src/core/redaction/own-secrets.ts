import { type Decoded, entities, replaced } from './decode.js'
import { maxSecretLength, Redactor } from './redact.js'
import { matches, type Span } from './spans.js'

const hex = '[\\da-fA-F]'

/** A character in UTF-8, each byte as two digits after a sign. */
function utf8(sign: string): string {
  const next = `${sign}[89abAB]${hex}`
  return `${sign}[0-7]${hex}|${sign}[cdCD]${hex}${next}|${sign}[eE]${hex}(?:${next}){2}|${sign}[fF][0-7](?:${next}){3}`
}

/** One character as JSON, JavaScript, Python, PHP, HTML, URLs and forms escape it. A run of backslashes may escape several times. */
const escaped = new RegExp(
  [
    `\\\\{1,64}(?:u\\{(?<point>${hex}{1,6})\\}|u(?<unit>${hex}{4})|U00(?<long>${hex}{6})|(?<control>[bfnrtv])|(?=[^xuU\\\\])|$)`,
    `(?<bytes>${utf8('(?:%|\\\\{1,64}x)')})`,
    `\\\\{1,64}(?:x(?<latin>${hex}{2}))?`,
    `&(?:#0{0,4}(?<decimal>\\d{1,7})|#x0{0,4}(?<entity>${hex}{1,6})|(?<named>lt|gt|quot|apos|amp));`,
  ].join('|'),
  'g',
)

/** Most texts have none of these. */
const special = /[\\%&]/
/** What begins a code, after backslashes that stand for nothing are removed. */
const signs = /%[\da-f]|&[#\w]/i

/** How many times a text may be escaped, beside runs of backslashes. */
const maxLevels = 5

/** What is too short to be searched for without its escapes, as it could be a part of any word. */
const minLength = 4

/** How many bytes an encoded secret has: fewer occur by chance, and the end of a shortened text could split more. */
const minEncoded = 6
const maxEncoded = 4096

/** A byte of UTF-8. */
const byte = /[%x](..)/g

const controls: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

/** The shortest secret that an adapter names: shorter ones are part of too many words. */
const minLearned = 6

/** Common words, which messages have anyway: to hide them would only show what the password is. */
const words =
  /^(?:postgres|postgresql|mysql|mariadb|redis|bullmq|headgate|password|secret|default|connection|storage|source|target|failed)$/i

/** A redactor of a registry: `own` are literal secrets, or a function that redacts a text further. The client bundles none. */
export function redactorOf(own: readonly string[] | ((text: string) => string) = []): LearningRedactor {
  return typeof own === 'function' ? new LearningRedactor([], own) : new LearningRedactor(own)
}

/** Learns secrets of adapters as these are given, and as their lists change: a password may be known only once a driver connects. */
export class LearningRedactor extends Redactor {
  readonly #secrets: OwnSecrets
  /** The lists of adapters, and what they held when they were read. */
  readonly #lists = new Map<readonly unknown[], readonly unknown[]>()

  constructor(own: readonly string[], custom?: (text: string) => string) {
    const secrets = new OwnSecrets(own)
    super((text, isEscaped) => secrets.spansIn(text, isEscaped), custom)
    this.#secrets = secrets
  }

  /** Learns the `secrets` of an adapter. */
  learn(adapter: unknown): void {
    const secrets: unknown = read(adapter, 'secrets')
    if (Array.isArray(secrets)) this.#read(secrets)
  }

  override redact(text: string): string {
    this.#refresh()
    return super.redact(text)
  }

  override shorten(text: string, limit: number): string {
    this.#refresh()
    return super.shorten(text, limit)
  }

  #refresh(): void {
    for (const [list, known] of this.#lists)
      if (list.length !== known.length || list.some((secret, at) => secret !== known[at])) this.#read(list)
  }

  #read(list: readonly unknown[]): void {
    this.#lists.set(list, [...list])
    this.#secrets.learn(list, list.filter(isLearned))
    this.forget()
  }
}

function isLearned(text: unknown): text is string {
  return typeof text === 'string' && text.length >= minLearned && text.length <= maxSecretLength && !words.test(text)
}

/** A property of an adapter that others wrote, which may throw. */
function read(adapter: unknown, name: string): unknown {
  try {
    return Object(adapter)[name]
  } catch {
    return undefined
  }
}

/** Literal secrets of a user. */
class OwnSecrets {
  #written: readonly string[] = []
  #bare: readonly string[] = []
  /** Which escapes may stand for a character of a secret. */
  #escapes = /\\[xuU]/
  readonly #own: readonly string[]
  /** Those of each list of an adapter. */
  readonly #learned = new Map<object, readonly string[]>()

  constructor(own: readonly string[]) {
    this.#own = own
    this.#prepare()
  }

  /** Takes the secrets of a list, in place of those that it had. */
  learn(list: object, secrets: readonly string[]): void {
    this.#learned.set(list, secrets)
    this.#prepare()
  }

  #prepare(): void {
    const given = [...new Set([...this.#own, ...[...this.#learned.values()].flat()])]
    const secrets = given.flatMap((secret) => [secret, ...encoded(secret)])
    this.#written = secrets
    this.#bare = secrets
      .map((secret) => spaced(bare(secret)?.text ?? secret))
      .filter(({ length }) => length >= minLength)
    this.#escapes = this.#bare.some((secret) => /[\b\f\n\r\t\v]/.test(secret)) ? /\\[xuUbfnrtv]/ : /\\[xuU]/
  }

  /** Where a text has a secret as it is and, with `isEscaped`, as it is escaped in any way, several times too. */
  spansIn(text: string, isEscaped: boolean): Span[] {
    const spans = this.#written.flatMap((secret) => [...occurrences(text, secret)])
    if (!isEscaped || !this.#mayHide(text)) return spans
    const plain = bare(text) ?? { text, written: (span) => span }
    const shown = spaced(plain.text)
    return [...spans, ...this.#bare.flatMap((secret) => [...occurrences(shown, secret)].map(plain.written))]
  }

  /** Whether to remove all escapes of a text, which takes long: it has codes, or a secret beside backslashes and plus signs. */
  #mayHide(text: string): boolean {
    if (this.#bare.length === 0) return false
    if (this.#escapes.test(text)) return true
    const plain = text.replaceAll('\\', '')
    return signs.test(plain) || this.#bare.some((secret) => spaced(plain).includes(secret))
  }
}

/** A secret in base64, at each of the three places that it may have in its text, and in hexadecimal digits, also as Node shows buffers. */
function encoded(secret: string): string[] {
  const bytes = new TextEncoder().encode(secret)
  if (bytes.length < minEncoded || 3 * bytes.length > maxEncoded) return []
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))
  const base64 = [0, 1, 2].map((before) => {
    const text = btoa(String.fromCharCode(...new Uint8Array(before), ...bytes))
    // The first and last characters also have bits of what is beside the secret.
    return text.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3))
  })
  const forUrls = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))
  return [...new Set([...base64, ...forUrls, digits.join(''), digits.join('').toUpperCase(), digits.join(' ')])]
}

/** Forms write a space as a plus sign. */
function spaced(text: string): string {
  return text.replaceAll('+', ' ')
}

/** A text without any escapes. `undefined` when there are none. */
function bare(text: string, level = 0): Decoded | undefined {
  if (level === maxLevels || !special.test(text)) return undefined
  const outer = replaced(text, escaped, characterOf)
  const inner = outer && bare(outer.text, level + 1)
  return inner ? { text: inner.text, written: (span) => outer.written(inner.written(span)) } : outer
}

function characterOf({
  point,
  unit,
  long,
  control,
  bytes,
  latin,
  decimal,
  entity,
  named,
}: Record<string, string | undefined>): string {
  if (bytes !== undefined) {
    const found = [...matches(bytes, byte)].map(([, digits = '']) => Number.parseInt(digits, 16))
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(found))
  }
  if (unit !== undefined) return String.fromCharCode(Number.parseInt(unit, 16))
  if (control !== undefined) return controls[control] as string
  if (named !== undefined) return entities[named] as string
  const digits = point ?? long ?? latin ?? entity
  if (digits === undefined && decimal === undefined) return ''
  const code = decimal === undefined ? Number.parseInt(digits as string, 16) : Number(decimal)
  return code > 0x10ffff ? '\ufffd' : String.fromCodePoint(code)
}

function* occurrences(text: string, secret: string): Generator<Span> {
  for (let at = text.indexOf(secret); at >= 0; at = text.indexOf(secret, at + secret.length)) {
    yield { start: at, end: at + secret.length }
  }
}

import { invalid, JobError } from '../../core/base/index.js'
import type { Query } from '../contract/index.js'
import { isBlank, scan, type Token } from './sql-scanner.js'

/** A piece of a query: text, or a value that must not become text. An item is a value that a section iterates over. */
export type Piece = string | { readonly value: unknown; readonly isItem?: boolean }

type Placeholder = (n: number) => string

/** Marks a value in the scanned text: no SQL text may contain it. */
const mark = '\0'

/** The types that may precede a literal. */
const types: ReadonlySet<string> = new Set([
  ...['date', 'timestamptz', 'timetz', 'interval', 'uuid', 'inet', 'cidr', 'json', 'jsonb', 'numeric', 'decimal'],
  ...['bigint', 'int2', 'int4', 'int8', 'float4', 'float8'],
  ...['time', 'timestamp'].flatMap((type) => [type, `${type} with time zone`, `${type} without time zone`]),
])

/** Maximum number of words of such a type. */
const maxTypeWords = 4

const intervalUnits: ReadonlySet<string> = new Set(['year', 'month', 'day', 'hour', 'minute', 'second'])

/** Characters that would join a parameter with what is next to it. */
const sticky = /[\w$\u0080-\uffff\0]/

/**
 * Replaces every value with a placeholder: in plain text, for a whole literal, or concatenated with the rest of a literal. Throws
 * `invalid_options` where SQL allows no value.
 */
export function bindValues(pieces: readonly Piece[], placeholder: Placeholder): Query {
  const template = pieces.map((piece) => (typeof piece === 'string' ? piece : mark)).join('')
  const values = pieces.flatMap((piece) => (typeof piece === 'string' ? [] : [piece.value]))
  if (values.length === 0) return { text: template, values }
  // A backslash is an ordinary character, unless the quotes then do not match: some servers treat it as an escape.
  const tokens = tokensOf(template, false) ?? tokensOf(template, true)
  if (!tokens) {
    throw new JobError(
      'invalid_options',
      'Expected `query` to be a template whose quotes and comments are closed, got one with an open one',
    )
  }
  return new Binding(template, values, placeholder).bind(tokens)
}

function tokensOf(template: string, backslashes: boolean): Token[] | undefined {
  const tokens: Token[] = []
  for (const token of scan(template, { backslashes })) {
    if (token.isOpen) return undefined
    tokens.push(token)
  }
  return tokens
}

/** A word of the rendered query. */
interface Word {
  readonly text: string
  /** Its index in the query. */
  readonly at: number
}

/** One pass over a template. */
class Binding {
  readonly #template: string
  readonly #waiting: readonly unknown[]
  readonly #placeholder: Placeholder
  /** How many values were bound or dropped. */
  #met = 0
  readonly #values: unknown[] = []
  /** The text up to the preceding words, which does not change any more: cutting a type off the whole text would copy it each time. */
  readonly #settled: string[] = []
  /** The text since then. */
  #text = ''
  /** The preceding words, separated only by white space: the last ones may be the type of a literal. */
  #words: Word[] = []
  /** Whether the preceding literal was an interval with a value. */
  #isInterval = false
  /** Whether the preceding token was a literal with a value. */
  #isBound = false

  constructor(template: string, values: readonly unknown[], placeholder: Placeholder) {
    this.#template = template
    this.#waiting = values
    this.#placeholder = placeholder
  }

  bind(tokens: readonly Token[]): Query {
    let end = 0
    for (const token of tokens) {
      this.#addPlain(end, token.start)
      this.#addToken(token)
      end = token.end
    }
    this.#addPlain(end, this.#template.length)
    return { text: this.#settled.join('') + this.#text, values: this.#values }
  }

  #addPlain(start: number, end: number): void {
    const plain = this.#template.slice(start, end)
    if (!isBlank(plain)) this.#forget()
    let from = start
    for (let at = plain.indexOf(mark); at >= 0; at = plain.indexOf(mark, at + 1)) {
      const index = start + at
      for (const beside of [this.#template[index - 1], this.#template[index + 1]]) {
        if (beside !== undefined && sticky.test(beside)) {
          throw invalid('query', 'a template with a space between a value and what is beside it', this.#around(index))
        }
      }
      this.#text += this.#template.slice(from, index) + this.#bindNext()
      from = index + 1
    }
    this.#text += this.#template.slice(from, end)
  }

  #addToken(token: Token): void {
    const { kind, start, end } = token
    const text = this.#template.slice(start, end)
    if (kind === 'comment') this.#addComment(text)
    else if (kind === 'word') this.#addWord(text)
    else {
      const hasValues = text.includes(mark)
      if (token.isContinued && (hasValues || this.#isBound)) {
        throw invalid('query', 'a template with values only in literals on one line', this.#around(start))
      }
      if (hasValues) this.#addLiteral(token, text)
      else this.#text += text
      this.#words = []
      this.#isBound = hasValues
    }
  }

  #addComment(text: string): void {
    const parts = text.split(mark)
    this.#met += parts.length - 1
    this.#text += parts.join('')
    this.#words = []
  }

  #addWord(text: string): void {
    if (this.#isInterval && intervalUnits.has(text.toLowerCase())) {
      const expected = 'a template with the unit of an interval inside of its literal, or beside it as {{…}} * interval'
      throw invalid('query', expected, text)
    }
    const words = this.#words.slice(1 - maxTypeWords)
    this.#forget()
    if (words.length === 0) this.#settle()
    this.#words = [...words, { text: text.toLowerCase(), at: this.#text.length }]
    this.#text += text
  }

  #settle(): void {
    this.#settled.push(this.#text)
    this.#text = ''
  }

  #forget(): void {
    this.#words = []
    this.#isInterval = false
    this.#isBound = false
  }

  #addLiteral({ kind, start, end }: Token, text: string): void {
    if (kind !== 'string' && kind !== 'escape') {
      throw invalid('query', 'a template with values only where SQL takes a value', text.replaceAll(mark, '{{…}}'))
    }
    const bound = this.#bindLiteral(text, kind === 'escape')
    const type = this.#typeBefore()
    if (type !== undefined) this.#text = this.#text.slice(0, type.at)
    const [before, after] = [this.#template[start - 1], this.#template[end]]
    if (type === undefined && before !== undefined && sticky.test(before)) this.#text += ' '
    this.#text += type === undefined ? bound : `cast(${bound} as ${type.name})`
    if (after !== undefined && sticky.test(after)) this.#text += ' '
    this.#isInterval = type?.name.toLowerCase() === 'interval'
  }

  /** The type right before, and its index. */
  #typeBefore(): { readonly name: string; readonly at: number } | undefined {
    for (let from = 0; from < this.#words.length; from++) {
      const words = this.#words.slice(from)
      const { at } = words[0] as Word
      if (types.has(words.map(({ text }) => text).join(' '))) return { name: this.#text.slice(at).trim(), at }
    }
    return undefined
  }

  /** `'{{a}}'` becomes `$1`, and `'x{{a}}y'` becomes `('x' || $1 || 'y')`. */
  #bindLiteral(literal: string, isEscape: boolean): string {
    const quote = literal.indexOf("'")
    const [first = '', ...rest] = literal.slice(quote + 1, -1).split(mark)
    if (isEscape && [first, ...rest.slice(0, -1)].some(endsInEscape)) {
      throw invalid('query', 'a template without a backslash before a value', literal.replaceAll(mark, '{{…}}'))
    }
    if (rest.length === 1 && first === '' && rest[0] === '') return this.#bindNext()
    const quoted = (part: string) => `${literal.slice(0, quote)}'${part}'`
    const joined = rest.map((part) => ` || ${this.#bindNext()}${part === '' ? '' : ` || ${quoted(part)}`}`)
    return `(${quoted(first)}${joined.join('')})`
  }

  #bindNext(): string {
    return this.#placeholder(this.#values.push(this.#waiting[this.#met++]))
  }

  /** The text around an index, for a message. */
  #around(index: number): string {
    return this.#template.slice(Math.max(0, index - 10), index + 10).replaceAll(mark, '{{…}}')
  }
}

/** Whether the last backslash of a text escapes what follows it. */
function endsInEscape(text: string): boolean {
  let count = 0
  while (text[text.length - 1 - count] === '\\') count++
  return count % 2 === 1
}

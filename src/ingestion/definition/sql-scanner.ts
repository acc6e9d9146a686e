/** The kinds of tokens that the scanner distinguishes. */
export type TokenKind =
  /** A name or keyword that is not quoted. */
  | 'word'
  /** `'…'`. */
  | 'string'
  /** `E'…'`. */
  | 'escape'
  /** `b'…'`, `x'…'`, `n'…'` and `U&'…'`. */
  | 'coded'
  /** `"…"` and `U&"…"`. */
  | 'identifier'
  /** `$tag$…$tag$`. */
  | 'dollar'
  | 'comment'
  | 'semicolon'

/** A token: from `start` up to, not including, `end`. The text between tokens is plain. */
export interface Token {
  readonly kind: TokenKind
  readonly start: number
  readonly end: number
  /** Whether its end is missing: it then extends to the end of the text. */
  readonly isOpen?: boolean
  /** Whether it continues the literal before it, on another line. */
  readonly isContinued?: boolean
}

/** How to scan literals. */
export interface ScanOptions {
  /** Whether a backslash escapes in `'…'`: with `standard_conforming_strings` off. Default `false`. */
  readonly backslashes?: boolean
}

/** The beginnings of tokens. Words match as a whole, so that no letter inside one is taken for a prefix. */
const beginnings = /['";$]|--|\/\*|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/g

const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y

const lineEnd = /[\n\r]/g

/** The white space of SQL. Any other Unicode character is part of a name. */
const notBlank = /[^ \t\n\r\f\v]/

/** Scans SQL as the lexer of Postgres does, once from left to right, in linear time for any text. */
export function* scan(text: string, { backslashes = false }: ScanOptions = {}): Generator<Token> {
  let at = 0
  /** The literal that the next one may continue. */
  let literal: Token | undefined
  for (let begins = find(beginnings, text, at); begins; begins = find(beginnings, text, at)) {
    if (literal && !isBlank(text.slice(at, begins.index))) literal = undefined
    const token = tokenAt(text, begins.index, begins[0], literal, backslashes)
    at = token?.end ?? begins.index + 1
    if (!token) literal = undefined
    else {
      const isLineComment = token.kind === 'comment' && begins[0] === '--'
      if (!isLineComment) literal = isLiteral(token) ? token : undefined
      yield token
    }
  }
}

/** Whether a text is only white space. */
export function isBlank(text: string): boolean {
  return !notBlank.test(text)
}

function find(pattern: RegExp, text: string, from: number): RegExpExecArray | null {
  pattern.lastIndex = from
  return pattern.exec(text)
}

/** The token that begins with `first`. `undefined` for a dollar sign that opens nothing, as in a parameter. */
function tokenAt(
  text: string,
  start: number,
  first: string,
  before: Token | undefined,
  backslashes: boolean,
): Token | undefined {
  const closed = (kind: TokenKind, end: number): Token =>
    end < 0 ? { kind, start, end: text.length, isOpen: true } : { kind, start, end }
  if (first === ';') return closed('semicolon', start + 1)
  if (first === '--') return closed('comment', find(lineEnd, text, start)?.index ?? text.length)
  if (first === '/*') return closed('comment', endOfComment(text, start))
  if (first === '"') return closed('identifier', endOfQuoted(text, start + 1, '"', false))
  if (first === '$') {
    const tag = find(dollarTag, text, start)?.[0]
    if (tag === undefined) return undefined
    const close = text.indexOf(tag, start + tag.length)
    return closed('dollar', close < 0 ? close : close + tag.length)
  }
  if (first !== "'") return prefixed(text, start, first, backslashes, closed)
  const isContinued = before !== undefined && /[\n\r]/.test(text.slice(before.end, start))
  const kind = isContinued ? before.kind : 'string'
  const end = endOfQuoted(text, start + 1, "'", kind === 'escape' || (kind === 'string' && backslashes))
  return { ...closed(kind, end), ...(isContinued && { isContinued }) }
}

/** A word, or the literal or identifier with this prefix. */
function prefixed(
  text: string,
  start: number,
  word: string,
  backslashes: boolean,
  closed: (kind: TokenKind, end: number) => Token,
): Token {
  const end = start + word.length
  const prefix = word.length === 1 ? word.toLowerCase() : ''
  if (text[end] === "'" && (prefix === 'e' || prefix === 'n' || prefix === 'b' || prefix === 'x')) {
    const escapes = prefix === 'e' || (prefix === 'n' && backslashes)
    return closed(prefix === 'e' ? 'escape' : 'coded', endOfQuoted(text, end + 1, "'", escapes))
  }
  const quote = text[end + 1]
  if (prefix === 'u' && text[end] === '&' && (quote === "'" || quote === '"')) {
    return closed(quote === '"' ? 'identifier' : 'coded', endOfQuoted(text, end + 2, quote, false))
  }
  return closed('word', end)
}

function isLiteral({ kind }: Token): boolean {
  return kind === 'string' || kind === 'escape' || kind === 'coded'
}

/** The index after the closing quote, where a doubled quote is an escaped one. -1 when there is none. */
function endOfQuoted(text: string, from: number, quote: string, backslashes: boolean): number {
  for (let at = from; at < text.length; at++) {
    const unit = text[at]
    if (unit === '\\' && backslashes) at++
    else if (unit === quote) {
      if (text[at + 1] !== quote) return at + 1
      at++
    }
  }
  return -1
}

/** Comments of this kind may nest. */
function endOfComment(text: string, start: number): number {
  let depth = 0
  for (const { 0: edge, index } of matchesFrom(/\/\*|\*\//g, text, start)) {
    depth += edge === '/*' ? 1 : -1
    if (depth === 0) return index + 2
  }
  return -1
}

function* matchesFrom(pattern: RegExp, text: string, from: number): Generator<RegExpExecArray> {
  for (let match = find(pattern, text, from); match; match = find(pattern, text, pattern.lastIndex)) yield match
}

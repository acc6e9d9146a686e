import { after, endOf } from './spans.js'

/** A quote, as it is, escaped, or encoded. */
export const quote = '(?:\\\\{0,7}["\'`]|\\\\{1,4}u002[27]|&quot;|&apos;|&#3[49];|%(?:25)?2[27])'

/** The first line of a here-document, whose line breaks may be escaped. */
export const hereBegin = '<<[-~]?[ \\t]{0,4}\\\\?["\']?(?<word>\\w{1,64})["\']?[^\\n\\\\]{0,256}(?:\\n|\\\\{1,4}n)'

/** Names of headers, whose values end with the line. */
export const isHeader = /^(?:x-|authorization|cookie)$/i

/** What may precede a quote and belongs to the value: a prefix of SQL and Python, a type, a call. */
const beforeQuote = new RegExp(
  `(?:[bBrReEnN]|[uU]&?|[\\w.]{1,32}\\(|[A-Za-z]{1,16}\\s{0,4}=\\s{0,4}|\\(?[a-z]{1,12}\\)?\\s?\\((?:len=)?\\d{1,9}\\)\\s{0,4})(?=${quote})`,
  'y',
)
/** A quote at a place. */
export const opening = new RegExp(quote, 'iy')
const dollars = /\$\w{0,64}\$/y
const block = /[|>][-+\d]{0,2}[^\S\n]{0,64}(?:#[^\n]{0,1000})?\n|-[^\S\n]/y
const scheme = /(?:bearer|basic|digest|negotiate|apikey|token)\s+/iy
/** Anchors and tags of YAML. */
const properties = /(?:(?:&[\w.-]{1,64}|![\w.:/!-]{0,64})\s+){1,2}/y
/** How Postgres goes on behind the value of a key, which may hold brackets itself. */
const keyEnd = /\)(?= (?:already exists|is not present|is still referenced|is duplicated|conflicts with))/
/** A number or a word of JSON behind a name in quotes. Commas are part of values in other texts. */
const jsonName = new RegExp(`${quote}\\s{0,8}:\\s{0,8}$`, 'i')
const jsonValue = /(?:-?\d{1,64}(?:\.\d{1,64})?(?:e[-+]?\d{1,4})?|true|false|null)(?=\s{0,64}(?:[,}\]]|$))/iy
const brackets: Record<string, string> = { '(': ')', '[': ']', '{': '}' }

const hereDocument = new RegExp(hereBegin, 'y')
const hereText = /<<<\s{0,8}/y
const base64Lines = /[\w+/=]+(?:\r?\n [\w+/=]+)*/y

/** The mask of a secret. */
const masked = /\*{3}(?![\w*])/y

/** Whether a value is the mask of one that was redacted before. What follows belongs to the text. */
export function isMasked(text: string, start: number): boolean {
  return after(text, start, masked) > start
}

/** The end of a value that starts at `start`. `word` is the part of its name that marks it as a secret. */
export function valueEnd(text: string, from: number, word: string): number {
  // A loop: a text may be prefixed any number of times.
  for (let start = from; ; ) {
    if (/::[ \t]+$/.test(text.slice(start - 6, start))) return after(text, start, base64Lines)
    const prefixed = Math.max(after(text, start, hereText), after(text, start, properties))
    if (prefixed === start) return isMasked(text, start) ? after(text, start, masked) : bareEnd(text, start, word)
    start = prefixed
  }
}

/** The end of a value behind what precedes it. */
function bareEnd(text: string, start: number, word: string): number {
  if (after(text, start, hereDocument) > start) return hereDocumentEnd(text, start)
  const from = after(text, start, beforeQuote)
  const quoted = after(text, from, opening)
  if (quoted > from) {
    const opened = text.slice(from, quoted)
    // A literal within a literal of SQL.
    if (opened === "'" && /^'[^\s'",;)}\]]/.test(text.slice(quoted, quoted + 2)))
      return closingEnd(text, quoted + 1, "''")
    return quotedEnd(text, quoted, opened)
  }
  const dollared = after(text, start, dollars)
  if (dollared > start) return closingEnd(text, dollared, text.slice(start, dollared))
  if (text.startsWith('<![CDATA[', start)) return closingEnd(text, start, ']]>')
  if (/(?<!=)>\s{0,64}$/.test(text.slice(Math.max(0, start - 66), start))) return elementEnd(text, start)
  if (after(text, start, block) > start) return blockEnd(text, start)
  if (/\) ?= ?\($/.test(text.slice(Math.max(0, start - 4), start + 1))) {
    const key = text.slice(start, start + 2000).search(keyEnd)
    if (key > 0) return start + key + 1
  }
  // `$(…)` and `${…}` of a shell.
  const open = text[start] === '$' ? start + 1 : start
  const closing = brackets[text[open] as string]
  if (closing !== undefined)
    return Math.max(bracketEnd(text, open, text[open] as string, closing), bracesEnd(text, start))
  if (isHeader.test(word)) return headerEnd(text, start)
  const json = after(text, start, jsonValue)
  if (json > start && jsonName.test(text.slice(Math.max(0, start - 32), start))) return json
  return endOf(text, after(text, start, scheme), /(?<!\\)\s/g)
}

/** The end of a here-document: the line with its word, or the end of the input. */
function hereDocumentEnd(text: string, start: number): number {
  hereDocument.lastIndex = start
  const [begin = '', word = ''] = hereDocument.exec(text) ?? []
  for (let at = text.indexOf(word, start + begin.length); at >= 0; at = text.indexOf(word, at + word.length)) {
    let line = at
    while (line > start && /[ \t]/.test(text[line - 1] as string)) line--
    const isLine = text[line - 1] === '\n' || (text[line - 1] === 'n' && text[line - 2] === '\\')
    if (isLine && !/\w/.test(text[at + word.length] ?? ' ')) return at + word.length
  }
  return text.length
}

/** After the end of a quoted text, or the end of the input. */
function closingEnd(text: string, from: number, closing: string): number {
  const at = text.indexOf(closing, from)
  return at < 0 ? text.length : at + closing.length
}

/** What joins two quoted texts, up to the second one. */
const joins: Record<string, RegExp> = { "'": /(?:\\'|"'")?'/y, '"': /(?:\\"|'"')?"/y, '`': /`/y }
/** How Node goes on with a long text. */
const continued = /[ \t]?\+[ \t]{0,4}\r?\n\s{0,64}["'`]/y

/** The end of a quoted text, with its closing quote, or the end of the input when there is none. */
export function quotedEnd(text: string, from: number, opened: string): number {
  let quote = opened.at(-1) as string
  if (!/["'`]/.test(quote)) return closingEnd(text, from, opened)
  const depth = opened.length - 1
  for (let at = text.indexOf(quote, from); at >= 0; at = text.indexOf(quote, at + 1)) {
    let slashes = 0
    while (at - slashes > from && text[at - 1 - slashes] === '\\') slashes++
    // Closes at the same depth. A quote with more escapes, or an odd number more, is part of the value.
    const isClosing = depth === 0 ? slashes % 2 === 0 : slashes <= depth
    if (!isClosing) continue
    // SQL doubles a quote that is part of the value, and a shell joins pieces: `'a'\\''b'`.
    const joined = depth === 0 ? after(text, at + 1, joins[quote] as RegExp) : at + 1
    const next = joined === at + 1 ? after(text, joined, continued) : joined
    if (next === at + 1) return next
    at = next - 1
    quote = text[at] as string
  }
  return text.length
}

/** The end of an element: its closing tag, if that is on the same line or near, or else the end of the word. */
function elementEnd(text: string, start: number): number {
  const near = text.slice(start, start + 1000)
  const end = near.search(/[<\n]/)
  // Searched far only where the value goes as far, or each name would be followed by a search to the end.
  if (end < 0) return endOf(text, start, /[<\n]/g)
  if (near[end] === '<') return start + end
  const closing = near.indexOf('</')
  return closing >= 0 ? start + closing : endOf(text, start, /[<\s]/g)
}

/** The end of a block or list of YAML: the last line that is indented as the first one is. */
function blockEnd(text: string, start: number): number {
  const isList = text[start] === '-'
  const first = isList ? start : text.indexOf('\n', start) + 1
  const indent = isList ? start - (text.lastIndexOf('\n', start) + 1) : after(text, first, /[ \t]*/y) - first
  let end = endOf(text, first, /\n/g)
  while (end < text.length) {
    const lineIndent = after(text, end + 1, /[ \t]*/y) - (end + 1)
    const isBlank = /[\r\n]/.test(text[end + 1 + lineIndent] ?? '')
    if (!isBlank && (lineIndent < indent || indent === 0)) break
    end = endOf(text, end + 1, /\n/g)
  }
  return end
}

/** The end of a bracketed text, or the end of the input when nothing closes it. */
function bracketEnd(text: string, start: number, open: string, close: string): number {
  let depth = 0
  const either = new RegExp(`[\\${open}\\${close}]`, 'g')
  for (let at = endOf(text, start, either); at < text.length; at = endOf(text, at + 1, either)) {
    depth += text[at] === open ? 1 : -1
    if (depth === 0) return at + 1
  }
  return text.length
}

/** The end of a value of ODBC in braces, of which `}}` is one of the value. `start` for other values. */
function bracesEnd(text: string, start: number): number {
  if (text[start] !== '{' || text[start - 1] !== '=') return start
  for (let at = endOf(text, start, /[}\n]/g); text[at] === '}'; at = endOf(text, at + 2, /[}\n]/g)) {
    if (text[at + 1] !== '}') return at + 1
  }
  return endOf(text, start, /\n/g)
}

/** The end of a header: of its line, or of the quoted text that contains it. A quoted parameter is part of it. */
function headerEnd(text: string, start: number): number {
  const stop = /[\r\n"']/g
  let at = endOf(text, start, stop)
  while (text[at - 1] === '=' && /["']/.test(text[at] ?? '')) {
    const close = endOf(text, at + 1, text[at] === '"' ? /["\r\n]/g : /['\r\n]/g)
    if (text[close] !== text[at]) return close
    at = endOf(text, close + 1, stop)
  }
  return at
}

import { sentenceAt, stackLine } from './sentences.js'
import { after, endOf, matches, type Span } from './spans.js'
import { yamlEnd } from './yaml.js'

/** Names that mark a secret anywhere within a name. */
const strong =
  'pass(?:word|wd|phrase|code)|pwd|secret|token|credential|(?:api|access|account|private|encrypt(?:ion)?|sign(?:ing)?|master|shared|auth|ssh|license|subscription|storage|service|consumer|client|deploy|hmac|webhook)[-_ ]?key|authorization|cookie|\\bidentified(?=\\s{1,16}(?:with\\s{1,16}[\\w"\'`]{1,64}\\s{1,16})?(?:by|as)\\s)'
/** Names that mark a secret as a whole word, or as the last part of one: `dbPass`, `user_pw`. */
const short = 'pass|pw'
/** Ordinary words that mark a secret only before `=` or a quote. */
const weak = 'auth|sig|signature|jwt|otp|sid|hmac|j?sess(?:ion)?[-_]?id|phpsessid'

/** A quote, as it is, escaped, or encoded. */
const quote = '(?:\\\\{0,7}["\'`]|\\\\{1,4}u002[27]|&quot;|&apos;|&#3[49];|%(?:25)?2[27])'

const name = new RegExp(
  `(?<strong>${strong})|(?<short>(?:${short})(?=${quote}?\\s{0,8}[=:])|(?<=--)(?:${short})(?=\\s)|(?<=<)(?:${short})(?=>))|(?<weak>${weak})(?=${quote}?\\s{0,8}(?:=|${quote}\\s{0,8}:))`,
  'gi',
)

/** The rest of the name. */
const rest = /s?(?:[-_.\dA-Z][-\w.]{0,63})?/y

/** The first line of a here-document, whose line breaks may be escaped. */
const hereBegin = '<<[-~]?[ \\t]{0,4}\\\\?["\']?(?<word>\\w{1,64})["\']?[^\\n\\\\]{0,256}(?:\\n|\\\\{1,4}n)'

/** What may follow a name, up to its value: a quote that closes it, and what assigns. */
const assigns = new RegExp(
  [
    // The answer to a prompt, by expect.
    '[ :?]{0,3}["\']\\s{0,8}[;{]?\\s{0,8}(?:exp_)?send(?:line)?\\s{1,8}(?:--\\s{1,8})?(?=["\'])',
    // `name: …`, `"name":"…"`, `[name] => …`, `name == …`, `name ?? …`, and Postgres's `(name, other)=(…)`.
    `(?:${quote}?(?:[\\])]|%5D)?\\s*(?:=>|:=|={1,3}|:(?!:)|>|%(?:25)?3[AD]|\\\\{1,4}u003[ad]|&#(?:58|61|x3[ad]);|\\?\\?=?|\\|\\|=?)|(?:,[^()]{0,256}|::[\\w ]{1,64})?\\){1,4}=(?=\\())`,
    // `"name":"password","value":"…"`, also as attributes and pairs.
    `${quote}?\\s{0,8}[,;]?\\s{0,8}${quote}?value${quote}?\\s{0,8}[:=]`,
    // A field of a form in parts, PHP's serialized texts, MySQL's `set password for user = …`.
    '"[^\\r\\n]{0,64}\\r?\\n\\r?\\n',
    '";s:\\d{1,9}:',
    '\\s{1,8}for\\s{1,8}\\S{1,128}\\s{0,8}(?:=|to(?=\\s))',
    // A here-document, and LDIF's base64.
    `\\s{0,8}(?=<<<\\s{0,4}\\S|${hereBegin})`,
    '::[ \\t]{1,4}(?=[\\w+/]{2})',
  ]
    .map((form) => `(?:${form})\\s*`)
    .join('|'),
  'iy',
)
/** The rest of an element of XML that has attributes. */
const attributes = /\s[^<>]{0,256}>/y
/** `password '…'` and `identified with … by '…'` of SQL, also with a prefix or in dollars. */
const sqlWords = /(?:\s{1,16}(?:with\s{1,16}[\w"'`]{1,64}|by|as|password|values)){0,4}/iy
const assignsQuoted = /\s+(?=(?:[EN]|U&)?\\?["'`]|\$\w{0,64}\$)/iy
const spaceOrQuote = new RegExp(`\\s|${quote}`, 'iy')
const assignsSpace = /\s+(?=[^\s-])/y
const isPassword = /^(?:pass(?:word|wd|phrase|code)|pwd|identified)$/i
/** Options of SQL, as in `create secret (secret '…', session_token '…')`. */
const isSqlOption = /^(?:secret|credentials)$|[-_ ](?:key|token)$/i
/** The name of an option in a list, as in `options (user 'u', set "token" 't')`. */
const optionBefore = /[(,]\s{0,8}(?:(?:add|set)\s{1,8})?["`[]?[\w-]{0,40}$/i
const assignsOption = /["`\]]?\s{1,16}(?=(?:[EN]|U&)?')/iy
const assignsLiteral = /\s+(?=')/y
/** A place in a file: `token.ts:10:5`. */
const filePlace =
  /(?:(?<=\.[a-z]{1,8}):\d{1,7}:\d{1,7}|(?<=\.(?:[cm]?[jt]sx?|py|rb|go|rs|java|kt|php|cs|cpp|[ch]|vue|sql|sh|css|html|json|ya?ml|toml|md)):\d{1,7})(?![\w.:])/y
const isHeader = /^(?:authorization|cookie)$/i
/** A flag of a command, and a line of netrc. */
const commandBefore =
  /(?:--[-\w]{0,32}|\b(?:login|account)\s{1,16}\S{1,64}\s{1,16}|(?:^|\n)\s{0,8}(?:machine\s{1,16}\S{1,64}|default)\s{1,16})$/
const listed = new RegExp(`${quote}\\s*,\\s*(?=${quote})`, 'y')
const closingBefore = /<\/[\w.:-]{0,40}$/
const elementBefore = /<(?:[\w.-]{1,32}:)?[\w.-]{0,32}$/

/** The values of names that mark a secret, and users of commands with their passwords. */
export function* namedSecrets(text: string): Generator<Span> {
  yield* userFlags(text)
  for (const match of matches(text, name)) {
    if (!isWhole(text, match)) continue
    const start = valueStart(text, match)
    if (start === undefined) continue
    const end = yamlValueEnd(text, match) ?? valueEnd(text, start, match[0])
    if (end > start) yield { start, end }
    name.lastIndex = Math.max(end, name.lastIndex)
  }
}

const userFlag =
  /(?<![^\s"'`[(,])(?:-[uU]|--(?:proxy-)?user)[\s=]{0,4}(?:["']?\s{0,4},\s{0,4})?["']?[\w.%@+\\-]{1,64}:(?!\s)/g

/** `--user name:password` of curl. */
function* userFlags(text: string): Generator<Span> {
  for (const { 0: flag, index } of matches(text, userFlag)) {
    const start = index + flag.length
    const [, quote = ''] = /(["'])[^"']*$/.exec(flag) ?? []
    yield { start, end: endOf(text, start, quote === '"' ? /"/g : quote === "'" ? /'/g : /[\s"']/g) }
  }
}

/** How far before a name to look for what it belongs to. */
const context = 120

/** The end of a value on the lines below its name. */
function yamlValueEnd(text: string, { 0: word, index }: RegExpExecArray): number | undefined {
  const nameEnd = after(text, after(text, index + word.length, rest), /["']/y)
  return yamlEnd(text, text.slice(Math.max(0, index - context), index), nameEnd)
}

/** Whether a short name is a whole word, or a part of one as in `dbPass`. */
function isWhole(text: string, { index, groups }: RegExpExecArray): boolean {
  if (groups?.strong !== undefined) return true
  const before = text[index - 1] ?? ' '
  return !/[a-z\d]/i.test(before) || (/[a-z\d]/.test(before) && /[A-Z]/.test(text[index] as string))
}

function valueStart(text: string, { 0: word, index }: RegExpExecArray): number | undefined {
  const nameEnd = after(text, index + word.length, rest)
  const before = text.slice(Math.max(0, index - context), index)
  if (after(text, nameEnd, filePlace) > nameEnd || closingBefore.test(before)) return undefined
  const assigned = after(text, nameEnd, assigns)
  if (assigned > nameEnd) return unlessSentence(text, nameEnd, assigned)
  const element = elementBefore.test(before) ? after(text, nameEnd, attributes) : nameEnd
  if (element > nameEnd) return element
  const option = optionBefore.test(before) ? after(text, nameEnd, assignsOption) : nameEnd
  if (option > nameEnd) return option
  // What is not followed by a space or a quote has no value. A word that repeats is read once per repeat.
  if (after(text, nameEnd, spaceOrQuote) === nameEnd) return undefined
  if (isHeader.test(word)) {
    const next = after(text, nameEnd, listed)
    if (next > nameEnd) return next
  }
  const isCommand = commandBefore.test(before)
  const argument = isCommand ? after(text, nameEnd, listed) : nameEnd
  if (argument > nameEnd) return argument
  if (!isCommand && !isPassword.test(word)) return optionStart(text, index, nameEnd)
  const words = isPassword.test(word) ? after(text, nameEnd, sqlWords) : nameEnd
  if (/^identified$/i.test(word) && /\b(?:user|role|to)\s{1,16}\S{1,64}\s{1,16}$/i.test(before))
    return unquotedStart(text, words)
  const spaced = after(text, words, isCommand ? assignsSpace : assignsQuoted)
  return spaced > words ? spaced : undefined
}

/** The start of a value, unless a validator has written a sentence there. That may quote the value. */
function unlessSentence(text: string, nameEnd: number, start: number): number | undefined {
  if (text[nameEnd] === ':' && after(text, start, stackLine) > start) return undefined
  if (!/^["']?:[ \t]{1,4}$/.test(text.slice(nameEnd, Math.min(start, nameEnd + 8)))) return start
  const sentence = sentenceAt(text, start)
  return sentence ? sentence.quoted : start
}

/** The start of the password of \`identified by …\`, whose quotes Oracle leaves out. */
function unquotedStart(text: string, words: number): number | undefined {
  const start = after(text, words, /\s+(?=\S)/y)
  return start > words ? start : undefined
}

/** The start of the value of an option of SQL. */
function optionStart(text: string, index: number, nameEnd: number): number | undefined {
  const literal = after(text, nameEnd, assignsLiteral)
  if (literal === nameEnd) return undefined
  const [fullName = ''] = /[-\w]{0,64}(?: key)?$/i.exec(text.slice(Math.max(0, index - 64), nameEnd)) ?? []
  return isSqlOption.test(fullName) ? literal : undefined
}

/** What may precede a quote and belongs to the value: a prefix of SQL and Python, a type, a call. */
const beforeQuote = new RegExp(
  `(?:[bBrReEnN]|[uU]&?|[\\w.]{1,32}\\(|[A-Za-z]{1,16}\\s{0,4}=\\s{0,4}|\\(?[a-z]{1,12}\\)?\\s?\\((?:len=)?\\d{1,9}\\)\\s{0,4})(?=${quote})`,
  'y',
)
const opening = new RegExp(quote, 'iy')
const dollars = /\$\w{0,64}\$/y
const block = /[|>][-+\d]{0,2}[^\S\n]{0,64}(?:#[^\n]{0,1000})?\n|-[^\S\n]/y
const scheme = /(?:bearer|basic|digest|negotiate|apikey|token)\s+/iy
/** Anchors and tags of YAML. */
const properties = /(?:(?:&[\w.-]{1,64}|![\w.:/!-]{0,64})\s+){1,2}/y
/** How Postgres goes on behind the value of a key, which may hold brackets itself. */
const keyEnd = /\)(?= (?:already exists|is not present|is still referenced|is duplicated|conflicts with))/
const brackets: Record<string, string> = { '(': ')', '[': ']', '{': '}' }

const hereDocument = new RegExp(hereBegin, 'y')
const hereText = /<<<\s{0,8}/y
const base64Lines = /[\w+/=]+(?:\r?\n [\w+/=]+)*/y

function valueEnd(text: string, start: number, word: string): number {
  if (/::[ \t]+$/.test(text.slice(start - 6, start))) return after(text, start, base64Lines)
  const prefixed = Math.max(after(text, start, hereText), after(text, start, properties))
  if (prefixed > start) return valueEnd(text, prefixed, word)
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
  if (text.startsWith(')=(', start - 2)) {
    const key = text.slice(start, start + 2000).search(keyEnd)
    if (key > 0) return start + key + 1
  }
  // `$(…)` and `${…}` of a shell.
  const open = text[start] === '$' ? start + 1 : start
  const closing = brackets[text[open] as string]
  if (closing !== undefined)
    return Math.max(bracketEnd(text, open, text[open] as string, closing), bracesEnd(text, start))
  if (isHeader.test(word)) return headerEnd(text, start)
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

/** The end of a quoted text, with its closing quote, or the end of the input when there is none. */
function quotedEnd(text: string, from: number, opened: string): number {
  const quote = opened.at(-1) as string
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
    if (joined === at + 1) return joined
    at = joined - 1
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

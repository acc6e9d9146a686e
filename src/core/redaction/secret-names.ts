import { givenNear } from './given-values.js'
import { sentenceAt, stackLine } from './sentences.js'
import { after, matches, type Span } from './spans.js'
import { hereBegin, isHeader, isMasked, quote, quotedEnd, valueEnd } from './value-end.js'
import { yamlEnd } from './yaml.js'

/** Names that mark a secret anywhere within a name. */
const strong =
  '(?:store|key)pass\\b|pass(?:word|wd|phrase|code)|pwd|secret|token|credential|(?:api|access|account|private|encrypt(?:ion)?|sse[-_]?customer|server-side-encryption-customer|sign(?:ing)?|master|shared|auth|ssh|fernet|session|clickhouse|license|subscription|storage|service|consumer|client|deploy|hmac|webhook)[-_ ]?key|authorization|cookie|\\bidentified(?=\\s{1,16}(?:with\\s{1,16}[\\w"\'`]{1,64}\\s{1,16})?(?:by|as)\\s)'
/** Names that mark a secret as a whole word, or as the last part of one: `dbPass`, `user_pw`. */
const short = '(?:pass|pw)'
/** Ordinary words that mark a secret only before `=` or a quote, also behind a colon, or as a command: `auth([ … ])`. */
const weak = 'auth|sig|signature|jwt|otp|sid|hmac|j?sess(?:ion)?[-_]?id|phpsessid'

const name = new RegExp(
  `(?<strong>${strong})|(?<short>${short})(?=\\d?(?![\\w-]))|(?<weak>${weak})(?=${quote}?\\s{0,8}(?:=|:\\s{0,4}["'\`]|${quote}\\s{0,8}(?::|,\\s{0,8}${quote}?args\\b)|\\(\\s{0,4}\\[))`,
  'gi',
)

/** The rest of the name. */
const rest = /s?(?:[-_.\dA-Z][-\w.]{0,63})?/y

/** A member or an attribute between a name and its value: `"Type":"SecureString"`. */
const member = `${quote}?[\\w-]{1,32}${quote}?\\s{0,8}[:=]\\s{0,8}${quote}[^"'<>]{0,64}${quote}`

/** What may follow a name, up to its value: a quote that closes it, and what assigns. */
const assigns = new RegExp(
  [
    // The answer to a prompt, by expect.
    '[ :?]{0,3}\\\\{0,7}["\']\\s{0,8}[;{]?\\s{0,8}(?:exp_)?send(?:line)?\\s{1,8}(?:--\\s{1,8})?(?=\\\\{0,7}["\']|\\*{3})',
    // `"name":"password","value":"…"`, also as attributes and pairs, and `"name":"auth","args":[…]` of a command.
    `${quote}?\\s{0,8}[,;]?\\s{0,8}(?:${member}[\\s,]{1,8}){0,4}${quote}?(?:value|args)${quote}?\\s{0,8}[:=]`,
    // The element that follows: `<key>password</key><string>…`, `<property name="password"><value>…`.
    `${quote}?\\s{0,8}(?:</(?:[\\w-]{1,32}:)?(?:key|name)>|/?>)\\s{0,64}<(?:[\\w-]{1,32}:)?(?:value|string|data)(?:\\s[^<>]{0,256})?>`,
    // `name: …`, `"name":"…"`, `[name] => …`, `name == …`, `name ?? …`.
    `${quote}?(?:[\\])]|%5D)?\\s*(?:=>|:=|={1,3}|:(?!:)|>|%(?:25)?3[AD]|\\\\{1,4}u003[ad]|&#(?:58|61|x3[ad]);|\\?\\?=?|\\|\\|=?)`,
    // A field of a form in parts, PHP's serialized texts, MySQL's `set password for user = …`.
    '"[^\\r\\n]{0,64}\\r?\\n\\r?\\n',
    '";s:\\d{1,9}:',
    '\\s{1,8}for\\s{1,8}\\S{1,128}\\s{0,8}(?:=|to(?=\\s))',
    // A command as ioredis logs it.
    '(?<=\\bauth)\\((?=\\s{0,4}\\[)',
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
const userBefore = /\b(?:user|role|to)\s{1,16}\S{1,64}\s{1,16}$/i
/** A flag of a command, and a line of netrc. */
const commandBefore =
  /(?:(?:--|(?:^|[\s"'])-)[-\w]{0,32}|\b(?:ENV|setx|setenv|SetEnv|set\s{1,4}-\w{1,4})\s{1,16}\w{0,64}|\b(?:login|account)\s{1,16}\S{1,64}\s{1,16}|(?:^|\n)\s{0,8}(?:machine\s{1,16}\S{1,64}|default)\s{1,16})$/
/** The first argument of a call that sets a value, and an `X-…` header in a list. */
const setterBefore = /(?:\b(?:define|(?:set|add|append|put)\w{0,24})\(\s{0,8}|(?=["'`]x-))["'`](?:x-)?[\w.-]{0,64}$/i
const listed = new RegExp(`${quote}\\s*,\\s*(?=${quote})`, 'y')
const quotedFlag = /(?<![^\s,([{=:"'])(\\{0,7}["'])--?[\w-]{0,32}$/
const closingBefore = /<\/[\w.:-]{0,40}$/
const elementBefore = /<(?:[\w.-]{1,32}:)?[\w.-]{0,32}$/

/** The values of names that mark a secret. */
export function* namedSecrets(text: string): Generator<Span> {
  for (const match of matches(text, name)) {
    if (!isWhole(text, match)) continue
    for (const start of valueStarts(text, match)) {
      const end =
        yamlValueEnd(text, match) ?? flagEnd(text, match, start) ?? valueEnd(text, start, headerOf(text, match))
      if (end > start) yield { start, end }
      name.lastIndex = Math.max(end, name.lastIndex)
    }
    yield* givenNear(text, match.index)
  }
}

/** How far before a name to look for what it belongs to. */
const context = 120
const header = /(?:^|[^\w-])x-[\w-]{0,99}:$/i

/** The part of a name that marks it, or `x-` for such a header. */
function headerOf(text: string, { 0: word, index }: RegExpExecArray): string {
  const nameEnd = after(text, index + word.length, rest)
  return header.test(text.slice(Math.max(0, index - context), nameEnd + 1)) ? 'x-' : word
}

/** The end of a value on the lines below its name. */
function yamlValueEnd(text: string, { 0: word, index }: RegExpExecArray): number | undefined {
  const nameEnd = after(text, after(text, index + word.length, rest), /["']/y)
  return yamlEnd(text, text.slice(Math.max(0, index - context), index), nameEnd)
}

/** The end of the value of a flag that is quoted as a whole: `'--password=…'`. */
function flagEnd(text: string, { index }: RegExpExecArray, start: number): number | undefined {
  if (text[start - 1] !== '=' || isMasked(text, start)) return undefined
  const [, opened] = quotedFlag.exec(text.slice(Math.max(0, index - 48), index)) ?? []
  return opened === undefined ? undefined : quotedEnd(text, start, opened)
}

/** Whether a short name is a whole word, or a part of one as in `dbPass`. */
function isWhole(text: string, { index, groups }: RegExpExecArray): boolean {
  if (groups?.strong !== undefined) return true
  const before = text[index - 1] ?? ' '
  return (
    !/[a-z\d]/i.test(before) ||
    /%[\dA-F]{2}$/i.test(text.slice(Math.max(0, index - 3), index)) ||
    (/[a-z\d]/.test(before) && /[A-Z]/.test(text[index] as string))
  )
}

/** Where the values of a name begin. A validator may quote more than one. */
function valueStarts(text: string, match: RegExpExecArray): readonly number[] {
  const { 0: word, index } = match
  const nameEnd = after(text, index + word.length, rest)
  const before = text.slice(Math.max(0, index - context), index)
  if (after(text, nameEnd, filePlace) > nameEnd || closingBefore.test(before)) return []
  if (aboutSecret.test(text.slice(index, nameEnd))) return []
  const assigned = after(text, nameEnd, assigns)
  if (assigned > nameEnd)
    return isHarmless(text, before, match, nameEnd, assigned) ? [] : unlessSentence(text, nameEnd, assigned)
  const bracket = /\bPath `$/.test(before) ? after(text, nameEnd, inBrackets) : nameEnd
  if (bracket > nameEnd) return [bracket]
  const keyValue = before.includes('(') && keyBefore.test(before) ? after(text, nameEnd, keyAssigns) : nameEnd
  if (keyValue > nameEnd) return isCount(text, match, nameEnd, keyValue) ? [] : [keyValue]
  const spaced = after(text, nameEnd, sentenceSpace)
  const sentence = spaced > nameEnd ? sentenceAt(text, spaced) : undefined
  if (sentence) return sentence.quoted
  const start = unassignedStart(text, match, nameEnd, before)
  return start === undefined ? [] : [start]
}

/** What a name says about a secret and does not hold: `token_type`, `password_policy`. */
const aboutSecret =
  /[^-_](?:[-_]?(?:type|name|length|count|policy|endpoint|ur[il]|arn|ref|lifetime|ttl|expir(?:y|es|ed|ation)(?:[-_]?(?:in|at))?)|[-_]at|(?:set|ed)At)$/i
/** Numbers of tokens that language models count, and of rows. */
const counted = /^tokens$|.[-_]?id$/i
/** Values that hold no secret: flags, results, parameters of statements, placeholders of a usage. */
const placeholder =
  /(?:true|false|null|undefined|none|\(none\)|nil|invalid|\$\d{1,3}|\?|%s|<[a-z][a-z_-]{0,31}>)(?=[\s,;)}\]"'`]|$)/y
/** A sign that a parser met, such as `unrecognized token: ":"`: no secret is as short. */
const sign = /(?:(["'`])[^\w\s"'`]{1,2}\1|[)}\],;])(?=[\s,;.)]|$)/y
/** The summary of a run of tests. */
const passed = /\d{1,9},? {1,4}(?:fail|skip)/iy
/** The modes of `fetch`. */
const fetchMode = /(?:include|omit|same-origin)(?=[\s,;)}\]"'`]|$)/y
/** The folders of a shell: `PWD=/home/app`. */
const folder = /\/[\w./-]{0,2048}(?=[\s,;)}\]"'`]|$)/y
const inBrackets = /` \((?=`)/y
const count = /\(?["'`]?\d{1,9}["'`]?(?=[\s,;)}\]]|$)/y
/** A count of cookies, or a place in a list: no token is as short. */
const isCounted = /^(?:token|cookie)$/i
const smallCount = /\d{1,3}(?=[\s)}\]]|[,;](?:\s|\\{0,7}"|$)|$)/y
/** Codes of errors, such as `invalid_token: the token is expired`. */
const codeBefore =
  /\bnear ["'`]$|[uU]nexpected $|(?:^|[^a-z])(?:E?BAD[A-Z]{0,12}|[iI]nvalid|[eE]xpired|[mM]issing|[uU]nknown|[bB]ad|[rR]evoked|[uU]nsupported|INVALID|EXPIRED|MISSING)[-_]?$/
const codeAfter = /(?:Error|Exception|[-_]error)$/
const words = /[A-Z]?[a-z']{1,20},? [a-z(`"]{1,20}(?=[\s.,:;)`"]|$)/iy
/** The names of a key or of a partition, up to the one that is read. */
const keyBefore = /(?:key|contains) \([^\n]*$/i
const keyAssigns = /[^\n]{0,256}?\) ?= ?(?=\()/y
const sentenceSpace = /\\{0,7}["'`]? (?=[a-z])/y

/** Whether a value is a count, or the message of an error whose code is the name, or prose behind a placeholder such as `<password>`. */
function isHarmless(text: string, before: string, match: RegExpExecArray, nameEnd: number, start: number): boolean {
  const { 0: word, index, groups } = match
  const full = text.slice(index, nameEnd)
  if (elementBefore.test(before) && text.startsWith('> ', nameEnd))
    return !text.slice(start, start + 1000).includes('</')
  if (after(text, start, placeholder) > start || after(text, start, sign) > start) return true
  if (groups?.short !== undefined && after(text, start, passed) > start) return true
  if (/^credentials?$/i.test(full) && after(text, start, fetchMode) > start) return true
  if (word === 'PWD' && /(?:^|[\s"'{,])(?:OLD)?$/.test(before) && after(text, start, folder) > start) return true
  if (isCount(text, match, nameEnd, start)) return true
  const isCode = codeBefore.test(before) || codeAfter.test(full.slice(word.length))
  return isCode && /^["'`]?: /.test(text.slice(nameEnd, nameEnd + 3)) && after(text, start, words) > start
}

function isCount(text: string, { 0: word, index, groups }: RegExpExecArray, nameEnd: number, start: number): boolean {
  if (isCounted.test(word) && after(text, start, smallCount) > start) return true
  return groups?.strong !== undefined && counted.test(text.slice(index, nameEnd)) && after(text, start, count) > start
}

function unassignedStart(
  text: string,
  { 0: word, index }: RegExpExecArray,
  nameEnd: number,
  before: string,
): number | undefined {
  const element = elementBefore.test(before) ? after(text, nameEnd, attributes) : nameEnd
  if (element > nameEnd) return element
  const option = optionBefore.test(before) ? after(text, nameEnd, assignsOption) : nameEnd
  if (option > nameEnd) return option
  // What is not followed by a space or a quote has no value. A word that repeats is read once per repeat.
  if (after(text, nameEnd, spaceOrQuote) === nameEnd) return undefined
  if (isHeader.test(word) || setterBefore.test(before)) {
    const next = after(text, nameEnd, listed)
    if (next > nameEnd) return next
  }
  const isCommand = commandBefore.test(before)
  const argument = isCommand ? after(text, nameEnd, listed) : nameEnd
  if (argument > nameEnd) return argument
  if (!isCommand && !isPassword.test(word)) return optionStart(text, index, nameEnd)
  const words = isPassword.test(word) ? after(text, nameEnd, sqlWords) : nameEnd
  if (word === 'IDENTIFIED' || (/^identified$/i.test(word) && userBefore.test(before)))
    return unquotedStart(text, words)
  const spaced = after(text, words, isCommand ? assignsSpace : assignsQuoted)
  return spaced > words && after(text, spaced, placeholder) === spaced ? spaced : undefined
}

/** The start of a value, unless a validator has written a sentence there. That may quote the value. */
function unlessSentence(text: string, nameEnd: number, start: number): readonly number[] {
  if (text[nameEnd] === ':' && after(text, start, stackLine) > start) return []
  if (!/^\\{0,7}["'`]?:[ \t]{1,4}$/.test(text.slice(nameEnd, Math.min(start, nameEnd + 13)))) return [start]
  const sentence = sentenceAt(text, start)
  return sentence ? sentence.quoted : [start]
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

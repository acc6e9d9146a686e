import { after } from './spans.js'
import { opening, quote, quotedEnd } from './value-end.js'

/**
 * What validators write after the name of a field and a colon: zod, ajv, joi, yup, class-validator, Rails, Django, Pydantic and
 * jsonwebtoken. Each form has two words or more, or is the whole value: a password is not likely to be one of them.
 */
const sentence = new RegExp(
  `(?:${[
    "(?:must|should|shall|can|may|could|does|do|did|is|was|has|are)(?:n?'t| not|not) (?:be|match|contain|have|exist|allowed|set|found|valid|provided|been|a|an|include|equal|start|end|meet|exceed|confirmed|strong|long|null)\\b",
    '(?:must|should|shall) (?:be|match|contain|have|include|equal|start|end|meet|only)\\b',
    '(?:is|was|are) (?:required|invalid|missing|empty|blank|too|incorrect|wrong|undefined|null|expired|reserved|the wrong)\\b',
    'has (?:expired|been|already|no|an invalid|the wrong)\\b',
    'needs to (?:be|have|contain|match)\\b',
    'too (?:small|big|short|long|weak|common|simple|few|many|similar)[:.,;)]?(?=\\s|$)',
    '(?:non-string|invalid|unexpected|unrecognized|wrong|expected|malformed) (?:a |an )?(?:input|enum|literal|option|discriminator|email|url|port|type|string|value|format|number|boolean|object|array|date|token|characters?|length|end of|key|uuid|null|undefined|required|signature|algorithm)\\b',
    "(?:string|input|value|field|text|this (?:field|value|password|token)|the (?:field|value|string)|(?:the |your )?(?:password|token)) (?:must|should|is|has|may|cannot|can't|does|length|required|error|audience|issuer|signature|expired|invalid)\\b",
    '(?:min|max)(?:imum)? length\\b',
    'at least \\d{1,4} characters?\\b',
    'jwt (?:malformed|expired|must|not|signature|audience|issuer|subject|id)\\b',
    'null value in column\\b',
    'with value\\b',
    `(?:got|received) (?=${quote}|\\*{3})`,
    'to be (?:an?|one|text)\\b',
    'command not found\\b',
    '(?:no such file or directory|permission denied|is a directory)\\b',
    'path ["\'`][\\w.]{1,64}["\'`] (?:is|must|should|does|has)\\b',
    '[a-z]{1,24} expected(?=[\\s.,;)]|$)',
    '(?:yes|no)\\)',
    'not (?:set|found|provided|allowed|valid|a|an|null|defined|specified|given)\\b',
    '(?:required|undefined|null|nil|none|missing|expired|invalid|string|(?:field )?required|mandatory)\\.?(?=[ \\t]{0,8}(?:$|[\\n,;)}\\]]))',
  ].join('|')})`,
  'iy',
)

/** A line of a stack, below a message that ends with a colon. */
export const stackLine = /at [^\n]{1,500}(?:\)|:\d+)\r?(?=\n|$)/y

/** How many quotes to look at behind a sentence. */
const maxQuotes = 12
const nextQuote = /[^\n"'`\\]{0,160}(?:\\(?!\\{0,6}["'`])[^\n"'`\\]{0,160}){0,4}(?=\\{0,7}["'`])/y
/** What precedes the value that a validator was given. */
const given = /\b(?:got|received|was|given|value|(?<!not )found|is|address|input)[:=]?\s{1,4}["'`([]{0,2}$/i
/** The sentence of the next field. */
const nextField =
  /(?:; |[,.] (?=[\\"'`]))[\\"'`]{0,8}(?!(?:but|it|this|value|input)\b)[\w.[\]-]{1,64}[\\"'`]{0,8}:? (?:must|should|is|has|needs|length|fails|with value)\b/

/** Whether a value is the sentence of a validator, and the places where that quotes what it was given. */
export function sentenceAt(text: string, start: number): { readonly quoted: readonly number[] } | undefined {
  let at = after(text, start, sentence)
  if (at === start) return undefined
  const quoted: number[] = []
  for (let quotes = 0; quotes < maxQuotes; quotes++) {
    nextQuote.lastIndex = at
    if (!nextQuote.test(text)) break
    const quoteAt = nextQuote.lastIndex
    const next = text.slice(at, quoteAt + 120).search(nextField)
    if (next >= 0 && at + next <= quoteAt) break
    at = after(text, quoteAt, opening)
    if (!given.test(text.slice(Math.max(0, quoteAt - 24), quoteAt))) continue
    quoted.push(quoteAt)
    at = quotedEnd(text, at, text.slice(quoteAt, at))
  }
  return { quoted }
}

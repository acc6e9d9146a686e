import { invalid } from '../core/options.js'
import type { Query } from './datasource.js'

/** A part of a query: text, or a value that must not become text. */
export type Piece = string | { readonly value: unknown }

/** Stands for a value while the text is looked through: no SQL text may hold it. */
const mark = '\0'

/**
 * What in SQL is not plain: string literals (with the type before them, if any), literals of bits and escapes that take no
 * value, quoted identifiers, comments, and dollar-quoted text.
 */
const special = new RegExp(
  [
    /(?<coded>(?<![\w$])(?:[bnx]|u&)'[^']*')/,
    /(?<type>\b(?:date|timestamptz|timetz|interval|time(?:stamp)?(?:\s+with(?:out)?\s+time\s+zone)?|uuid|inet|cidr|jsonb?|numeric|decimal|bigint|int[248]|float[48])\s+)?(?<literal>(?<![\w$])e'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*')/,
    /(?<comment>--[^\n]*|\/\*[\s\S]*?\*\/)/,
    /(?<identifier>"(?:[^"]|"")*")/,
    /(?<dollar>(?<![\w$])\$(?<tag>[a-z_]\w*)?\$[\s\S]*?\$\k<tag>\$)/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gi',
)

/** Puts a placeholder in the place of every value: in plain text, for a whole literal, or joined to a literal's rest. */
export function bindValues(pieces: readonly Piece[], placeholder: (n: number) => string): Query {
  const template = pieces.map((piece) => (typeof piece === 'string' ? piece : mark)).join('')
  const waiting = pieces.filter((piece) => typeof piece !== 'string').map(({ value }) => value)
  if (waiting.length === 0) return { text: template, values: [] }
  const values: unknown[] = []
  const bind = () => placeholder(values.push(waiting.shift()))
  const bindPlain = (plain: string) => plain.replaceAll(mark, bind)
  let text = ''
  let end = 0
  for (const match of template.matchAll(special)) {
    text += bindPlain(template.slice(end, match.index))
    text += match[0].includes(mark) ? bindSpecial(match, bind, () => waiting.shift()) : match[0]
    end = match.index + match[0].length
  }
  return { text: text + bindPlain(template.slice(end)), values }
}

function bindSpecial({ 0: whole, groups = {} }: RegExpMatchArray, bind: () => string, drop: () => void): string {
  const { type, literal, comment } = groups
  if (comment !== undefined) {
    return comment.replaceAll(mark, () => {
      drop()
      return ''
    })
  }
  if (literal === undefined) {
    throw invalid('query', 'a template with values only where SQL takes a value', whole.replaceAll(mark, '{{…}}'))
  }
  const bound = bindLiteral(literal, bind)
  return type === undefined ? bound : `cast(${bound} as ${type.trim()})`
}

/** `'{{a}}'` becomes `$1`, and `'x{{a}}y'` becomes `('x' || $1 || 'y')`. */
function bindLiteral(literal: string, bind: () => string): string {
  const quote = literal.indexOf("'")
  const [first = '', ...rest] = literal.slice(quote + 1, -1).split(mark)
  if (rest.length === 1 && first === '' && rest[0] === '') return bind()
  const quoted = (part: string) => `${literal.slice(0, quote)}'${part}'`
  const joined = rest.map((part) => ` || ${bind()}${part === '' ? '' : ` || ${quoted(part)}`}`)
  return `(${quoted(first)}${joined.join('')})`
}

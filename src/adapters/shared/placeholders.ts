import { type Query, scan } from '../../adapter.js'

/** The parameters of other libraries: `$1`, `:name` and `?`. A cast (`::`) is none. */
const placeholder = /\$\d+|(?<![:\w]):[A-Za-z_]\w*|\?/g

/** What else a message says of a query that the server refuses and that has placeholders beside those of its values. Otherwise an empty text. */
export function placeholderHint({ text, values }: Query): string {
  const found = [...withoutLiterals(text).matchAll(placeholder)].map(([name]) => name)
  const left = found.filter((name) => !(name.startsWith('$') && Number(name.slice(1)) <= values.length))
  const isNumbered = left.length < found.length
  let own = isNumbered ? 0 : values.length
  const [foreign] = left.filter((name) => name !== '?' || own-- <= 0)
  return foreign === undefined
    ? ''
    : ` headgate does not fill \`${foreign}\`: write \`{{params.name}}\` in its place, and give \`params\` to the start.`
}

/** A text with blanks in place of literals, quoted names and comments, which may have any character. */
function withoutLiterals(text: string): string {
  let bare = ''
  let at = 0
  for (const { kind, start, end } of scan(text)) {
    bare += text.slice(at, start) + (kind === 'word' || kind === 'semicolon' ? text.slice(start, end) : ' ')
    at = end
  }
  return bare + text.slice(at)
}

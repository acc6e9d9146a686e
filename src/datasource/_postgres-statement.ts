import { invalid } from '../index.js'

/** What in SQL may hold a semicolon that ends no statement, and where a semicolon or a comment begins. */
const passage = new RegExp(
  [
    /(?<![\w$])e'(?:[^'\\]|\\[\s\S]|'')*'/,
    /'(?:[^']|'')*'/,
    /"(?:[^"]|"")*"/,
    /(?<![\w$])\$([a-z_]\w*)?\$[\s\S]*?\$\1\$/,
    /--[^\n]*/,
    /\/\*/,
    /;/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gi',
)

/** What may follow a statement. */
const blank = /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*$/

/**
 * A statement without the semicolon after it, and what follows that: as it can stand in the `from` of another, where its
 * own last line may be a comment. Throws `invalid_options` unless there is exactly one.
 */
export function bareStatement(text: string): string {
  const end = endOfStatement(text, 0)
  if (blank.test(text.slice(0, end)) || !blank.test(text.slice(end))) throw invalid('query', 'one statement', text)
  return text.slice(0, end)
}

/** Where the next semicolon is that ends a statement; the length of the text when there is none. */
function endOfStatement(text: string, start: number): number {
  passage.lastIndex = start
  for (let match = passage.exec(text); match; match = passage.exec(text)) {
    if (match[0] === ';') return match.index
    if (match[0] === '/*') passage.lastIndex = endOfComment(text, match.index)
  }
  return text.length
}

/** Comments of this kind may stand in one another. */
function endOfComment(text: string, start: number): number {
  const edge = /\/\*|\*\//g
  edge.lastIndex = start
  let depth = 0
  for (let match = edge.exec(text); match; match = edge.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return edge.lastIndex
  }
  return text.length
}

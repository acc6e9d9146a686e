import { invalid, isBlank, scan } from '../../../adapter.js'

/**
 * Returns a statement without its semicolon and what follows, for use in the `from` of another statement. Its own
 * last line may be a comment. Throws `invalid_options` unless there is exactly one statement.
 *
 * A setting of the session decides where a literal with a backslash before a quote ends. A text that is one statement
 * under both values of that setting, but ends at different positions, is refused too.
 */
export function bareStatement(text: string): string {
  const ends = [false, true].map((backslashes) => endOfStatement(text, backslashes))
  const [end, ...others] = ends.filter((end) => typeof end === 'number')
  if (end === undefined) throw invalid('query', ends[0] as string, text)
  if (others.some((other) => other !== end)) {
    throw invalid('query', "one statement in which a literal with `\\'` is written as E'…'", text)
  }
  return text.slice(0, end)
}

/** The end of the only statement of a text, or what was expected instead. */
function endOfStatement(text: string, backslashes: boolean): number | string {
  let at = 0
  let end: number | undefined
  let isFound = false
  for (const { kind, start, end: next, isOpen } of scan(text, { backslashes })) {
    if (isOpen) return 'one statement whose quotes and comments are closed'
    const isStatement = !isBlank(text.slice(at, start)) || (kind !== 'comment' && kind !== 'semicolon')
    if (isStatement && end !== undefined) return 'one statement'
    isFound ||= isStatement
    if (kind === 'semicolon' && end === undefined) {
      if (!isFound) return 'one statement'
      end = start
    }
    at = next
  }
  const hasRest = !isBlank(text.slice(at))
  if (end === undefined ? !isFound && !hasRest : hasRest) return 'one statement'
  return end ?? text.length
}

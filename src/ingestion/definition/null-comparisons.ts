import { JobError } from '../../core/base/index.js'
import type { Piece } from './bind-values.js'

/** Maximum distance between a value and its comparison, in characters. */
const maxReach = 300

/** A comparison right before a value, or before the row that contains it. */
const before = /[<>=]\s*(?:\([^()]*)?$/

/** A comparison right after it. */
const behind = /^\s*(?:::\s*\w+\s*)?(?:,[^()]*)?\)?\s*[<>=]/

/** Throws `checkpoint` where a query compares with a null of the last record, as such a query would read nothing. */
export function checkNulls(pieces: readonly Piece[]): void {
  for (const [index, piece] of pieces.entries()) {
    if (typeof piece === 'string' || piece.value !== null || piece.isItem) continue
    const left = textOf(pieces.slice(Math.max(0, index - 20), index)).slice(-maxReach)
    const right = textOf(pieces.slice(index + 1, index + 20)).slice(0, maxReach)
    if (before.test(left) || behind.test(right)) throw nullFailure()
  }
}

/** Text with values as names, as quotes around them are not literals. */
function textOf(pieces: readonly Piece[]): string {
  return pieces.map((piece) => (typeof piece === 'string' ? piece.replaceAll("'", '') : 'x')).join('')
}

function nullFailure(): JobError {
  return new JobError(
    'checkpoint',
    `The query compares with a value of the last record that is null, or that is not a text, number, boolean or date, so it would read nothing. Replace the value in the query, for example with \`coalesce\`, compare by another column, or read by \`cursor\` with \`nulls\`. Then start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
  )
}

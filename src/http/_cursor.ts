import { executionOrder } from '../index.js'

/**
 * Where a reader of events has come to, as the id that it sends when it comes back: what may have ended since. That is all
 * that begins after `from`, a little before the newest execution that was known, and what lived then and is `older`.
 */
export interface Cursor {
  /** The place in the log: a UUID, or the beginning of one. */
  readonly from: string
  /** The places of those that had begun before, and lived. */
  readonly older: readonly string[]
  /**
   * The place of an execution that the log held then, by which it is seen whether the log still goes back so far; `from`, for
   * any that is older, when the id names none. Nothing when the log was empty.
   */
  readonly witness?: string
}

/** So many are named in an id: with more, it goes back to the oldest that is not. */
const maxNamed = 19

/** The longest id, in characters. */
const maxLength = 800

/** How late word may come of an execution that has begun, in milliseconds. */
const slack = 60_000

const beginning = '00000000-0000'

const separator = '_'

/** What goes before the witness. */
const mark = '~'

/** The id of a reader that was told all there is to tell: of the newest execution, of those that live, and of a witness. */
export function printCursor(newest: string | undefined, live: Iterable<string>, witness?: string): string {
  if (newest === undefined) return beginning
  const from = earlier(newest)
  const older = [...live].filter((order) => order < from).sort()
  return [older[maxNamed] ?? from, ...older.slice(0, maxNamed)].join(separator) + mark + (witness ?? '')
}

/** Reads an id that came back; `undefined` for what is none. */
export function readCursor(text: string): Cursor | undefined {
  if (text.length > maxLength) return undefined
  const [places = '', witness, ...rest] = text.split(mark)
  const [from = '', ...older] = places.split(separator)
  const isOurs = isPlace(from) && older.length <= maxNamed && older.every(isOrder) && rest.length === 0
  if (!isOurs || (witness !== undefined && witness !== '' && !isOrder(witness))) return undefined
  if (from === beginning || witness === '') return { from, older }
  return { from, older, witness: witness ?? from }
}

/** Whether a log holds a witness, or what is older where it names none: by the search for the one that comes next. */
export function searchForWitness(witness: string): { searchAfter: string; isWitness(order: string): boolean } {
  if (isOrder(witness)) return { searchAfter: justAfter(witness), isWitness: (order) => order === witness }
  return { searchAfter: `-${witness}-7000-8000-000000000000`, isWitness: () => true }
}

/** The id that the log is searched after, for the execution at a place to come first. */
export function justAfter(order: string): string {
  const digits = order.slice(-12)
  const next = Math.min(Number.parseInt(digits, 16) + 1, 0xffff_ffff_ffff)
  return `-${order.slice(0, -12)}${next.toString(16).padStart(12, '0')}`
}

/** The beginning of all UUIDs of a time a little before that of one. */
function earlier(order: string): string {
  const time = Number.parseInt(order.slice(0, 8) + order.slice(9, 13), 16)
  const digits = Math.max(0, time - slack)
    .toString(16)
    .padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}`
}

function isPlace(text: string): boolean {
  return /^[\da-f]{8}-[\da-f]{4}$/.test(text) || isOrder(text)
}

function isOrder(text: string): boolean {
  return executionOrder(`-${text}`) === text
}

import { executionOrder } from '../../adapter.js'

/**
 * The position of a reader of events, as the event id that it sends when it reconnects. It covers what may have ended
 * since: everything that began after `from`, a little before the newest known execution, and the executions in
 * `older` that were live then.
 */
export interface ResumeToken {
  /** The position in the log: a UUID, or the beginning of one. */
  readonly from: string
  /** The positions of executions that had begun before and were live. */
  readonly older: readonly string[]
  /**
   * The position of an execution that the log held then, to check that the log still reaches back that far. `from`,
   * for any older one, when the id names none. Undefined when the log was empty.
   */
  readonly witness?: string
}

/** The maximum number of executions in an id. With more, it reaches back to the oldest one that does not fit. */
const maxNamed = 19

/** The longest id, in characters. */
const maxLength = 800

/** How late the start of an execution may be reported, in milliseconds. */
const slack = 60_000

const beginning = '00000000-0000'

const separator = '_'

/** The separator before the witness. */
const mark = '~'

/** The event id of a reader that has all events, from the newest execution, the live ones, and a witness. */
export function printResumeToken(newest: string | undefined, live: Iterable<string>, witness?: string): string {
  if (newest === undefined) return beginning
  const from = earlier(newest)
  const older = [...live].filter((order) => order < from).sort()
  return [older[maxNamed] ?? from, ...older.slice(0, maxNamed)].join(separator) + mark + (witness ?? '')
}

/** Parses an event id; `undefined` for an invalid one. */
export function parseResumeToken(text: string): ResumeToken | undefined {
  if (text.length > maxLength) return undefined
  const [positions = '', witness, ...rest] = text.split(mark)
  const [from = '', ...older] = positions.split(separator)
  const isOurs = isPosition(from) && older.length <= maxNamed && older.every(isOrder) && rest.length === 0
  if (!isOurs || (witness !== undefined && witness !== '' && !isOrder(witness))) return undefined
  if (from === beginning || witness === '') return { from, older }
  return { from, older, witness: witness ?? from }
}

/** The search that shows whether a log holds a witness, or anything older when the id names none. */
export function searchForWitness(witness: string): { searchAfter: string; isWitness(order: string): boolean } {
  if (isOrder(witness)) return { searchAfter: justAfter(witness), isWitness: (order) => order === witness }
  return { searchAfter: `-${witness}-7000-8000-000000000000`, isWitness: () => true }
}

/** The `searchAfter` that returns the execution at a position first. */
export function justAfter(order: string): string {
  const digits = order.slice(-12)
  const next = Math.min(Number.parseInt(digits, 16) + 1, 0xffff_ffff_ffff)
  return `-${order.slice(0, -12)}${next.toString(16).padStart(12, '0')}`
}

/** The common prefix of the UUIDs from a little before the time of a UUID. */
function earlier(order: string): string {
  const time = Number.parseInt(order.slice(0, 8) + order.slice(9, 13), 16)
  const digits = Math.max(0, time - slack)
    .toString(16)
    .padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}`
}

function isPosition(text: string): boolean {
  return /^[\da-f]{8}-[\da-f]{4}$/.test(text) || isOrder(text)
}

function isOrder(text: string): boolean {
  return executionOrder(`-${text}`) === text
}

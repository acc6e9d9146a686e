import type { CursorPosition, RangePosition, ReadCursor, RecordPosition } from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import type { Keyset, OrderedPair } from './keyset.js'
import { damaged } from './stored-position.js'

/** Two values that must be in order, and what the checkpoint must be for that. */
interface Rule extends OrderedPair {
  readonly expected: string
}

/**
 * Throws `checkpoint` when a position lies outside the range that it belongs to, that of the partition or one of a parallel read, or when
 * the ranges are not in order. The server compares the values, in the order of the column. `position` was validated.
 */
export async function checkRanges(
  session: ReadSession,
  keyset: Keyset,
  cursor: ReadCursor,
  position: CursorPosition | undefined,
  { name }: CursorType,
): Promise<void> {
  const rules = position ? rulesOf(position, cursor) : []
  if (rules.length === 0) return
  const { rows } = await session.run(keyset.selectUnordered(rules, name))
  const index = rows[0]?.[0] ?? null
  if (index === null) return
  const { expected } = rules[Number(index) - 1] as Rule
  throw damaged(`Expected ${expected}`)
}

function rulesOf({ after, ranges = [] }: CursorPosition, { range, columns }: ReadCursor): Rule[] {
  const between = (field: string, record: RecordPosition | undefined, from?: string, until?: string): Rule[] => {
    // A position of another cursor has its own message.
    const value = record?.columns[0] === columns[0] ? record?.values[0] : undefined
    if (typeof value !== 'string') return []
    const expected = `\`${field}\` to be in the range that it belongs to`
    const isFrom = from === undefined ? [] : [{ expected, low: from, high: value, mayEqual: true }]
    const isUntil = until === undefined ? [] : [{ expected, low: value, high: until }]
    return [...isFrom, ...isUntil]
  }
  const ends = ranges.flatMap(({ until }) => until ?? [])
  const expected = '`cursor.ranges` to be in the order of the cursor'
  const ofRange = ({ at, until }: RangePosition, index: number) =>
    between(`cursor.ranges[${index}].at`, at, ranges[index - 1]?.until, until)
  return [
    ...ends.slice(1).map((high, index) => ({ expected, low: ends[index] as string, high })),
    ...between('cursor.after', after, range?.from, range?.until),
    ...between('cursor.after', after, undefined, ends[0]),
    ...ranges.flatMap(ofRange),
  ]
}

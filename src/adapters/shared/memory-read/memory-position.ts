import {
  type CursorPosition,
  checkValue,
  JobError,
  type ReadCursor,
  type RecordPosition,
  type Rule,
  rule,
} from '../../../adapter.js'
import { compareKeys } from './cursor-column.js'
import { noKind, type SortedRecords } from './sorted-records.js'

/** The maximum number of ranges in a position. */
const maxRanges = 1024

const anObject: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  expected: 'an object',
}

const aText: Rule = { accepts: (value) => typeof value === 'string', expected: 'the text of a value' }

const rangesRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.length > 1 && value.length <= maxRanges,
  expected: `an array of 2 to ${maxRanges} ranges`,
}

const orderRule: Rule = {
  accepts: (value) =>
    value === undefined || (Array.isArray(value) && value.every((item) => rule.text.accepts(Object(item).type))),
  expected: 'an array of objects with `type`',
}

/**
 * Validates the position of a checkpoint, which is untrusted input: its fields, and that its values lie in their ranges. Throws `checkpoint`
 * for a position that no read with this cursor has returned, with the field and the remedy.
 */
export function positionIn(sorted: SortedRecords, cursor: ReadCursor): CursorPosition | undefined {
  if (cursor.position === undefined) return undefined
  try {
    checkPosition(cursor.position)
  } catch (error) {
    throw damaged((error as JobError).message)
  }
  const position = cursor.position as CursorPosition
  checkOrder(sorted, position)
  if (!isInOrder(sorted, cursor, position)) {
    throw damaged('Expected its values to be in the ranges that they belong to, in the order of the cursor')
  }
  return position
}

function checkPosition(value: unknown): void {
  checkValue('cursor', value, anObject)
  const { after, afterNull, ranges, order } = value as Record<keyof CursorPosition, unknown>
  checkValue('cursor.order', order, orderRule)
  if (after !== undefined) checkRecord('cursor.after', after)
  if (afterNull !== undefined) checkRecord('cursor.afterNull', afterNull, true)
  if (ranges === undefined) {
    if (after === undefined && afterNull === undefined) checkValue('cursor.after', after, anObject)
    return
  }
  checkValue('cursor.ranges', ranges, rangesRule)
  const all = ranges as unknown[]
  for (const [index, range] of all.entries()) checkRange(`cursor.ranges[${index}]`, range, index === all.length - 1)
}

/** Throws when a column now holds values of another kind, which compare in another way. */
function checkOrder(sorted: SortedRecords, { order = [] }: CursorPosition): void {
  for (const [index, { type }] of order.entries()) {
    const { name, kind = noKind } = sorted.columns[index] ?? {}
    if (name === undefined || [kind, type].includes(noKind) || kind === type) continue
    const message = `The cursor column \`${name}\` held a ${type} at the time of the checkpoint, and holds a ${kind} now: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`
    throw new JobError('checkpoint', message)
  }
}

function checkRange(field: string, value: unknown, isLast: boolean): void {
  checkValue(field, value, anObject)
  const { until, at, isRead } = value as Record<string, unknown>
  const absent: Rule = { accepts: (value) => value === undefined, expected: 'absent in the last range' }
  checkValue(`${field}.until`, until, isLast ? absent : aText)
  if (at !== undefined) checkRecord(`${field}.at`, at)
  checkValue(`${field}.isRead`, isRead, isLast ? absent : rule.optional(rule.flag))
}

function checkRecord(field: string, value: unknown, isNull = false): void {
  checkValue(field, value, anObject)
  const { columns, values, ties } = value as Record<keyof RecordPosition, unknown>
  const names: Rule = {
    accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(rule.text.accepts),
    expected: 'an array of names',
  }
  checkValue(`${field}.columns`, columns, names)
  checkValue(`${field}.ties`, ties, rule.oneOf('refuse', 'drain'))
  const { length } = columns as unknown[]
  const areTexts: Rule = {
    accepts: (value) =>
      Array.isArray(value) &&
      value.length === length &&
      value.every((text, index) => (isNull && index === 0 ? text === null : aText.accepts(text))),
    expected: `an array of ${length} texts, as \`columns\`${isNull ? ', of which the first is null' : ''}`,
  }
  checkValue(`${field}.values`, values, areTexts)
}

/** Whether each value is in its range. A position of another cursor has its own message. */
function isInOrder(sorted: SortedRecords, cursor: ReadCursor, { after, ranges = [] }: CursorPosition): boolean {
  const [first] = cursor.columns
  const compare = (one: string, other: string) => compareKeys(sorted.keysOf([one]), sorted.keysOf([other]))
  const isWithin = (record: RecordPosition | undefined, from: string | undefined, until: string | undefined) => {
    if (record === undefined || record.columns[0] !== first) return true
    const value = record.values[0] as string
    return (from === undefined || compare(value, from) >= 0) && (until === undefined || compare(value, until) < 0)
  }
  const ends = ranges.flatMap(({ until }) => until ?? [])
  return (
    ends.every((end, index) => index === 0 || compare(ends[index - 1] as string, end) < 0) &&
    isWithin(after, cursor.range?.from, cursor.range?.until) &&
    isWithin(after, undefined, ends[0]) &&
    ranges.every(({ at, until }, index) => isWithin(at, ends[index - 1], until))
  )
}

function damaged(message: string): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint was damaged. ${message}: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
  )
}

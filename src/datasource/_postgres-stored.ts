import { checkValue, JobError, type ReadCursor, type Rule, rule } from '../index.js'
import type { CursorType } from './_postgres-cursor-types.js'
import type { Place, Position } from './_postgres-position.js'

/** The most ranges that a position has: readers, and ranges of each. */
const maxRanges = 1024

/** The most columns that a place names. */
const maxColumns = 1664

/** The longest text of a value that a place keeps, in UTF-16 code units. */
const maxLength = 1 << 16

const anObject: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  expected: 'an object',
}

const columnsRule: Rule = {
  accepts: (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= maxColumns && value.every(rule.text.accepts),
  expected: `an array of 1 to ${maxColumns} names`,
}

const rangesRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.length > 1 && value.length <= maxRanges,
  expected: `an array of 2 to ${maxRanges} ranges`,
}

/** How the text of a value looks, by the type of its column. What is no number, time or the like is any text. */
const numberText = /^(?:-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|NaN|-?Infinity)$/i
const timeText = /^(?:[+\d][\dT:. +-]*Z?(?: BC)?|-?infinity)$/
const texts: Readonly<Record<string, RegExp>> = {
  ...{ int2: /^-?\d+$/, int4: /^-?\d+$/, int8: /^-?\d+$/, oid: /^\d+$/ },
  ...{ numeric: numberText, float4: numberText, float8: numberText },
  ...{ date: timeText, time: timeText, timestamp: timeText, timestamptz: timeText },
  ...{ uuid: /^[\da-f-]{36}$/i, boolean: /^(?:t|f|true|false)$/, bytea: /^\\x[\da-f]*$/ },
}

/** A column of the cursor. */
interface CursorColumn {
  readonly name: string
  readonly type: CursorType
}

/**
 * The position of a checkpoint, which is foreign input: others may write where it is stored. Throws `checkpoint` for one that no read
 * with this cursor has given, naming the field and the way out.
 */
export function positionOf(
  { position, range, columns: names }: ReadCursor,
  types: readonly CursorType[],
): Position | undefined {
  const columns = names.map((name, index) => ({ name, type: types[index] as CursorType }))
  try {
    if (range?.from !== undefined) checkValue('range.from', range.from, textRule(types[0]))
    if (range?.until !== undefined) checkValue('range.until', range.until, textRule(types[0]))
    if (position !== undefined) checkPosition(position, columns)
  } catch (error) {
    throw damaged((error as JobError).message)
  }
  return position as Position | undefined
}

/** The snapshot of a checkpoint, as SQL. */
export function snapshotLiteral(snapshot: string): string {
  if (/^[\dA-F]{1,16}(?:-[\dA-F]{1,16}){1,3}$/i.test(snapshot)) return `'${snapshot}'`
  throw damaged('Expected `snapshot` to be the name of a snapshot')
}

/** What is wrong with a checkpoint, and what helps. */
export function damaged(message: string): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint was damaged. ${message}: run the job once with \`resume: 'restart'\`, or give it another id.`,
  )
}

function checkPosition(value: unknown, cursor: readonly CursorColumn[]): void {
  checkValue('cursor', value, anObject)
  const { after, afterNull, ranges } = value as Record<keyof Position, unknown>
  if (after !== undefined) checkPlace('cursor.after', after, cursor, false)
  if (afterNull !== undefined) checkPlace('cursor.afterNull', afterNull, cursor, true)
  if (ranges === undefined) return
  checkValue('cursor.ranges', ranges, rangesRule)
  for (const [index, range] of (ranges as unknown[]).entries()) {
    checkRange(`cursor.ranges[${index}]`, range, cursor, index === (ranges as unknown[]).length - 1)
  }
}

function checkRange(field: string, value: unknown, cursor: readonly CursorColumn[], isLast: boolean): void {
  checkValue(field, value, anObject)
  const { until, at, isRead } = value as Record<string, unknown>
  const noEnd: Rule = { accepts: (value) => value === undefined, expected: 'absent in the last range' }
  checkValue(`${field}.until`, until, isLast ? noEnd : textRule(cursor[0]?.type))
  if (at !== undefined) checkPlace(`${field}.at`, at, cursor, false)
  checkValue(`${field}.isRead`, isRead, isLast ? noEnd : rule.optional(rule.flag))
}

function checkPlace(field: string, value: unknown, cursor: readonly CursorColumn[], isNull: boolean): void {
  checkValue(field, value, anObject)
  const { columns, values, ties } = value as Record<keyof Place, unknown>
  checkValue(`${field}.columns`, columns, columnsRule)
  checkValue(`${field}.ties`, ties, rule.oneOf('refuse', 'drain') satisfies Rule)
  const { length } = columns as unknown[]
  const expected = `an array of ${length} values, as \`columns\``
  checkValue(`${field}.values`, values, {
    accepts: (value) => Array.isArray(value) && value.length === length,
    expected,
  })
  for (const [index, text] of (values as unknown[]).entries()) {
    // A place of another cursor has a message of its own.
    const type = (columns as string[])[index] === cursor[index]?.name ? cursor[index]?.type : undefined
    const aNull: Rule = { accepts: (value) => value === null, expected: 'null' }
    checkValue(`${field}.values[${index}]`, text, isNull && index === 0 ? aNull : textRule(type))
  }
}

function textRule(type: CursorType | undefined): Rule {
  const pattern = texts[type?.name ?? '']
  return {
    accepts: (value) =>
      typeof value === 'string' &&
      value.length <= maxLength &&
      !value.includes('\0') &&
      (pattern === undefined || pattern.test(value)),
    expected: `the text of a value${type ? ` of the type ${type.name}` : ''}`,
  }
}

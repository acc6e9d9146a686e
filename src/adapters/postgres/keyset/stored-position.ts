import {
  type ColumnOrder,
  type CursorPosition,
  checkSameCursor,
  checkValue,
  invalid,
  JobError,
  type ReadCursor,
  type RecordPosition,
  type Rule,
  rule,
} from '../../../adapter.js'
import { isDataError } from '../client/index.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'

/** The maximum number of ranges in a position. */
const maxRanges = 1024

/** The maximum number of columns in a record position. */
const maxColumns = 1664

/** The longest text of a value in a record position, in UTF-16 code units. */
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

const orderRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.length <= maxColumns,
  expected: `an array of up to ${maxColumns} columns`,
}

const columnRules: Record<Exclude<keyof ColumnOrder, 'origin'>, Rule> = {
  type: rule.text,
  digits: rule.optional({ accepts: Number.isSafeInteger, expected: 'a whole number' }),
  collation: rule.optional(rule.text),
  source: rule.optional(rule.text),
}

const rangesRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.length > 1 && value.length <= maxRanges,
  expected: `an array of 2 to ${maxRanges} ranges`,
}

/** The pattern of valid text per column type. Types that are neither numbers, times nor listed here accept any text. */
const numberText = /^(?:-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|NaN|-?Infinity)$/i
const timeText = /^(?:[+\d][\dT:. +-]*Z?(?: BC)?|-?infinity)$/
const texts: Readonly<Record<string, RegExp>> = {
  ...{ int2: /^-?\d+$/, int4: /^-?\d+$/, int8: /^-?\d+$/, oid: /^\d+$/ },
  ...{ numeric: numberText, float4: numberText, float8: numberText },
  ...{ date: timeText, time: timeText, timestamp: timeText, timestamptz: timeText },
  ...{ uuid: /^[\da-f-]{36}$/i, boolean: /^(?:t|f|true|false)$/, bytea: /^\\x[\da-f]*$/ },
}

/** A cursor column. */
interface CursorColumn {
  readonly name: string
  readonly type: CursorType
}

/**
 * Validates the position of a checkpoint, which is untrusted input. Throws `checkpoint` for a position that no read
 * with this cursor has returned, with the field and the remedy.
 */
export function positionOf(
  { position, isStart = false, range, columns: names }: ReadCursor,
  types: readonly CursorType[],
): CursorPosition | undefined {
  const columns = names.map((name, index) => ({ name, type: types[index] as CursorType }))
  try {
    if (range?.from !== undefined) checkValue('range.from', range.from, textRule(types[0]))
    if (range?.until !== undefined) checkValue('range.until', range.until, textRule(types[0]))
    if (position !== undefined) checkPosition(position, columns, isStart)
  } catch (error) {
    throw damaged((error as JobError).message)
  }
  return position as CursorPosition | undefined
}

/**
 * Throws `datasource` when a checkpoint was made with other cursor columns, whose types and values say nothing about those of now. Damage
 * is left to `positionOf`.
 */
export function checkColumns({ position, columns }: Pick<ReadCursor, 'position' | 'columns'>): void {
  const { after, afterNull, ranges } = Object(position) as Record<keyof CursorPosition, unknown>
  const inRanges = Array.isArray(ranges) ? ranges.map((range) => Object(range).at) : []
  for (const record of [after, afterNull, ...inRanges]) {
    const { columns: stored } = Object(record) as { columns?: unknown }
    if (columnsRule.accepts(stored)) checkSameCursor(stored as string[], columns)
  }
}

/**
 * The cursor columns at the time of the checkpoint. Earlier versions did not store them. Throws as `positionOf` does.
 */
export function orderIn({ position }: ReadCursor): readonly ColumnOrder[] {
  const { order = [] } = Object(position) as { order?: unknown }
  try {
    checkValue('cursor.order', order, orderRule)
    for (const [index, column] of (order as unknown[]).entries()) {
      checkValue(`cursor.order[${index}]`, column, anObject)
      for (const [name, rule] of Object.entries(columnRules)) {
        checkValue(`cursor.order[${index}].${name}`, (column as Record<string, unknown>)[name], rule)
      }
    }
  } catch (error) {
    throw damaged((error as JobError).message)
  }
  return order as readonly ColumnOrder[]
}

/** The snapshot of a checkpoint as a SQL literal. */
export function snapshotLiteral(snapshot: string): string {
  if (/^[\dA-F]{1,16}(?:-[\dA-F]{1,16}){1,3}$/i.test(snapshot)) return `'${snapshot}'`
  throw damaged('Expected `snapshot` to be the name of a snapshot')
}

/** The error for a damaged checkpoint, with the remedy. */
export function damaged(message: string, options?: ErrorOptions): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint was damaged. ${message}: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
    options,
  )
}

/**
 * Throws `checkpoint` when the server rejects a value of a position or range for its column, for example as out of
 * range.
 */
export async function checkValues(
  session: ReadSession,
  { position, range, columns }: ReadCursor,
  types: readonly CursorType[],
): Promise<void> {
  const { after, afterNull, ranges = [] } = (position ?? {}) as CursorPosition
  const positions = [after, afterNull, ...ranges.map(({ at }) => at)].filter((record) => record !== undefined)
  const ends = [range?.from, range?.until, ...ranges.map(({ until }) => until)].filter((end) => end !== undefined)
  const values = types.map((_, index) => [
    ...(index === 0 ? ends : []),
    ...positions
      .filter((record) => record.columns[index] === columns[index])
      .flatMap((record) => record.values[index] ?? []),
  ])
  if (values.every(({ length }) => length === 0)) return
  const counts = types.map(({ name }, index) => `(select count(v::${name}) from unnest($${index + 1}::text[]) v)`)
  try {
    await session.run({ text: `select ${counts.join(', ')}`, values })
  } catch (cause) {
    throw isDataError(cause) ? damaged('Expected its values to be values of the cursor columns', { cause }) : cause
  }
}

function checkPosition(value: unknown, cursor: readonly CursorColumn[], isStart: boolean): void {
  checkValue('cursor', value, anObject)
  const { after, afterNull, ranges } = value as Record<keyof CursorPosition, unknown>
  if (after !== undefined) checkRecordPosition('cursor.after', after, cursor, false)
  if (afterNull !== undefined) checkRecordPosition('cursor.afterNull', afterNull, cursor, true)
  if (ranges === undefined) {
    // Only a partition of which nothing was read has no position.
    if (!isStart && after === undefined && afterNull === undefined)
      throw invalid('cursor.after', anObject.expected, after)
    return
  }
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
  if (at !== undefined) checkRecordPosition(`${field}.at`, at, cursor, false)
  checkValue(`${field}.isRead`, isRead, isLast ? noEnd : rule.optional(rule.flag))
}

function checkRecordPosition(field: string, value: unknown, cursor: readonly CursorColumn[], isNull: boolean): void {
  checkValue(field, value, anObject)
  const { columns, values, ties } = value as Record<keyof RecordPosition, unknown>
  checkValue(`${field}.columns`, columns, columnsRule)
  checkValue(`${field}.ties`, ties, rule.oneOf('refuse', 'drain') satisfies Rule)
  const { length } = columns as unknown[]
  const expected = `an array of ${length} values, as \`columns\``
  checkValue(`${field}.values`, values, {
    accepts: (value) => Array.isArray(value) && value.length === length,
    expected,
  })
  for (const [index, text] of (values as unknown[]).entries()) {
    // A position of another cursor has its own message.
    const type = (columns as string[])[index] === cursor[index]?.name ? cursor[index]?.type : undefined
    const aNull: Rule = { accepts: (value) => value === null, expected: 'null' }
    checkValue(`${field}.values[${index}]`, text, isNull && index === 0 ? aNull : textRule(type))
  }
}

/** The rule of the text of a value of a column. */
export function textRule(type: CursorType | undefined): Rule {
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

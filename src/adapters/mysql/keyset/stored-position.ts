import {
  type ColumnOrder,
  type CursorPosition,
  checkValue,
  invalid,
  JobError,
  type ReadCursor,
  type RecordPosition,
  type Rule,
  rule,
} from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import { damaged } from './errors.js'

/** The longest text of a value in a position, in UTF-16 code units. */
const maxLength = 1 << 16

const anObject: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  expected: 'an object',
}
const names: Rule = {
  accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(rule.text.accepts),
  expected: 'an array of names',
}
const absent: Rule = { accepts: (value) => value === undefined, expected: 'absent' }

/** A value of a cursor column that a position or a range holds. */
export interface HeldValue {
  readonly field: string
  /** The number of the column in the cursor. */
  readonly index: number
  readonly value: string
}

/** The position to resume from, and the range, validated. Throws `checkpoint` for one that no read with this cursor has returned. */
export function positionOf(cursor: ReadCursor, types: readonly CursorType[]): CursorPosition | undefined {
  const { position, isStart = false, range } = cursor
  try {
    if (range?.from !== undefined) checkValue('range.from', range.from, boundRule(types[0]))
    if (range?.until !== undefined) checkValue('range.until', range.until, boundRule(types[0]))
    if (position === undefined) return undefined
    checkValue('cursor', position, anObject)
    const { after, afterNull, ranges } = position as Record<keyof CursorPosition, unknown>
    checkValue('cursor.ranges', ranges, absent)
    // Only a partition of which nothing was read has no position.
    if (!isStart && after === undefined && afterNull === undefined) checkValue('cursor.after', after, anObject)
    return {
      ...(position as CursorPosition),
      ...(after !== undefined && { after: recordOf('cursor.after', after, cursor, types, false) }),
      ...(afterNull !== undefined && { afterNull: recordOf('cursor.afterNull', afterNull, cursor, types, true) }),
    }
  } catch (error) {
    throw damaged((error as JobError).message)
  }
}

/** The position of a record, validated, with its values as the server writes them. */
function recordOf(
  field: string,
  value: unknown,
  { columns: current }: ReadCursor,
  types: readonly CursorType[],
  isNull: boolean,
): RecordPosition {
  checkValue(field, value, anObject)
  const { columns, values, ties } = value as Record<'columns' | 'values' | 'ties', unknown>
  checkValue(`${field}.columns`, columns, names)
  checkValue(`${field}.ties`, ties, rule.oneOf('refuse', 'drain') satisfies Rule)
  const { length } = columns as unknown[]
  checkValue(`${field}.values`, values, {
    accepts: (given) => Array.isArray(given) && given.length === length,
    expected: `an array of ${length} values, as \`columns\``,
  })
  const raw = (values as unknown[]).map((text, index) => {
    // A position of another cursor has its own message.
    const type = (columns as string[])[index] === current[index] ? types[index] : undefined
    const aNull: Rule = { accepts: (given) => given === null, expected: 'null' }
    checkValue(`${field}.values[${index}]`, text, isNull && index === 0 ? aNull : textRule(type))
    return text === null ? null : (type?.rawFrom?.(text as string) ?? text)
  })
  return { ...(value as RecordPosition), values: raw }
}

/** The rule of the text of a value of a column. */
export function textRule(type: CursorType | undefined): Rule {
  const { accepts, expected } = boundRule(type)
  const { holds = () => true, rawFrom = (text: string) => text } = type ?? {}
  return { accepts: (value) => accepts(value) && holds(rawFrom(value as string)), expected }
}

/** The rule of the text of an end of a range. It may lie between the values of the column. */
export function boundRule(type: CursorType | undefined): Rule {
  const { pattern, rawFrom = (text: string) => text } = type ?? {}
  return {
    accepts: (value) =>
      typeof value === 'string' && value.length <= maxLength && (pattern?.test(rawFrom(value)) ?? true),
    expected: `the text of a value${type ? ` of the type ${type.name}` : ''}`,
  }
}

/**
 * Throws `checkpoint` when a position or a range holds a value that does not exist, such as February 30: the server would compare the column
 * with null or with a text, and read no record or each one again. Both were validated.
 */
export async function checkValues(
  session: ReadSession,
  { range, columns }: ReadCursor,
  position: CursorPosition | undefined,
  types: readonly CursorType[],
): Promise<void> {
  const ofRecord = (field: string, record: RecordPosition | undefined): HeldValue[] =>
    (record?.values ?? []).flatMap((value, index) =>
      typeof value === 'string' && record?.columns[index] === columns[index]
        ? [{ field: `${field}.values[${index}]`, index, value }]
        : [],
    )
  const ofRange = (['from', 'until'] as const).flatMap((end) => {
    const value = range?.[end]
    return value === undefined ? [] : [{ field: `range.${end}`, index: 0, value }]
  })
  const held = [
    ...ofRange,
    ...ofRecord('cursor.after', position?.after),
    ...ofRecord('cursor.afterNull', position?.afterNull),
  ]
  const wrong = await inexistentOf(session, held, types)
  if (wrong) throw damaged(invalid(wrong.field, textRule(types[wrong.index]).expected, wrong.value).message)
}

/** The first value that the server does not know as one of its column. `undefined` when it knows all. */
export async function inexistentOf(
  session: ReadSession,
  held: readonly HeldValue[],
  types: readonly CursorType[],
): Promise<HeldValue | undefined> {
  const asked = held.filter(({ index, value }) => {
    const { castOf, zeros } = types[index] ?? {}
    return castOf && !zeros?.test(value)
  })
  if (asked.length === 0) return undefined
  const list = asked.map(({ index }) => `${types[index]?.castOf?.('?')} is null`)
  const values = asked.map(({ index, value }) => types[index]?.boundOf?.(value) ?? value)
  const { rows } = await session.run({ text: `select ${list.join(', ')}`, values })
  return asked[rows[0]?.indexOf('1') ?? -1]
}

/** Throws `datasource` when cursor columns have changed since the checkpoint: records would be read twice or never. */
export function checkOrder({ position, columns }: ReadCursor, now: readonly ColumnOrder[]): void {
  const { order } = Object(position) as { order?: unknown }
  if (!Array.isArray(order)) return
  for (const [index, before] of (order as Partial<ColumnOrder>[]).slice(0, now.length).entries()) {
    const change = changeOf(Object(before), now[index] as ColumnOrder)
    if (change === undefined) continue
    throw new JobError(
      'datasource',
      `The cursor column \`${columns[index]}\` has changed from ${change} since the checkpoint was made, so records would be read twice or never: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
    )
  }
}

function changeOf(before: Partial<ColumnOrder>, now: ColumnOrder): string | undefined {
  if (before.type !== now.type) return `${before.type} to ${now.type}`
  if ((before.digits ?? 0) > (now.digits ?? 0)) return `${before.digits} to ${now.digits} digits after the point`
  const { collation, origin } = before
  if (collation !== undefined && now.collation !== undefined && collation !== now.collation) {
    return `${collation} to ${now.collation}`
  }
  // An earlier version stored none. One that is absent now is an expression.
  if (origin !== undefined && origin !== now.origin) return `${origin} to ${now.origin ?? 'an expression'}`
  return undefined
}

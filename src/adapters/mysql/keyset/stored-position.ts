import {
  type ColumnOrder,
  type CursorPosition,
  checkValue,
  JobError,
  type ReadCursor,
  type Rule,
  rule,
} from '../../../adapter.js'
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

/** The position to resume from, and the range, validated. Throws `checkpoint` for one that no read with this cursor has returned. */
export function positionOf(cursor: ReadCursor, types: readonly CursorType[]): CursorPosition | undefined {
  const { position, isStart = false, range } = cursor
  try {
    if (range?.from !== undefined) checkValue('range.from', range.from, textRule(types[0]))
    if (range?.until !== undefined) checkValue('range.until', range.until, textRule(types[0]))
    if (position === undefined) return undefined
    checkValue('cursor', position, anObject)
    const { after, afterNull, ranges } = position as Record<keyof CursorPosition, unknown>
    checkValue('cursor.ranges', ranges, absent)
    if (after !== undefined) checkRecord('cursor.after', after, cursor, types, false)
    if (afterNull !== undefined) checkRecord('cursor.afterNull', afterNull, cursor, types, true)
    // Only a partition of which nothing was read has no position.
    if (!isStart && after === undefined && afterNull === undefined) checkValue('cursor.after', after, anObject)
    return position as CursorPosition
  } catch (error) {
    throw damaged((error as JobError).message)
  }
}

function checkRecord(
  field: string,
  value: unknown,
  { columns: current }: ReadCursor,
  types: readonly CursorType[],
  isNull: boolean,
): void {
  checkValue(field, value, anObject)
  const { columns, values, ties } = value as Record<'columns' | 'values' | 'ties', unknown>
  checkValue(`${field}.columns`, columns, names)
  checkValue(`${field}.ties`, ties, rule.oneOf('refuse', 'drain') satisfies Rule)
  const { length } = columns as unknown[]
  checkValue(`${field}.values`, values, {
    accepts: (given) => Array.isArray(given) && given.length === length,
    expected: `an array of ${length} values, as \`columns\``,
  })
  for (const [index, text] of (values as unknown[]).entries()) {
    // A position of another cursor has its own message.
    const type = (columns as string[])[index] === current[index] ? types[index] : undefined
    const aNull: Rule = { accepts: (given) => given === null, expected: 'null' }
    checkValue(`${field}.values[${index}]`, text, isNull && index === 0 ? aNull : textRule(type))
  }
}

function textRule(type: CursorType | undefined): Rule {
  return {
    accepts: (value) =>
      typeof value === 'string' &&
      value.length <= maxLength &&
      (type?.pattern === undefined || type.pattern.test(value)),
    expected: `the text of a value${type ? ` of the type ${type.name}` : ''}`,
  }
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
      `The cursor column \`${columns[index]}\` has changed from ${change} since the checkpoint was made, so records would be read twice or never: start the job with \`fullRefresh: true\`, call \`reset\`, or give it another id.`,
    )
  }
}

function changeOf(before: Partial<ColumnOrder>, now: ColumnOrder): string | undefined {
  if (before.type !== now.type) return `${before.type} to ${now.type}`
  if ((before.digits ?? 0) > (now.digits ?? 0)) return `${before.digits} to ${now.digits} digits after the point`
  for (const name of ['collation', 'source'] as const) {
    const [then, current] = [before[name], now[name]]
    if (then !== undefined && current !== undefined && then !== current) return `${then} to ${current}`
  }
  return undefined
}

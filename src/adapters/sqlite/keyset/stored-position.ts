import {
  type ColumnOrder,
  type CursorPosition,
  checkSameCursor,
  checkValue,
  givenPosition,
  invalid,
  JobError,
  type ReadCursor,
  type RecordPosition,
  type Rule,
  rule,
} from '../../../adapter.js'
import type { ResultColumn, StoredValue } from '../client/index.js'
import { type ColumnRule, checkKept } from './column-rules.js'
import { damaged } from './errors.js'
import { type KeptValue, keptRule, storedFrom, valueFrom } from './stored-values.js'

const anObject: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  expected: 'an object',
}
const names: Rule = {
  accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(rule.text.accepts),
  expected: 'an array of names',
}
const absent: Rule = { accepts: (value) => value === undefined, expected: 'absent' }
const aNull: Rule = { accepts: (value) => value === null, expected: 'null' }

/** The position to resume from, with the values that SQLite compares. Throws `checkpoint` for one that no read with this cursor has returned. */
export function positionOf(cursor: ReadCursor, rules: readonly ColumnRule[]): CursorPosition | undefined {
  const { position, isStart = false } = cursor
  if (position === undefined) return undefined
  try {
    checkValue('cursor', position, anObject)
    const { after, afterNull, ranges } = position as Record<keyof CursorPosition, unknown>
    checkValue('cursor.ranges', ranges, absent)
    // Only a partition of which nothing was read has no position.
    if (!isStart && after === undefined && afterNull === undefined) checkValue('cursor.after', after, anObject)
    return {
      ...(position as CursorPosition),
      ...(after !== undefined && { after: recordOf('cursor.after', after, cursor, rules, false) }),
      ...(afterNull !== undefined && { afterNull: recordOf('cursor.afterNull', afterNull, cursor, rules, true) }),
    }
  } catch (error) {
    if (!JobError.isInstance(error) || error.code !== 'invalid_options') throw error
    throw damaged(error.message)
  }
}

/** The position of a record, validated, with its values as SQLite stores them. */
function recordOf(
  field: string,
  value: unknown,
  { columns: current }: ReadCursor,
  rules: readonly ColumnRule[],
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
  checkSameCursor(columns as string[], current)
  const stored = (values as unknown[]).map((kept, index): StoredValue => {
    checkValue(`${field}.values[${index}]`, kept, isNull && index === 0 ? aNull : keptRule)
    const found = kept === null ? null : (storedFrom(kept) as StoredValue)
    checkKept(rules[index] as ColumnRule, found)
    return found
  })
  return { ...(value as RecordPosition), values: stored }
}

/** The cursor columns, as a position keeps them. */
export function ordersOf(rules: readonly ColumnRule[], result: readonly ResultColumn[]): ColumnOrder[] {
  return rules.map(({ name, affinity, collation }) => {
    const { table, column, database } = result.find((it) => it.name === name) as ResultColumn
    const source = table && column ? { source: [database, table, column].join('.') } : {}
    return { type: affinity, ...(collation !== 'BINARY' && { collation }), ...source }
  })
}

/** Throws `datasource` when cursor columns have changed since the checkpoint: records would be read twice or never. */
export function checkOrder({ position, columns }: ReadCursor, now: readonly ColumnOrder[]): void {
  const { order } = Object(position) as { order?: unknown }
  if (!Array.isArray(order)) return
  for (const [index, before] of (order as Partial<ColumnOrder>[]).slice(0, now.length).entries()) {
    const shown = (it: Partial<ColumnOrder>) => [it.source, it.type, it.collation].filter(Boolean).join(', ')
    const [then, current] = [shown(Object(before)), shown(now[index] as ColumnOrder)]
    if (then === current) continue
    throw new JobError(
      'datasource',
      `The cursor column \`${columns[index]}\` has changed from (${then}) to (${current}) since the checkpoint was made, so records would be read twice or never: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
    )
  }
}

/**
 * The position that a reset gives. Texts stand for what they are in a column of texts, and for numbers elsewhere, where they read as such. The
 * columns are those of `rules`, which are absent when the query is not known.
 */
export function positionGiven(
  given: unknown,
  cursor: Pick<ReadCursor, 'columns' | 'ties'>,
  rules: readonly ColumnRule[] | undefined,
): CursorPosition {
  const position = givenPosition(given, cursor)
  const isShort = !('after' in Object(given)) && !('afterNull' in Object(given))
  if (!isShort || !rules) return position
  const { after } = position
  const values = (after?.values ?? []).map((text, index) => {
    const rule = rules[index] as ColumnRule
    const value = valueFrom(String(text), rule)
    try {
      checkKept(rule, value)
    } catch (cause) {
      throw invalid(`checkpoint.cursor.${rule.name}`, 'a value as the column has it', text, { cause: cause as Error })
    }
    return typeof value === 'bigint' ? bigOf(value) : (value as KeptValue)
  })
  return { ...position, after: { ...(after as RecordPosition), values } }
}

function bigOf(value: bigint): KeptValue {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : { integer: String(value) }
}

/** The value of each column, for a position after one record whose values `positionGiven` reads back. `undefined` for another one. */
export function positionShown(
  position: unknown,
  { columns, ties }: Pick<ReadCursor, 'columns' | 'ties'>,
): Record<string, unknown> | undefined {
  const { after, order, ...others } = Object(position) as Partial<CursorPosition>
  const { values, ...record } = Object(after) as Partial<RecordPosition>
  const isOfCursor = record.ties === ties && JSON.stringify(record.columns) === JSON.stringify(columns)
  if (Object.keys(others).length > 0 || !isOfCursor || !Array.isArray(values) || !Array.isArray(order)) return undefined
  const isReadBack = values.every((value, index) => {
    const { type: affinity } = Object(order[index]) as { type?: ColumnRule['affinity'] }
    if (affinity === undefined || (typeof value !== 'string' && typeof value !== 'number')) return false
    const read = valueFrom(String(value), { affinity })
    return typeof value === 'string' ? read === value : Number(read) === value
  })
  return isReadBack && values.length === columns.length
    ? Object.fromEntries(columns.map((name, index) => [name, values[index]]))
    : undefined
}

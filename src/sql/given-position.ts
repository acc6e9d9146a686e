import { invalid, JobError, rule } from '../core/base/index.js'
import type { ReadCursor } from '../ingestion/index.js'
import { type CursorPosition, quotedNames, type RecordPosition } from './cursor-position.js'

/**
 * The position of a read by a cursor that a `reset` gives: one that a checkpoint holds, or an object with the value of each column. Throws
 * `invalid_options` for anything else.
 *
 * @experimental
 */
export function givenPosition(given: unknown, { columns, ties }: Pick<ReadCursor, 'columns' | 'ties'>): CursorPosition {
  const fields = Object(given) as Record<string, unknown>
  const names = Object.keys(fields)
  const isStored = names.some((name) => storedNames.includes(name) && Object(fields[name]) === fields[name])
  if (isStored) {
    for (const name of ['after', 'afterNull'] as const)
      if (fields[name] !== undefined) checkRecord(name, fields[name], columns)
    return given as CursorPosition
  }
  const isComplete = names.length === columns.length && columns.every((name) => Object.hasOwn(fields, name))
  if (!isComplete || Array.isArray(given)) {
    const form = JSON.stringify({ cursor: Object.fromEntries(columns.map((name) => [name, '…'])) })
    const expected = `an object with the values of ${quotedNames(columns)}, as in \`${form}\``
    if (Object(given) !== given || Array.isArray(given)) throw invalid('checkpoint.cursor', expected, given)
    const got = names.length === 0 ? 'none' : quotedNames(names.slice(0, 20))
    throw new JobError('invalid_options', `Expected \`checkpoint.cursor\` to be ${expected}, got ${got}`)
  }
  return { after: { columns, ties, values: columns.map((name) => textOf(name, fields[name])) } }
}

/**
 * The value of each column, for a position after one record: what `givenPosition` turns into that position. `undefined` for another one,
 * such as that of several ranges, of a text whose order depends on its collation, and of a cursor of before.
 *
 * @experimental
 */
export function shownPosition(
  position: unknown,
  { columns, ties }: Pick<ReadCursor, 'columns' | 'ties'>,
): Record<string, unknown> | undefined {
  const { after, order = [], ...others } = Object(position) as Partial<CursorPosition>
  const { values, ...record } = Object(after) as Partial<RecordPosition>
  const isAlone = Object.keys(others).length === 0
  const isOfCursor = record.ties === ties && JSON.stringify(record.columns) === JSON.stringify(columns)
  const hasCollation = !Array.isArray(order) || order.some((column) => Object(column).collation !== undefined)
  if (!isAlone || !isOfCursor || hasCollation || !Array.isArray(values)) return undefined
  const isText = values.length === columns.length && values.every((value) => typeof value === 'string')
  return isText ? Object.fromEntries(columns.map((name, n) => [name, values[n]])) : undefined
}

const storedNames = ['after', 'afterNull', 'ranges']

function checkRecord(name: string, value: unknown, columns: readonly string[]): void {
  const { columns: given, values } = Object(value) as { columns?: unknown; values?: unknown }
  const isOf = Array.isArray(given) && given.length > 0 && given.every((column, n) => column === columns[n])
  if (!isOf)
    throw invalid(
      `checkpoint.cursor.${name}.columns`,
      rule.oneOf(...columns).expected.replace('one of', 'the columns'),
      given,
    )
  if (Array.isArray(values) && values.length === given.length) return
  throw invalid(`checkpoint.cursor.${name}.values`, `an array of ${given.length} values, as \`columns\``, values)
}

function textOf(name: string, value: unknown): string {
  const isText =
    typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && isExact(value))
  if (isText) return String(value)
  throw invalid(`checkpoint.cursor.${name}`, 'the text of a value, or a number that JSON keeps', value)
}

function isExact(value: number): boolean {
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))
}

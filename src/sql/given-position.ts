import { invalid, rule } from '../core/base/index.js'
import type { ReadCursor } from '../ingestion/index.js'
import type { CursorPosition } from './cursor-position.js'

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
    const shown = columns.map((name) => `\`${name}\``).join(', ')
    throw invalid('checkpoint.cursor', `an object with the values of ${shown}`, given)
  }
  return { after: { columns, ties, values: columns.map((name) => textOf(name, fields[name])) } }
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

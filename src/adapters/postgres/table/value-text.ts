import { JobError } from '../../../adapter.js'
import { isOpaque, isWrapper, maxMembers, NdjsonEncoder, nameOf, tooLargeError } from '../../shared/index.js'
import type { ColumnKind } from './table.js'

/** Converts a JavaScript value to the text that Postgres reads for a column of that kind. `null` stays null. */
export function textOf(value: unknown, kind: ColumnKind): string | null {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'object':
      return value === null ? null : textOfObject(value, kind)
    case 'undefined':
      return null
    default:
      throw new JobError('target', `Expected a value that Postgres can hold, got a ${typeof value}.`)
  }
}

function textOfObject(value: object, kind: ColumnKind): string | null {
  if (kind.isJson) return jsonOf(value)
  if (value instanceof Uint8Array) return hexOf(value)
  if (value instanceof Date) return textOfDate(value, kind)
  const shown = shownBy(value)
  if (typeof shown !== 'object') return textOf(shown, kind)
  if (kind.element && Array.isArray(value)) return textOfArray(value, kind.element)
  if (kind.takesJson) return jsonOf(value)
  throw new JobError(
    'target',
    `Expected a value that Postgres reads as \`${kind.sqlType}\`, got ${nameOf(value)}: give its text.`,
  )
}

/**
 * The value that an object converts to: by `toPostgres`, which node-postgres calls too, or by `toJSON`, as decimals
 * and times have.
 */
function shownBy(value: object): unknown {
  const { toPostgres, toJSON } = value as Partial<Record<'toPostgres' | 'toJSON', unknown>>
  if (typeof toPostgres === 'function') return toPostgres.call(value, (item: unknown) => item)
  if (typeof toJSON === 'function') return toJSON.call(value, '')
  return isWrapper(value) ? value.valueOf() : value
}

const encoder = new NdjsonEncoder('string')

/**
 * The same JSON as in files. `JSON.stringify` takes two thirds of the time but fails on objects nested thousands
 * deep.
 */
function jsonOf(value: object): string {
  const json = stringify(value) ?? encoder.json(value)
  if (json === undefined) throw new JobError('target', 'Expected a value that JSON can hold, got one that JSON omits.')
  return json
}

function stringify(value: object): string | undefined {
  try {
    return JSON.stringify(value, shownInJson)
  } catch (error) {
    // Another error may hide that the stack is full: the encoder needs none, and throws what remains.
    if (JobError.isInstance(error)) throw error
    return undefined
  }
}

/** Writes what JSON lacks as text: bytes as hexadecimal digits, big integers, `NaN`, infinities and invalid dates. */
function shownInJson(this: Record<string, unknown>, key: string, shown: unknown): unknown {
  const own = this[key]
  if (own instanceof Uint8Array) return hexOf(own)
  if (own instanceof Date && shown === null) return String(own)
  if (typeof shown === 'number') return Number.isFinite(shown) ? shown : String(shown)
  if (typeof shown === 'object' && shown !== null && isOpaque(shown))
    throw new JobError('target', `Expected a value that JSON can hold, got ${nameOf(shown)}.`)
  return typeof shown === 'bigint' ? String(shown) : shown
}

function hexOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return `\\x${Buffer.from(buffer, byteOffset, byteLength).toString('hex')}`
}

/** ISO 8601. For a date column, years before 1 and after 9999 are written in the format of Postgres. */
function textOfDate(date: Date, { isDate }: ColumnKind): string {
  if (Number.isNaN(date.getTime())) throw new JobError('target', 'Expected a date, got one that is invalid.')
  const iso = date.toISOString()
  if (!isDate) return iso
  const [, year = '', rest = ''] = /^([+-]?\d+)(.*)$/.exec(iso) ?? []
  if (Number(year) > 0) return `${year.replace('+', '')}${rest}`
  return `${String(1 - Number(year)).padStart(4, '0')}${rest} BC`
}

/** An element of JSON, or of a domain over an array, may be an array itself and is no dimension. */
function textOfArray(items: readonly unknown[], element: ColumnKind): string {
  // A sparse array may have four billion elements.
  if (items.length > maxMembers) throw tooLargeError(`larger than ${maxMembers} members`)
  const texts = Array.from({ length: items.length }, (_, index) => {
    const item = items[index]
    if (Array.isArray(item) && !element.isJson && !element.element) return textOfArray(item, element)
    const text = textOf(item, element)
    return text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`
  })
  return `{${texts.join(element.delimiter)}}`
}

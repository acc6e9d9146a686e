import { constants } from 'node:buffer'
import { JobError } from '../../../adapter.js'
import {
  invalidDate,
  isOpaque,
  isWrapper,
  maxMembers,
  memberCheck,
  NdjsonEncoder,
  nameOf,
  notJson,
  tooLargeError,
} from '../../shared/index.js'
import type { ColumnKind } from './column-kind.js'

/**
 * Converts a JavaScript value to the text that Postgres reads for a column of that kind. `null` stays null. Throws `target` for a value that
 * the column would change.
 */
export function textOf(value: unknown, kind: ColumnKind): string | null {
  const text = plainTextOf(value, kind)
  // The elements of an array were checked.
  if (kind.check && text !== null && !(kind.element && Array.isArray(value))) {
    kind.check(text, typeof value === 'number')
  }
  return text
}

function plainTextOf(value: unknown, kind: ColumnKind): string | null {
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
      throw new JobError('target', `Expected a value that Postgres can hold, got ${nameOf(value)}.`)
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
    return JSON.stringify(value, jsonReplacer(value))
  } catch (error) {
    // Another error may hide that the stack is full: the encoder needs none, and throws what remains.
    if (JobError.isInstance(error)) throw error
    return undefined
  }
}

/** Counts the members: an object that is shared a few times on each of many levels has more than can ever be written. */
function jsonReplacer(root: object): typeof shownInJson {
  const check = memberCheck(root)
  let members = 0
  return function (key, shown) {
    check(++members)
    return shownInJson.call(this, key, shown)
  }
}

/** Writes what JSON lacks as text: bytes as hexadecimal digits, big integers, `NaN`, and infinities. */
function shownInJson(this: Record<string, unknown>, key: string, shown: unknown): unknown {
  const own = this[key]
  if (own instanceof Uint8Array) return hexOf(own)
  if (own instanceof Date && shown === null) throw invalidDate()
  if (typeof shown === 'function' || typeof shown === 'symbol') throw notJson(shown)
  if (typeof shown === 'number') return Number.isFinite(shown) ? shown : String(shown)
  if (typeof shown === 'object' && shown !== null && isOpaque(shown)) throw notJson(shown)
  return typeof shown === 'bigint' ? String(shown) : shown
}

function hexOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return `\\x${Buffer.from(buffer, byteOffset, byteLength).toString('hex')}`
}

/** ISO 8601. For a date column, years before 1 and after 9999 are written in the format of Postgres. */
function textOfDate(date: Date, { isDate }: ColumnKind): string {
  if (Number.isNaN(date.getTime())) throw invalidDate()
  const iso = date.toISOString()
  if (!isDate) return iso
  const [, year = '', rest = ''] = /^([+-]?\d+)(.*)$/.exec(iso) ?? []
  if (Number(year) > 0) return `${year.replace('+', '')}${rest}`
  return `${String(1 - Number(year)).padStart(4, '0')}${rest} BC`
}

/** The number of dimensions that an array has at most in Postgres. */
const maxDimensions = 6

/** What an array has at most, all of its dimensions together. */
interface ArrayBudget {
  members: number
  length: number
  /** The length of each inner dimension that was met. */
  readonly shape: number[]
}

/** An element of JSON, or of a domain over an array, may be an array itself and is no dimension. */
function textOfArray(
  items: readonly unknown[],
  element: ColumnKind,
  left: ArrayBudget = { members: maxMembers, length: constants.MAX_STRING_LENGTH, shape: [] },
  dimension = 1,
): string {
  if (dimension > maxDimensions)
    throw new JobError('target', `Expected an array of up to ${maxDimensions} dimensions, got one of more.`)
  // A sparse array may have four billion elements, and one array may be shared by all elements of another.
  left.members -= items.length
  const inner =
    left.members < 0 ? 0 : items.reduce<number>((sum, item) => sum + (Array.isArray(item) ? item.length : 0), 0)
  if (left.members < inner) throw tooLargeError(`larger than ${maxMembers} members`)
  const isNested = (item: unknown): item is unknown[] => Array.isArray(item) && !element.isJson && !element.element
  if (items.some(isNested)) checkShape(items, isNested, left.shape, dimension)
  const texts = Array.from({ length: items.length }, (_, index) => {
    const item = items[index]
    if (isNested(item)) return textOfArray(item, element, left, dimension + 1)
    const text = textOf(item, element)
    const escaped = text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`
    left.length -= escaped.length + 1
    if (left.length < 0) throw tooLargeError(`longer than ${constants.MAX_STRING_LENGTH} characters`)
    return escaped
  })
  return `{${texts.join(element.delimiter)}}`
}

/** Postgres refuses an array whose inner arrays differ in length, and does not say where. */
function checkShape(
  items: readonly unknown[],
  isNested: (item: unknown) => item is unknown[],
  shape: number[],
  dimension: number,
): void {
  for (const item of items) {
    if (!isNested(item)) {
      const message = `Expected an array whose elements in dimension ${dimension} are all arrays, got an array and a value.`
      throw new JobError('target', message)
    }
    shape[dimension] ??= item.length
    if (item.length === shape[dimension]) continue
    const lengths = `${shape[dimension]} and ${item.length}`
    throw new JobError(
      'target',
      `Expected an array whose inner arrays have the same length, got the lengths ${lengths}.`,
    )
  }
}

import { type ColumnType, JobError } from '../../../adapter.js'
import { invalidDate, isOpaque, isWrapper, NdjsonEncoder, nameOf } from '../../shared/index.js'
import type { StoredValue } from '../client/index.js'
import { numberOf } from '../read/index.js'
import type { ColumnKind } from './column-kind.js'

/** A number as other systems write it, without zeros before it. */
const plainNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const wholeNumber = /^-?(?:0|[1-9]\d*)(?:\.0+)?$/
const infinity = /^[+-]?Infinity$/

/** The types of columns whose raw texts are numbers. */
const numberTypes: ReadonlySet<ColumnType> = new Set(['integer', 'bigint', 'decimal', 'float'])

const [lowest, highest] = [-(2n ** 63n), 2n ** 63n - 1n]

/**
 * The value that a column of that kind stores as it is. Throws `target` for one that SQLite would change: drop digits of, turn into another
 * number, or into null. `type` is that of the column of the records.
 */
export function storedValue(value: unknown, kind: ColumnKind, type: ColumnType): StoredValue {
  switch (typeof value) {
    case 'string':
      return storedText(value, kind, type)
    case 'number':
      return storedNumber(value, kind)
    case 'bigint':
      return storedInteger(value, kind)
    case 'boolean':
      return kind === 'text' ? String(value) : value ? 1n : 0n
    case 'object':
      return value === null ? null : storedObject(value, kind)
    case 'undefined':
      return null
    default:
      throw new JobError('target', `Expected a value that SQLite can hold, got ${nameOf(value)}.`)
  }
}

function storedNumber(value: number, kind: ColumnKind): StoredValue {
  if (Number.isNaN(value)) throw new JobError('target', 'Expected a number, got NaN, which SQLite would store as null.')
  if (kind === 'text') return Object.is(value, -0) ? '-0' : String(value)
  return kind === 'real' ? value : (numberOf(value) as StoredValue)
}

function storedInteger(value: bigint, kind: ColumnKind): StoredValue {
  if (kind === 'text') return String(value)
  if (value < lowest || value > highest)
    throw new JobError('target', 'Expected an integer of up to 64 bits, got a larger one.')
  if (kind !== 'real') return value
  const number = Number(value)
  if (BigInt(number) !== value) throw lossy('an integer with more digits than a floating point number holds')
  return number
}

function storedText(text: string, kind: ColumnKind, type: ColumnType): StoredValue {
  if (!text.isWellFormed()) throw new JobError('target', 'Expected text, got text with half of a surrogate pair.')
  if (kind === 'text') return text
  if (kind === 'any') return numberTypes.has(type) ? exactNumber(text) : text
  if (kind === 'loose') return looseText(text)
  if (wholeNumber.test(text)) return storedInteger(BigInt(text.split('.')[0] as string), kind)
  if (infinity.test(text)) return Number(text)
  const number = plainNumber.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(number)) throw new JobError('target', 'Expected a number, got another text.')
  if (digitsOf(text) !== digitsOf(String(number)))
    throw lossy('a number with more digits than a floating point number holds')
  return number
}

/** The number of a text where it is exact. A column that stores everything keeps the text of others. */
function exactNumber(text: string): StoredValue {
  if (wholeNumber.test(text)) {
    const value = BigInt(text.split('.')[0] as string)
    return value < lowest || value > highest ? text : value
  }
  if (infinity.test(text)) return Number(text)
  const number = plainNumber.test(text) ? Number(text) : Number.NaN
  return digitsOf(text) === digitsOf(String(number)) ? number : text
}

/** A text that SQLite would store as a number, such as a JSON number, must be the text of that number. */
function looseText(text: string): StoredValue {
  if (!/^\s*[+-]?(?:\d|\.\d)/.test(text) || Number.isNaN(Number(text))) return text
  if (String(Number(text)) !== text && !wholeNumber.test(text))
    throw lossy('a text that SQLite would store as another number')
  return text
}

/** The digits and the exponent of a number, the same for equal numbers. */
function digitsOf(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  let digits = whole + fraction
  let power = Number(exponent) - fraction.length
  let end = digits.length
  while (end > 0 && digits[end - 1] === '0') end--
  power += digits.length - end
  digits = digits.slice(0, end)
  let start = 0
  while (digits[start] === '0') start++
  digits = digits.slice(start)
  return digits === '' ? '0' : `${sign === '-' ? '-' : ''}${digits}e${power}`
}

function storedObject(value: object, kind: ColumnKind): StoredValue {
  if (value instanceof Uint8Array) return value
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw invalidDate()
    return storedText(value.toISOString(), kind, 'text')
  }
  const { toJSON } = value as { toJSON?: unknown }
  const shown = typeof toJSON === 'function' ? toJSON.call(value, '') : isWrapper(value) ? value.valueOf() : value
  if (typeof shown !== 'object') return storedValue(shown, kind, 'value')
  return storedText(jsonOf(value), kind, 'json')
}

const encoder = new NdjsonEncoder('string')

/** The same JSON as in files. */
function jsonOf(value: object): string {
  const json = isOpaque(value) ? undefined : encoder.json(value)
  if (json === undefined) throw new JobError('target', `Expected a value that JSON can hold, got ${nameOf(value)}.`)
  return json
}

function lossy(what: string): JobError {
  return new JobError('target', `Expected a value that SQLite stores as it is, got ${what}.`)
}

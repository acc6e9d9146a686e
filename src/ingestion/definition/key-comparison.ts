import type { Column, ColumnType } from '../contract/index.js'

const numeric: ReadonlySet<ColumnType> = new Set(['integer', 'bigint', 'decimal', 'float'])

/** Types whose text is in the order of their values; for times, with years of four digits. */
const ordered: ReadonlySet<ColumnType> = new Set(['boolean', 'bytes', 'date', 'time', 'timestamp', 'timestamptz'])

const times: ReadonlySet<ColumnType> = new Set(['date', 'timestamp', 'timestamptz'])

/** How keys of a column compare: as text of that kind, or in an order that only the server knows, such as a collation. */
export type KeyKind = 'number' | 'text' | 'time' | 'unknown'

/** How the keys of a column compare. `value` is one of them. */
export function keyKindOf({ type, sqlType }: Column, value: unknown): KeyKind {
  if (numeric.has(type) || typeof value === 'number' || typeof value === 'bigint') return 'number'
  if (times.has(type) || value instanceof Date) return 'time'
  if (ordered.has(type) || sqlType === 'uuid') return 'text'
  // Without a server, there is only the order of JavaScript.
  return sqlType === undefined ? 'text' : 'unknown'
}

/** Compares two keys as the server does. `undefined` when that is not known here. */
export function compareKeys(a: string, b: string, kind: KeyKind): number | undefined {
  if (kind === 'unknown') return undefined
  if (kind === 'number') return compareNumbers(a, b)
  if (kind === 'time' && !(isPlainTime(a) && isPlainTime(b))) return undefined
  return a < b ? -1 : a > b ? 1 : 0
}

/** Infinity, years of more than four digits and years before Christ have another order than their text. */
function isPlainTime(text: string): boolean {
  return /^\d{4}-/.test(text) && !text.endsWith('BC')
}

interface Decimal {
  readonly sign: number
  /** The number of digits before the point. */
  readonly magnitude: number
  /** The digits from the first to the last that is not 0. */
  readonly digits: string
}

const decimal = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,9}))?$/i

/** Compares numbers as text, exactly for any size: as doubles, neighbours above 2^53 would be equal. */
function compareNumbers(a: string, b: string): number | undefined {
  const [x, y] = [decimalOf(a), decimalOf(b)]
  if (!x || !y) return undefined
  if (x.sign !== y.sign) return Math.sign(x.sign - y.sign)
  const larger = x.magnitude - y.magnitude || (x.digits > y.digits ? 1 : x.digits < y.digits ? -1 : 0)
  return larger === 0 ? 0 : Math.sign(larger) * x.sign
}

function decimalOf(text: string): Decimal | undefined {
  const [, sign = '', integer = '', fraction = '', exponent = '0'] = decimal.exec(text) ?? []
  const all = integer + fraction
  if (all === '') return undefined
  let start = 0
  while (all[start] === '0') start++
  let end = all.length
  while (end > start && all[end - 1] === '0') end--
  if (start === end) return { sign: 0, magnitude: 0, digits: '' }
  const magnitude = integer.length - start + Number(exponent)
  return { sign: sign === '-' ? -1 : 1, magnitude, digits: all.slice(start, end) }
}

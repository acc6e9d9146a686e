import { checkValue, type Rule } from '../../../adapter.js'
import type { StoredValue } from '../client/index.js'
import { type ColumnRule, hexOf, isNumeric } from './column-rules.js'

/** A value in a position, as JSON keeps it: what JSON has not is an object. */
export type KeptValue = string | number | null | { integer: string } | { real: string } | { blob: string }

export function keptOf(value: unknown): KeptValue {
  if (typeof value === 'bigint') return { integer: String(value) }
  if (value instanceof Uint8Array) return { blob: hexOf(value) }
  if (typeof value === 'number' && !Number.isFinite(value)) return { real: String(value) }
  return value as string | number | null
}

/** The longest text of a value in a position, in UTF-16 code units. */
const maxLength = 1 << 20

/** The kept form of a value. */
export const keptRule: Rule = {
  accepts: (value) => storedFrom(value) !== undefined,
  expected: 'a text, a number, or an object with `integer`, `real` or `blob`',
}

/** The value of its kept form. `undefined` for anything else. */
export function storedFrom(kept: unknown): StoredValue | undefined {
  if (typeof kept === 'string') return kept.length <= maxLength ? kept : undefined
  if (typeof kept === 'number') return Number.isFinite(kept) ? kept : undefined
  if (typeof kept !== 'object' || kept === null || Object.keys(kept).length !== 1) return undefined
  const { integer, real, blob } = kept as Record<string, unknown>
  if (typeof integer === 'string') return integerFrom(integer)
  if (real === 'Infinity' || real === '-Infinity') return Number(real)
  if (typeof blob !== 'string' || blob.length > maxLength || !/^(?:[\da-f]{2})*$/.test(blob)) return undefined
  return Buffer.from(blob, 'hex')
}

function integerFrom(digits: string): bigint | undefined {
  if (!/^-?\d{1,19}$/.test(digits)) return undefined
  const value = BigInt(digits)
  return value === BigInt.asIntN(64, value) ? value : undefined
}

/**
 * The value that a text stands for, as in a reset, in bounds of partitions and in a position that is shown: a number where it reads as one,
 * unless the column has texts.
 */
export function valueFrom(text: string, { affinity }: Pick<ColumnRule, 'affinity'>): StoredValue {
  if (affinity === 'text' || !isNumeric(text)) return text
  return integerFrom(text.trim()) ?? Number(text)
}

/** The text of a number, which `valueFrom` reads. */
export function textOf(value: StoredValue): string {
  return String(value)
}

/** Throws unless a value has a kept form. */
export function checkKeptForm(field: string, value: unknown): void {
  checkValue(field, value, keptRule)
}

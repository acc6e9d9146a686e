import { JobError } from '../../../adapter.js'
import { shown } from '../../shared/index.js'
import type { ColumnKind } from '../table/index.js'

const pattern = /^[+-]?(?:(?<whole>\d+)(?:\.(?<digits>\d*))?|\.(?<only>\d+))(?:e(?<exponent>[+-]?\d{1,9}))?$/i

/** A number, as a column of the type `decimal` takes it. The server tells of digits that it cannot store. */
export function checkedNumber(text: string, kind: ColumnKind): string {
  if (pattern.test(text)) return text
  throw new JobError('target', `Expected a number for \`${kind.sqlType}\`, got ${shown(text)}.`)
}

/**
 * A number, as a column of the type `float` or `double` takes it, which rounds to its precision. Throws `target` for an integer that it would
 * change, for a number so small that it would become 0, and for more digits behind the point than a type such as `double(8,2)` has.
 */
export function checkedFloat(text: string, kind: ColumnKind): string {
  checkedNumber(text, kind)
  const isSingle = kind.sqlType.startsWith('float')
  // The usual numbers need no further look.
  if (kind.digits === Number.POSITIVE_INFINITY && text.length < 16 && !/e/i.test(text)) return text
  const value = isSingle ? Math.fround(Number(text)) : Number(text)
  if (value === 0 && /^[^e]*[1-9]/i.test(text)) throw changed(text, kind, '0')
  if (!isSingle && isChangedInteger(text, value)) throw changed(text, kind, String(value))
  checkDecimals(text, kind)
  return text
}

function changed(text: string, { sqlType }: ColumnKind, stored: string): JobError {
  const message = `Expected a number that \`${sqlType}\` can hold, got ${shown(text)}, which would become ${stored}: use a column of the type decimal.`
  return new JobError('target', message)
}

/** Not for the digits that JavaScript shows of a number. */
function isChangedInteger(text: string, value: number): boolean {
  const [, given] = /^[+-]?(\d+)(?:\.0*)?$/.exec(text) ?? []
  const digits = given?.replace(/^0+/, '') ?? ''
  if (digits.length < 16 || digits.length > 309 || !Number.isFinite(value)) return false
  const stored = Math.abs(value)
  return BigInt(stored) !== BigInt(digits) && String(stored) !== digits
}

/** The server rounds digits that are too many. */
function checkDecimals(text: string, { sqlType, digits: limit }: ColumnKind): void {
  const { digits = '', only = '', exponent = '0' } = pattern.exec(text)?.groups ?? {}
  const decimals = digits + only
  const given = lengthWithoutZeros(decimals) - Number(exponent)
  if (given <= limit || Number(text) === 0) return
  throw new JobError(
    'target',
    `Expected up to ${limit} digits behind the point for \`${sqlType}\`, which would round the others, got ${shown(text)}.`,
  )
}

function lengthWithoutZeros(digits: string): number {
  let length = digits.length
  while (digits[length - 1] === '0') length--
  return length
}

import { JobError } from '../../../adapter.js'
import { shown } from '../../shared/index.js'
import type { Check } from './column-kind.js'

/** The digits of a number without the zeros around them, and the power of ten of the last one. */
interface Decimal {
  readonly digits: string
  readonly power: number
}

const pattern = /^[+-]?(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i

/** Undefined for a text that is no such number, as `NaN`: the server reads it exactly or refuses it. */
function decimalOf(text: string): Decimal | undefined {
  const [, whole, fraction = '', exponent = '0'] = pattern.exec(text.trim().replaceAll('_', '')) ?? []
  if (whole === undefined) return undefined
  const all = whole + fraction
  let start = 0
  while (all[start] === '0') start++
  let end = all.length
  while (end > start && all[end - 1] === '0') end--
  if (start === end) return { digits: '', power: 0 }
  return { digits: all.slice(start, end), power: Number(exponent) - fraction.length + all.length - end }
}

function hasExponent(text: string): boolean {
  return text.includes('e') || text.includes('E')
}

/** Of digits that are not zero beyond the scale, which the server rounds. */
export function scaleCheck(type: string, scale: number): Check {
  const expected =
    scale < 0
      ? `${-scale} zeros at the end of a number`
      : `up to ${scale} ${scale === 1 ? 'digit' : 'digits'} behind the point`
  return (text) => {
    const point = text.indexOf('.')
    // The usual numbers need no further look.
    if (scale >= 0 && (point < 0 || text.length - point - 1 <= scale) && !hasExponent(text)) return
    const decimal = decimalOf(text)
    if (!decimal || decimal.digits === '' || decimal.power >= -scale) return
    throw new JobError('target', `Expected ${expected} for \`${type}\`, which would round others, got ${shown(text)}.`)
  }
}

/** The digits of money behind the point, which the server reads by its locale. */
export function moneyCheck(type: string, scale: number): Check {
  return (text) => {
    const point = text.lastIndexOf('.')
    const [fraction = ''] = point < 0 ? [] : (/^\d*/.exec(text.slice(point + 1)) ?? [])
    if (!/[1-9]/.test(fraction.slice(scale))) return
    const message = `Expected up to ${scale} digits behind the point for \`${type}\`, which would round others, got ${shown(text)}.`
    throw new JobError('target', message)
  }
}

/** Of numbers that a `double precision` holds as others. The usual ones are those that JavaScript shows in the same way. */
export function doubleCheck(type: string): Check {
  return (text) => {
    const value = Number(text)
    if (String(value) === text) return
    if (!isHeld(text, value, String)) throw changed(text, type, String(value))
  }
}

/** Of numbers that a `real` holds as others. Up to six digits are never changed. */
export function realCheck(type: string): Check {
  return (text) => {
    if (text.length <= 6 && !hasExponent(text)) return
    const double = Number(text)
    const value = Math.fround(double)
    if (value === double && isHeld(text, double, String)) return
    if (!isHeld(text, value, shortest)) throw changed(text, type, shortest(value))
  }
}

/** Whether the value is the number of the text: by its digits as the server shows them, or as an integer. The server tells of numbers that are too large. */
function isHeld(text: string, value: number, show: (value: number) => string): boolean {
  const given = decimalOf(text)
  if (!given || given.digits === '' || !Number.isFinite(value)) return true
  const held = decimalOf(show(value))
  if (held?.digits === given.digits && held.power === given.power) return true
  if (!Number.isInteger(value) || value === 0 || given.power < 0 || given.digits.length + given.power > 309)
    return false
  return BigInt(given.digits) * 10n ** BigInt(given.power) === BigInt(Math.abs(value))
}

/** The fewest digits that stand for a number of single precision. */
function shortest(value: number): string {
  let text = ''
  for (let digits = 1; digits <= 9; digits++) {
    text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) break
  }
  return text
}

function changed(text: string, type: string, held: string): JobError {
  return new JobError(
    'target',
    `Expected a number that \`${type}\` can hold, got ${shown(text)}, which would become ${held}: use a column of the type numeric.`,
  )
}

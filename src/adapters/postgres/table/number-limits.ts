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

/** Of numbers that a `double precision` holds as others. It holds all numbers of JavaScript. */
export function doubleCheck(type: string): Check {
  return (text, isNumber) => {
    if (isNumber || (text.length <= 15 && !hasExponent(text))) return
    const value = Number(text)
    if (!isHeld(text, value, 15, String)) throw changed(text, type, String(value))
  }
}

/** Of numbers that a `real` holds as others. Fractions of JavaScript, which has no shorter numbers, are rounded to the precision of the type. */
export function realCheck(type: string): Check {
  return (text, isNumber = false) => {
    if (text.length <= 6 && !hasExponent(text)) return
    const double = Number(text)
    const value = Math.fround(double)
    const isFraction = isNumber && !Number.isInteger(double) && value !== 0
    if (isFraction || (value === double && (isNumber || isHeld(text, double, 15, String)))) return
    // A `real` of a source comes as the number by which the server shows it.
    if (!isHeld(text, value, isNumber ? 9 : 6, shortest)) throw changed(text, type, shortest(value))
  }
}

/**
 * Whether the value is the number of the text: by its digits as the server shows them, or exactly for an integer of more digits than are always
 * kept. The server tells of numbers that are too large.
 */
function isHeld(text: string, value: number, keptDigits: number, show: (value: number) => string): boolean {
  const given = decimalOf(text)
  if (!given || given.digits === '' || !Number.isFinite(value)) return true
  const { digits, power } = given
  if (digits.length > keptDigits && power >= 0 && !hasExponent(text))
    return BigInt(digits) * 10n ** BigInt(power) === BigInt(Math.abs(value))
  const held = decimalOf(show(value))
  return held?.digits === digits && held.power === power
}

/** The fewest digits that stand for a number of single precision, as the server shows it. */
function shortest(value: number): string {
  let text = '0'
  for (let digits = 1; digits <= 9 && value !== 0; digits++) {
    text = roundedToEven(value, digits)
    const back = Number(text)
    if (Math.fround(back) === value && !isBetween(back, value)) break
  }
  return text
}

/** JavaScript rounds halves up. */
function roundedToEven(value: number, digits: number): string {
  const text = value.toPrecision(digits)
  const half = decimalOf(value.toPrecision(digits + 1))
  if (half?.digits.length !== digits + 1 || !half.digits.endsWith('5')) return text
  if (Number(`${half.digits}e${half.power}`) !== Math.abs(value)) return text
  const cut = half.digits.slice(0, -1)
  return Number(cut.at(-1)) % 2 === 0 ? `${value < 0 ? '-' : ''}${cut}e${half.power + 1}` : text
}

const single = new Float32Array(1)
const bits = new Int32Array(single.buffer)

/** Whether a number is in the middle between one of single precision and the next: the server does not show it by that. */
function isBetween(number: number, value: number): boolean {
  single[0] = value
  const own = bits[0] as number
  return [own - 1, own + 1].some((next) => {
    bits[0] = next
    return number === (value + (single[0] as number)) / 2
  })
}

function changed(text: string, type: string, held: string): JobError {
  return new JobError(
    'target',
    `Expected a number that \`${type}\` can hold, got ${shown(text)}, which would become ${held}: use a column of the type numeric.`,
  )
}

import { JobError } from '../../../adapter.js'
import { shown } from '../../shared/index.js'
import type { Check } from './column-kind.js'

/** A time of day in a text. */
interface Clock {
  /** The text before it. */
  readonly before: string
  /** The time, such as `10:00:00.5`. */
  readonly time: string
  /** The digits of a second. */
  readonly fraction: string
  /** What follows: a zone, `AM`, `BC` or a date. */
  readonly words: readonly string[]
}

/** Where a time of day begins: as `10:00`, or without colons behind a `T` or behind the digits of a date. */
const clock = /(?:\d{1,2}:|(?<=\d)T\d|(?<=\d{6}\s)\d)[\d:.]*/i

const noon = /^[ap]m$/i
const zeroZone = /^(?:z|utc|gmt|[+-]0[0:]*)$/i
/** A year behind the time, or the era. */
const dateWord = /^(?:\d+|bc|ad)$/i
/** A zone other than UTC in a text without colons, as in `2024-01-31+02`. */
const looseZone = /\d\+(?!0*$)/
const anyZone = /^(?:[a-z]|[+-]\d)/i

function clockIn(text: string): Clock | undefined {
  const found = clock.exec(text)
  if (!found) return undefined
  const [time] = found
  const after = text.slice(found.index + time.length).trim()
  const [, fraction = ''] = time.split('.')
  return { before: text.slice(0, found.index).trim(), time, fraction, words: after === '' ? [] : after.split(/\s+/) }
}

const colon = 58
const dash = 45
const dot = 46

/** Where a time as `2024-01-31 10:00:00.5` ends in a text. -1 for another form. The usual texts need no further look. */
function endOfUsual(text: string): number {
  const isUsual = text.charCodeAt(4) === dash && text.charCodeAt(13) === colon && text.charCodeAt(16) === colon
  if (!isUsual || text.charCodeAt(19) !== dot) return isUsual ? 19 : -1
  let end = 20
  while (text.charCodeAt(end) >= 48 && text.charCodeAt(end) <= 57) end++
  return end
}

/** Whether a text of the usual form has up to so many digits of a second. */
function isWithin(digits: number, end: number): boolean {
  return end >= 0 && end - 20 <= digits
}

function isUtc(text: string, end: number): boolean {
  const rest = text.length - end
  return rest === 0 || (rest === 1 && text.endsWith('Z')) || (rest === 3 && text.endsWith('+00'))
}

/** Of a time of day, which a `date` loses, and of a zone other than UTC. */
export function dateCheck(type: string): Check {
  return (text) => {
    const found = clockIn(text)
    if (!found && !looseZone.test(text)) return
    if (found && isMidnight(found) && found.words.every((word) => isWithoutZone(word) || dateWord.test(word))) return
    throw new JobError(
      'target',
      `Expected a date for \`${type}\`, which would lose the time of day, got ${shown(text)}.`,
    )
  }
}

function isMidnight({ time, words }: Clock): boolean {
  return /^T?[0:.]*$/i.test(time) || (/^12[0:.]*$/.test(time) && /^am$/i.test(words[0] ?? ''))
}

function isWithoutZone(word: string): boolean {
  return noon.test(word) || zeroZone.test(word)
}

/** Of a zone other than UTC, which the type ignores, and of digits of a second beyond its own. */
export function timestampCheck(type: string, digits: number): Check {
  return (text) => {
    const end = endOfUsual(text)
    if (isWithin(digits, end) && isUtc(text, end)) return
    const found = clockIn(text)
    const isLost = found
      ? !found.words.every((word) => isWithoutZone(word) || dateWord.test(word))
      : looseZone.test(text)
    if (isLost) throw withZone(text, type)
    if (found) checkFraction(found, type, digits)
  }
}

/** Of digits of a second beyond its own. */
export function timestamptzCheck(type: string, digits: number): Check {
  return (text) => {
    if (isWithin(digits, endOfUsual(text))) return
    const found = clockIn(text)
    if (found) checkFraction(found, type, digits)
  }
}

/** Of a date and of a zone other than UTC, which the type ignores, and of digits of a second beyond its own. */
export function timeCheck(type: string, digits: number): Check {
  return (text) => {
    const found = clockIn(text)
    if (!found && /\d[+-]/.test(text)) throw withZone(text, type)
    if (!found) return
    if (!isBare(found) || found.words.some((word) => dateWord.test(word))) throw withDate(text, type)
    if (!found.words.every(isWithoutZone)) throw withZone(text, type)
    checkFraction(found, type, digits)
  }
}

/** Of a date, which the type ignores, and of digits of a second beyond its own. */
export function timetzCheck(type: string, digits: number): Check {
  return (text) => {
    const found = clockIn(text)
    if (!found) return
    const zones = found.words.filter((word) => !noon.test(word))
    if (!isBare(found) || zones.length > 1 || !zones.every((word) => anyZone.test(word))) throw withDate(text, type)
    checkFraction(found, type, digits)
  }
}

function isBare({ before }: Clock): boolean {
  return before === '' || /^T$/i.test(before)
}

function withDate(text: string, type: string): JobError {
  return new JobError(
    'target',
    `Expected a time of day for \`${type}\`, which would lose the date, got ${shown(text)}.`,
  )
}

function withZone(text: string, type: string): JobError {
  return new JobError(
    'target',
    `Expected a time without a zone or in UTC for \`${type}\`, which would lose the zone, got ${shown(text)}.`,
  )
}

function checkFraction({ time, fraction }: Clock, type: string, digits: number): void {
  if (/[1-9]/.test(fraction.slice(digits))) throw withFraction(time, type, digits)
}

function withFraction(text: string, type: string, digits: number): JobError {
  const message = `Expected up to ${digits} digits of a second for \`${type}\`, which would round others, got ${shown(text)}: give the column more, or round in the query.`
  return new JobError('target', message)
}

/** The fields of an interval. */
const fields = ['year', 'month', 'day', 'hour', 'minute', 'second']

/** An amount with its unit, as in `P1Y2M` and `3 days`, or hours, minutes and seconds with colons. */
const amount = /(?<![\d.])([\d.]+)\s*([a-z]+)|(?<![\d:])(\d+):(\d+)(?::([\d.]+))?/gi

/** Of digits of a second, or of another unit, beyond those of the type, and of fields that the type does not have. `sqlType` is as `interval day to minute`. */
export function intervalCheck(type: string, sqlType: string, digits: number): Check {
  const last = sqlType.split(' ').at(-1) as string
  const lowest = last === 'interval' ? fields.length : fields.indexOf(last)
  return (text) => {
    for (const [, fraction = ''] of text.matchAll(/\.(\d*)/g)) {
      if (/[1-9]/.test(fraction.slice(digits))) throw withFraction(text, type, digits)
    }
    if (lowest >= fields.length - 1 || lowestOf(text) <= lowest) return
    throw new JobError(
      'target',
      `Expected no unit below the ${last} for \`${type}\`, which would cut it, got ${shown(text)}.`,
    )
  }
}

/** The index of the lowest field that is not zero. What is not understood counts as the lowest of all. */
function lowestOf(text: string): number {
  const isIso = /^\s*p/i.test(text)
  const [date = '', ...time] = isIso ? text.trim().slice(1).split(/t/i) : [text]
  let lowest = -1
  for (const [index, part] of [date, ...time].entries()) {
    const rest = part.replace(amount, (_, number?: string, unit = '', ...clockParts: string[]) => {
      const [hours, minutes, seconds = ''] = clockParts
      const amounts: [string, number][] =
        number === undefined
          ? [
              [hours as string, 3],
              [minutes as string, 4],
              [seconds, 5],
            ]
          : [[number, fieldOf(isIso && index === 0 && /^m$/i.test(unit) ? 'month' : unit)]]
      for (const [value, field] of amounts) {
        // A fraction is one of lower fields.
        if (/[1-9]/.test(value)) lowest = Math.max(lowest, value.includes('.') ? fields.length : field)
      }
      return ''
    })
    if (/[1-9]/.test(rest)) return fields.length
  }
  return lowest
}

function fieldOf(unit: string): number {
  if (/^y/i.test(unit)) return 0
  if (/^mon/i.test(unit)) return 1
  if (/^(?:d|w)/i.test(unit)) return 2
  if (/^h/i.test(unit)) return 3
  return /^m(?:in.*)?$/i.test(unit) ? 4 : 5
}

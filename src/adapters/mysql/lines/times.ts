import { JobError } from '../../../adapter.js'
import { shown } from '../../shared/index.js'
import type { ColumnKind } from '../table/index.js'

const pattern =
  /^(?<date>\d{4}-\d\d-\d\d)(?:[T ](?<time>\d\d:\d\d)(?:(?<seconds>:\d\d)(?:\.(?<fraction>\d+))?)?\s?(?<zone>Z|[+-]\d\d(?::?\d\d)?)?)?$/i

/**
 * A date, or a date and a time, as a column takes it: in UTC, without a zone. Throws `target` for any other form, which the server reads in its
 * own way, for digits of a second that the column would cut, and for a time of day in a column of dates.
 */
export function checkedTimestamp(text: string, kind: ColumnKind): string {
  const found = pattern.exec(text)?.groups
  if (!found)
    throw otherForm(text, kind, kind.storage === 'date' ? 'a date as 2024-01-31' : 'a time as 2024-01-31 12:30:00')
  const { date = '', time, seconds = ':00', fraction = '', zone } = found
  if (time === undefined) return date
  const moment = shifted(`${date} ${time}${seconds}`, zone)
  if (moment === undefined) throw otherForm(text, kind, 'a day that exists, up to the year 9999,')
  if (kind.storage === 'date') return dateOf(moment, fraction, kind)
  return moment + checkedFraction(fraction, kind)
}

function otherForm(text: string, { sqlType }: ColumnKind, expected: string): JobError {
  return new JobError('target', `Expected ${expected} for \`${sqlType}\`, got ${shown(text)}.`)
}

/** The same in UTC. Undefined for a day that does not exist, and beyond the years that the server knows. */
function shifted(moment: string, zone = 'Z'): string | undefined {
  const [, sign, hours = '0', minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? []
  const offset = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
  if (offset === 0) return moment
  const time = Date.parse(`${moment.replace(' ', 'T')}Z`)
  // A day that a month does not have would be one of the next month.
  const isDay = new Date(Date.parse(moment.slice(0, 10))).getUTCDate() === Number(moment.slice(8, 10))
  if (Number.isNaN(time) || !isDay) return undefined
  const utc = new Date(time - offset * 60_000).toISOString().slice(0, 19).replace('T', ' ')
  return /^\d/.test(utc) ? utc : undefined
}

function dateOf(moment: string, fraction: string, { sqlType }: ColumnKind): string {
  const [date = '', time = ''] = moment.split(' ')
  if (/^[0:]*$/.test(time + fraction)) return date
  throw new JobError('target', `Expected a date for \`${sqlType}\`, got "${moment}", whose time of day it would lose.`)
}

/** A time of day, or a span of time. Throws `target` for any other form: the server reads `12` and `1 02:03:04` in its own way. */
export function checkedTime(text: string, kind: ColumnKind): string {
  const [, head, seconds = ':00', fraction = ''] = /^([+-]?\d{1,3}:\d\d)(?:(:\d\d)(?:\.(\d+))?)?$/.exec(text) ?? []
  if (head === undefined) throw otherForm(text, kind, 'a time as 12:30:00')
  return head + seconds + checkedFraction(fraction, kind)
}

function checkedFraction(fraction: string, { sqlType, digits }: ColumnKind): string {
  const kept = fraction.slice(0, digits)
  if (!/^0*$/.test(fraction.slice(digits))) {
    throw new JobError(
      'target',
      `Expected up to ${digits} digits of a second for \`${sqlType}\`, which would cut the others, got "${fraction}": give the column more, or round in the query.`,
    )
  }
  return kept === '' ? '' : `.${kept}`
}

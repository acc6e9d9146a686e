import { JobError } from '../../../adapter.js'
import type { ColumnKind } from '../table/index.js'

const pattern =
  /^(?<date>\d{4}-\d\d-\d\d)(?:[T ](?<time>\d\d:\d\d(?::\d\d)?)(?:\.(?<fraction>\d+))?\s?(?<zone>Z|[+-]\d\d(?::?\d\d)?)?)?$/i

/**
 * A date, or a date and a time, as a column takes it: in UTC, without a zone. Another text is passed on: the server refuses what it cannot
 * read. Throws `target` for digits of a second that the column would cut, and for a time of day in a column of dates.
 */
export function checkedTimestamp(text: string, kind: ColumnKind): string {
  const found = pattern.exec(text)?.groups
  if (!found) return text
  const { date = '', time, fraction = '', zone } = found
  if (time === undefined) return date
  const moment = shifted(`${date} ${time}`, zone)
  if (kind.storage === 'date') return dateOf(moment, fraction, kind)
  return moment + checkedFraction(fraction, kind)
}

/** The same in UTC. The zone of the text is at most some hours away. */
function shifted(moment: string, zone = 'Z'): string {
  const [, sign, hours = '0', minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? []
  const offset = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
  if (offset === 0) return moment
  const time = Date.parse(`${moment.replace(' ', 'T')}Z`)
  if (Number.isNaN(time)) return moment
  return new Date(time - offset * 60_000).toISOString().slice(0, 19).replace('T', ' ')
}

function dateOf(moment: string, fraction: string, { sqlType }: ColumnKind): string {
  const [date = '', time = ''] = moment.split(' ')
  if (/^[0:]*$/.test(time + fraction)) return date
  throw new JobError('target', `Expected a date for \`${sqlType}\`, got "${moment}", whose time of day it would lose.`)
}

/** A time of day, or a span of time. */
export function checkedTime(text: string, kind: ColumnKind): string {
  const [, head, fraction = ''] = /^([+-]?\d+:\d\d(?::\d\d)?)(?:\.(\d+))?$/.exec(text) ?? []
  return head === undefined ? text : head + checkedFraction(fraction, kind)
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

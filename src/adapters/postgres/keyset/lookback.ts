import type { Lookback } from '../../../adapter.js'

/** Binds a value. Returns its placeholder. */
type Bind = (value: unknown) => string

const dayLength = 86_400_000

/** The longest distance that an interval in microseconds holds, in milliseconds: about 285,000 years. */
const longestInterval = 9_000_000_000_000_000

/** The largest number of days that can be subtracted from a date. */
const mostDays = 2 ** 31 - 1

/** The first day of dates and timestamps in Postgres, and its distance from 1970 in milliseconds. */
const firstDay = `date '4714-11-24 BC'`
const firstTime = -210_866_803_200_000

/**
 * SQL for the value that is `distance` before `value`. It ends where the type ends, instead of failing: nothing is before its
 * smallest value. The planner evaluates no branch of a `case` that does not apply.
 */
export function earlier(value: unknown, { distance, type, isTime }: Lookback, bind: Bind): string {
  if (type === 'date') return earlierDay(bind(value), distance, bind)
  if (isTime) return earlierTime(`${bind(value)}::${type}`, distance, type, bind)
  if (type === 'int8')
    return `greatest(${bind(value)}::numeric - ${bind(distance)}::numeric, -9223372036854775808)::int8`
  const [from, by] = [`${bind(value)}::${type}`, `${bind(distance)}::${type}`]
  if (type !== 'float8') return `${from} - ${by}`
  return `case when ${from} < -1.7976931348623157e308::float8 + ${by} then '-infinity' else ${from} - ${by} end`
}

/** A date is compared by whole days. */
function earlierDay(from: string, distance: number, bind: Bind): string {
  const days = `${bind(Math.min(Math.floor(distance / dayLength), mostDays))}::int4`
  return `case when not isfinite(${from}::date) then ${from}::date
    when ${from}::date - ${firstDay} <= ${days} then '-infinity'
    else ${from}::date - ${days} end`
}

function earlierTime(from: string, distance: number, type: string, bind: Bind): string {
  if (distance > longestInterval) return `case when isfinite(${from}) then '-infinity' else ${from} end`
  const by = `${bind(distance)}::float8`
  // A day more than the calendar needs: there is no time so close to its start that it matters.
  return `case when not isfinite(${from}) then ${from}
    when extract(epoch from ${from})::float8 * 1000 - ${by} <= ${firstTime + dayLength} then '-infinity'::${type}
    else ${from} - ${by} * interval '1 millisecond' end`
}

const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/
const wholeNumber = /^-?\d{4,15}$/
const midnight = /T00:00:00(\.0+)?Z$/

/**
 * Shortens the bounds of partitions for reading, each as the others: times in UTC that are all midnights to their days, other times to
 * their minutes, whole numbers with groups of digits.
 */
export function shortValues(bounds: readonly (string | undefined)[]): (value: string) => string {
  const given = bounds.filter((bound) => bound !== undefined)
  const areDays = given.length > 0 && given.every((bound) => midnight.test(bound))
  return (value) => {
    if (areDays && midnight.test(value)) return value.slice(0, 10)
    if (isoTime.test(value)) return `${value.slice(0, 10)} ${value.slice(11, 16)}`
    return wholeNumber.test(value) ? Number(value).toLocaleString() : value
  }
}

/** Whether a bound or a position is a time, which the server writes in UTC. */
export function isTime(value: string | undefined): boolean {
  return value !== undefined && isoTime.test(value)
}

/** How far a position is in a range of numbers or times, from 0 to 1. `undefined` where that cannot be told. */
export function shareOf(position: string, from: string | undefined, until: string | undefined): number | undefined {
  const [at, start, end] = [position, from, until].map((value) => (value === undefined ? Number.NaN : placeOf(value)))
  const share = (Number(at) - Number(start)) / (Number(end) - Number(start))
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : undefined
}

function placeOf(value: string): number {
  return isoTime.test(value) ? Date.parse(value) : value === '' ? Number.NaN : Number(value)
}

const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/
const midnight = /T00:00:00(\.0+)?Z$/

/**
 * Shortens the bounds of partitions for reading, each as the others: times in UTC that are all midnights to their days, other times to
 * their seconds, whole numbers with groups of digits.
 */
export function shortValues(bounds: readonly (string | undefined)[]): (value: string) => string {
  const given = bounds.filter((bound) => bound !== undefined)
  const areDays = given.length > 0 && given.every((bound) => midnight.test(bound))
  return (value) => {
    if (areDays && midnight.test(value)) return value.slice(0, 10)
    if (isoTime.test(value)) return `${value.slice(0, 10)} ${value.slice(11, 19)}`
    return /^-?\d{4,15}$/.test(value) ? Number(value).toLocaleString() : value
  }
}

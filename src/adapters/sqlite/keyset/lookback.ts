/** A date, or a date with a time, as texts of SQLite's own functions and of ISO 8601. */
const timeText = /^(\d{4}-\d\d-\d\d)(?:([ T])(\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z?))?$/

/** Whether there are values before this one at a distance: numbers, and texts of dates and times. */
export function hasDistance(value: unknown): boolean {
  if (typeof value === 'string') return timeOf(value) !== undefined
  return typeof value === 'number' || typeof value === 'bigint'
}

/** The value that is `distance` before another: milliseconds before a text of a time, in its form, or a number. */
export function earlier(value: unknown, distance: number): unknown {
  if (typeof value === 'bigint') return lowest(value - BigInt(Math.ceil(distance)))
  if (typeof value === 'number') return value - distance
  return earlierText(String(value), distance)
}

function lowest(value: bigint): bigint {
  const least = -(2n ** 63n)
  return value < least ? least : value
}

function timeOf(text: string): number | undefined {
  const [, date = '', , time = '00:00'] = timeText.exec(text) ?? []
  const parsed = Date.parse(`${date}T${time.length > 12 ? time.slice(0, 12) : time}Z`)
  return Number.isNaN(parsed) ? undefined : parsed
}

/** In the form of the text: cut, so that nothing in the range is missed. */
function earlierText(text: string, distance: number): string {
  const [, , separator = '', time = '', zone = ''] = timeText.exec(text) ?? []
  const before = new Date((timeOf(text) as number) - Math.ceil(distance))
  if (Number.isNaN(before.getTime()) || before.getUTCFullYear() < 0) return ''
  const iso = before.toISOString()
  if (time === '') return iso.slice(0, 10)
  const digits = iso.slice(11, 11 + Math.min(time.length, 12))
  return `${iso.slice(0, 10)}${separator}${digits.padEnd(time.length, '0')}${zone}`
}

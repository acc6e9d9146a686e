const grouped = new Intl.NumberFormat()
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 })
const short = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 })
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const thisYear = new Intl.DateTimeFormat(undefined, {
  ...{ month: 'short', day: 'numeric' },
  ...{ hour: '2-digit', minute: '2-digit', second: '2-digit' },
})
const byTheMinute = new Intl.DateTimeFormat(undefined, {
  ...{ month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' },
})
const timeOfDay = new Intl.DateTimeFormat(undefined, {
  ...{ hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' },
})

/** The time zone of the viewer. */
export const timeZone = dateAndTime.resolvedOptions().timeZone

const directions = /[\u202a-\u202e\u2066-\u2069]/gu

/** A text whose characters that turn the direction of writing are shown: they would let it read as another text. */
export function visible(text: string): string {
  return text.replace(directions, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A job by its names, in a text. */
export function nameOf({ type, id }: { readonly type: string; readonly id: string }): string {
  return visible(`${type}/${id}`)
}

/** The beginning of a long text, up to a word. */
export function beginningOf(text: string, length: number): string {
  if (text.length <= length) return text
  const cut = text.slice(0, length)
  return `${cut.slice(0, Math.max(cut.lastIndexOf(' '), length - 40))} …`
}

/** A number with its groups of digits. */
export function formatCount(count: number): string {
  return grouped.format(count)
}

/** A number in a few characters. */
export function formatCompact(count: number): string {
  return count < 10_000 ? grouped.format(Math.round(count)) : compact.format(count)
}

/** A number per second. */
export function formatRate(perSecond: number): string {
  return `${perSecond < 10 ? short.format(perSecond) : formatCompact(perSecond)}/s`
}

/** A share of what goes on, as a percentage: 100 % is for its end. */
export function formatPercent(percent: number): string {
  return `${short.format(roundPercent(percent))} %`
}

/** A share of what goes on, as it is shown. */
export function roundPercent(percent: number): number {
  return Math.min(99, percent < 10 ? Math.round(10 * percent) / 10 : Math.round(percent))
}

/** A number of bytes. */
export function formatBytes(bytes: number): string {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)))
  return `${short.format(bytes / 1000 ** power)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`
}

/** A time with its date, in the zone of the viewer. */
export function formatTime(time: number): string {
  return Math.abs(time) > 8.64e15 ? String(time) : dateAndTime.format(time)
}

/** A time with its date, without what says nothing: the year of a time that is near, and the seconds of a whole minute. */
export function formatShortTime(time: number): string {
  const isNear = Math.abs(time - Date.now()) < 8_640_000_000
  return isNear ? (time % 60_000 === 0 ? byTheMinute : thisYear).format(time) : formatTime(time)
}

/** The time of a day. */
export function formatClock(time: number): string {
  return timeOfDay.format(time)
}

/** A duration in its two largest units. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  const s = ms / 1000
  if (s < 10) return `${short.format(s)} s`
  if (s < 60) return `${Math.floor(s)} s`
  if (s < 3600) return two(s / 60, 'min', 60, 's')
  if (s < 86_400) return two(s / 3600, 'h', 60, 'min')
  return two(s / 86_400, 'd', 24, 'h')
}

function two(amount: number, unit: string, size: number, smaller: string): string {
  const whole = Math.floor(amount)
  const rest = Math.floor((amount - whole) * size + 1e-6)
  return rest === 0 ? `${whole} ${unit}` : `${whole} ${unit} ${rest} ${smaller}`
}

/** A time in relation to another one, in its largest unit. */
export function formatRelative(time: number, now: number): string {
  const distance = Math.abs(time - now)
  if (distance < 1500) return 'now'
  const s = distance / 1000
  const text =
    s < 60
      ? `${Math.floor(s)} s`
      : s < 3600
        ? `${Math.floor(s / 60)} min`
        : s < 172_800
          ? `${Math.floor(s / 3600)} h`
          : `${grouped.format(Math.floor(s / 86_400))} d`
  return time > now ? `in ${text}` : `${text} ago`
}

/** The size of a text, by its characters. */
export function formatLength(characters: number): string {
  return formatBytes(characters).replace(/ B$/, ' characters')
}

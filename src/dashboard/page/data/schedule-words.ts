import { formatCount, formatDuration } from './format.js'

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']
const months = [
  ...['January', 'February', 'March', 'April', 'May', 'June'],
  ...['July', 'August', 'September', 'October', 'November', 'December'],
]

/** Up to how many times of the day are told one by one. */
const mostTimes = 4

/** A cron pattern in words, and whether they are about the clock of its zone. */
export interface ScheduleWords {
  readonly words: string
  readonly hasClock: boolean
}

/**
 * A cron pattern in words. `undefined` for the less common forms: whoever writes these reads them, and words that are nearly right would
 * be worse than none.
 */
export function wordsOf(cron: string): ScheduleWords | undefined {
  const fields = cron.trim().toUpperCase().split(/\s+/)
  if (fields.length > 6) return undefined
  const [second = '', minute = '', hour = '', day = '', month = '', weekday = ''] =
    fields.length === 5 ? ['0', ...fields] : fields
  const time = timeWords(second, minute, hour)
  const date = dateWords(day, month, weekday)
  if (time === undefined || date === undefined) return undefined
  const isAt = time.startsWith('at ')
  const isDaily = isAt && day === '*' && weekday === '*'
  const parts = isAt ? [isDaily && 'every day', date, time] : [time, date]
  return { words: parts.filter(Boolean).join(' '), hasClock: hour !== '*' || date !== '' }
}

/** An interval in words. */
export function wordsOfInterval(every: number): string {
  const [unit, length] = units.find(([, length]) => every % length === 0) ?? []
  if (unit === undefined || length === undefined) return `every ${formatDuration(every)}`
  return every === length ? `every ${unit}` : `every ${formatCount(every / length)} ${unit}s`
}

const units = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const

/** When on a day. */
function timeWords(second: string, minute: string, hour: string): string | undefined {
  if (minute === '*' && hour === '*') {
    const each = second === '0' ? 'every minute' : everyOf(second, 60, 'second')
    if (each) return each
  }
  if (second !== '0') return undefined
  const minutes = numbersOf(minute, 0, 59)
  const hours = numbersOf(hour, 0, 23)
  if (minutes && hours && minutes.length * hours.length <= mostTimes) {
    const times = hours.flatMap((hour) => minutes.map((minute) => clockOf(hour, minute)))
    return `at ${listOf(times)}`
  }
  const step = everyOf(minute, 60, 'minute')
  const [, from, to] = /^(\d+)-(\d+)$/.exec(hour) ?? []
  if (from !== undefined && Number(from) < Number(to) && Number(to) < 24)
    return withinHours(step, minute, minutes, Number(from), Number(to))
  if (hour === '*' && step) return step
  const hourly = hour === '*' ? 'every hour' : everyOf(hour, 24, 'hour')
  if (!minutes || !hourly || minutes.length > mostTimes) return undefined
  return minute === '0' ? hourly : `${hourly} at minute ${listOf(minutes.map(String))}`
}

/** From the first time of the first hour to the last one of the last hour. */
function withinHours(
  step: string | undefined,
  minute: string,
  minutes: readonly number[] | undefined,
  from: number,
  to: number,
): string | undefined {
  const [only] = minutes ?? []
  if (minutes?.length === 1 && only !== undefined)
    return `every hour between ${clockOf(from, only)} and ${clockOf(to, only)}`
  return step && `${step} between ${clockOf(from, 0)} and ${clockOf(to, 60 - (Number(minute.slice(2)) || 1))}`
}

/** `*` or a step that divides what it counts: other steps begin anew before their time. */
function everyOf(field: string, size: number, unit: string): string | undefined {
  const step = Number(field === '*' ? 1 : /^\*\/(\d+)$/.exec(field)?.[1])
  if (!(step > 0) || step >= size || size % step !== 0) return undefined
  return step === 1 ? `every ${unit}` : `every ${step} ${unit}s`
}

/** On which days. Empty: on each one. */
function dateWords(day: string, month: string, weekday: string): string | undefined {
  const inMonths = month === '*' ? '' : namesOf(month, months, 1, 'in')
  if (inMonths === undefined) return undefined
  if (day === '*') {
    const onDays = weekday === '*' ? '' : namesOf(weekday, days, 0, 'on')
    return onDays === undefined ? undefined : `${onDays} ${inMonths}`.trim()
  }
  // Either of both would do.
  if (weekday !== '*') return undefined
  const numbers = numbersOf(day, 1, 31)
  const ordinals = day === 'L' ? 'last day' : numbers && numbers.length <= mostTimes && listOf(numbers.map(ordinalOf))
  return ordinals ? `on the ${ordinals} ${inMonths.replace('in ', 'of ') || 'of the month'}` : undefined
}

/** A list of numbers, or one of them. */
function numbersOf(field: string, from: number, to: number): number[] | undefined {
  const numbers = field.split(',').map((part) => (/^\d+$/.test(part) ? Number(part) : Number.NaN))
  return numbers.every((number) => number >= from && number <= to)
    ? numbers.sort((one, other) => one - other)
    : undefined
}

/** A list of names or their numbers, or a range of them. */
function namesOf(field: string, names: readonly string[], first: number, preposition: string): string | undefined {
  const [, from = '', to = ''] = /^(\w+)-(\w+)$/.exec(field) ?? []
  const found = (from ? [from, to] : field.split(',')).map((part) =>
    names.find((name, index) => (/^\d+$/.test(part) ? index + first === Number(part) : nameIn(part, name))),
  )
  if (!found.every((name) => name !== undefined)) return undefined
  return from ? `from ${found.join(' to ')}` : `${preposition} ${listOf(found)}`
}

function nameIn(part: string, name: string): boolean {
  return part.length === 3 && name.toUpperCase().startsWith(part)
}

function ordinalOf(number: number): string {
  const ending = { one: 'st', two: 'nd', few: 'rd' }[ordinals.select(number) as 'one']
  return `${number}${ending ?? 'th'}`
}

const ordinals = new Intl.PluralRules('en', { type: 'ordinal' })

function clockOf(hour: number, minute: number): string {
  return [hour, minute].map((number) => String(number).padStart(2, '0')).join(':')
}

function listOf(words: readonly string[]): string {
  return words.length < 3 ? words.join(' and ') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

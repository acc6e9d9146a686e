import fc from 'fast-check'
import type { Schedule } from 'headgate'
import { expect, test } from 'vitest'
import { lastTick, nextTick } from '../../../src/core/model/cron-times.js'

const minute = 60_000
const day = 24 * 60 * minute

/** A time in an hour in which clocks change, for every zone that has them. */
const changes = {
  UTC: Date.UTC(2024, 1, 29),
  'Europe/Berlin': Date.UTC(2024, 2, 31, 1),
  'America/New_York': Date.UTC(2024, 10, 3, 6),
  'Australia/Lord_Howe': Date.UTC(2024, 3, 6, 15),
  'America/Sao_Paulo': Date.UTC(2018, 10, 4, 3),
  'Africa/Cairo': Date.UTC(2024, 3, 25, 22),
  'Asia/Kathmandu': Date.UTC(1985, 11, 31, 18, 30),
  'Pacific/Apia': Date.UTC(2011, 11, 30, 10),
}

const timeZone = fc.constantFrom(...(Object.keys(changes) as (keyof typeof changes)[]))

/** A field, and the values that it stands for. */
interface Field {
  readonly text: string
  readonly values: ReadonlySet<number>
}

function field(min: number, max: number): fc.Arbitrary<Field> {
  const value = fc.integer({ min, max })
  const every = (from: number, to: number, step: number): number[] =>
    from > to ? [] : [from, ...every(from + step, to, step)]
  const any = fc.constant({ text: '*', values: every(min, max, 1) })
  const step = fc.integer({ min: 1, max: max - min }).map((n) => ({ text: `*/${n}`, values: every(min, max, n) }))
  const list = fc.uniqueArray(value, { minLength: 1, maxLength: 4 }).map((of) => ({ text: of.join(), values: of }))
  const range = fc.tuple(value, value, fc.integer({ min: 1, max: 3 })).map(([a, b, by]) => {
    const [from, to] = [Math.min(a, b), Math.max(a, b)]
    return { text: by === 1 ? `${from}-${to}` : `${from}-${to}/${by}`, values: every(from, to, by) }
  })
  return fc
    .oneof({ weight: 3, arbitrary: any }, { weight: 2, arbitrary: list }, range, step)
    .map(({ text, values }) => ({ text, values: new Set(values) }))
}

const fields = fc.tuple(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))
const textOf = (pattern: Field[]) => pattern.map(({ text }) => text).join(' ')

const schedule: fc.Arbitrary<Schedule> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ cron: fields.map(textOf), timeZone }) },
  { weight: 1, arbitrary: fc.record({ every: fc.integer({ min: 100, max: 30 * day }) }) },
)

const time = fc.oneof(
  fc.integer({ min: 0, max: Date.UTC(2100) }),
  fc.tuple(timeZone, fc.integer({ min: -day, max: day })).map(([zone, offset]) => changes[zone] + offset),
)

test('times are told alike from before and from behind, also where clocks change', () => {
  const property = fc.property(schedule, time, fc.nat(day), (schedule, time, more) => {
    const next = nextTick(schedule, time) as number
    fc.pre(next !== undefined) // 31 February
    const last = lastTick(schedule, time) as number
    expect(next).toBeGreaterThan(time)
    expect(last).toBeLessThanOrEqual(time)
    expect([lastTick(schedule, next), lastTick(schedule, next - 1)]).toEqual([next, last])
    expect([nextTick(schedule, last), nextTick(schedule, last - 1)]).toEqual([next, last])
    expect(nextTick(schedule, time + more)).toBeGreaterThanOrEqual(next)
  })
  fc.assert(property, { numRuns: 500 })
})

/** Patterns that go by what the clock shows even where it changes. */
const wild = fields.filter(([minute, hour]) => /[*/]/.test(minute.text + hour.text))

test('patterns with a `*` come whenever the clock shows their time, also where clocks change', () => {
  const near = fc.tuple(timeZone, fc.integer({ min: -2 * day, max: day }))
  const property = fc.property(wild, near, (pattern, [zone, offset]) => {
    expectTheTimesOf(pattern, zone, changes[zone] + offset)
  })
  fc.assert(property, { numRuns: 50 })
})

test('any pattern does, where clocks do not change', () => {
  const property = fc.property(fields, timeZone, fc.nat(28 * day), (pattern, zone, offset) => {
    expectTheTimesOf(pattern, zone, Date.UTC(2025, 5, 2) + offset)
  })
  fc.assert(property, { numRuns: 50 })
})

/** Compares the times in two days with what is found by looking at the clock every minute. */
function expectTheTimesOf(pattern: Field[], timeZone: string, from: number): void {
  const end = from + 2 * day
  const cron = textOf(pattern)
  const seen: number[] = []
  const show = clock(timeZone)
  for (let at = Math.ceil((from + 1) / minute) * minute; at <= end; at += minute) {
    if (comesAt(pattern, show(at))) seen.push(at)
  }
  const told: number[] = []
  let at = nextTick({ cron, timeZone }, from) ?? end + 1
  for (; at <= end && told.length < 50; at = nextTick({ cron, timeZone }, at) ?? end + 1) told.push(at)
  expect(told).toEqual(seen.slice(0, 50))
}

function comesAt([minute, hour, dayOfMonth, month, dayOfWeek]: Field[], shown: number[]): boolean {
  const has = (field: Field | undefined, place: number) => field?.values.has(shown[place] as number) === true
  const restrictsBoth = dayOfMonth?.text !== '*' && dayOfWeek?.text !== '*'
  const fitsDay = restrictsBoth ? has(dayOfMonth, 2) || has(dayOfWeek, 4) : has(dayOfMonth, 2) && has(dayOfWeek, 4)
  return has(minute, 0) && has(hour, 1) && has(month, 3) && fitsDay
}

/** What the clock on a wall shows: minute, hour, day of the month, month, day of the week. */
function clock(timeZone: string): (time: number) => number[] {
  const format = new Intl.DateTimeFormat('en', {
    ...{ timeZone, hourCycle: 'h23', weekday: 'short', month: 'numeric', day: 'numeric' },
    ...{ hour: 'numeric', minute: 'numeric' },
  } as Intl.DateTimeFormatOptions)
  const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
  return (time) => {
    const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]))
    const { minute, hour, day, month, weekday = '' } = parts
    return [Number(minute), Number(hour), Number(day), Number(month), days.indexOf(weekday)]
  }
}

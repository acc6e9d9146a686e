import { JobError, type Schedule } from 'headgate'
import { describe, expect, test } from 'vitest'
import { lastTick, nextTick } from '../../../src/core/model/cron-times.js'
import { checkSchedule } from '../../../src/core/model/schedule.js'

const iso = (time: number | undefined) => time && new Date(time).toISOString().replace(':00.000Z', 'Z')

/** The times of a schedule after `from` and up to `to`, in UTC. */
function ticks(schedule: Schedule, from: string, to: string): unknown[] {
  const found: unknown[] = []
  let time = nextTick(schedule, Date.parse(from))
  for (; time !== undefined && time <= Date.parse(to); time = nextTick(schedule, time)) found.push(iso(time))
  return found
}

/** The same, found from the end. */
function ticksBackwards(schedule: Schedule, from: string, to: string): unknown[] {
  const found: unknown[] = []
  let time = lastTick(schedule, Date.parse(to))
  for (; time !== undefined && time > Date.parse(from); time = lastTick(schedule, time - 1)) found.unshift(iso(time))
  return found
}

describe('a schedule that cannot be is refused', () => {
  test.each<[string, object, string]>([
    ['no object', 'daily' as never, 'Expected `schedule` to be an object, got `daily` (string)'],
    [
      'neither',
      {},
      'Expected `schedule.cron` to be a cron pattern of five fields, or of six with seconds first, where',
    ],
    ['both', { cron: '* * * * *', every: 1000 }, 'Expected `schedule.every` to be omitted with `cron`, got `1000`'],
    [
      'a zone without cron',
      { every: 1000, timeZone: 'UTC' },
      'Expected `schedule.timeZone` to be omitted with `every`',
    ],
    [
      'an unknown name',
      { cron: '* * * * *', tz: 'UTC' },
      'Expected `schedule` to be an object with `cron`, `timeZone`,',
    ],
    ['a zone that there is not', { cron: '* * * * *', timeZone: 'Mars/Base' }, 'got `Mars/Base` (string)'],
    ['an offset', { cron: '* * * * *', timeZone: '+02:00' }, 'Expected `schedule.timeZone` to be the IANA name of a'],
    ['no zone', { cron: '* * * * *', timeZone: '' }, 'Expected `schedule.timeZone` to be the IANA name of a time zone'],
    [
      'too often',
      { every: 99 },
      'Expected `schedule.every` to be a whole number of milliseconds from 100 up, got `99` (number)',
    ],
    [
      'a part of a millisecond',
      { every: 1000.5 },
      'Expected `schedule.every` to be a whole number of milliseconds from 100 up',
    ],
    ['maybe', { every: 1000, enabled: 1 }, 'Expected `schedule.enabled` to be true or false, got `1` (number)'],
    ['a word', { every: 1000, ifRunning: 'queue' }, 'Expected `schedule.ifRunning` to be one of `skip`, `runAfter`'],
    ['another', { every: 1000, ifMissed: 'all' }, 'Expected `schedule.ifMissed` to be one of `skip`, `catchUp`'],
    [
      'no text',
      { cron: 5 },
      'Expected `schedule.cron` to be a cron pattern of five fields, or of six with seconds first',
    ],
    ['a date', { cron: '2030-01-01T00:00:00Z' }, 'got `2030-01-01T00:00:00Z` (string)'],
    [
      '30 February',
      { cron: '0 0 30 2 *' },
      'Expected `schedule.cron` to be a cron pattern whose time comes, got `0 0 30',
    ],
    ['31 April', { cron: '0 0 31 4,6,9,11 *' }, 'Expected `schedule.cron` to be a cron pattern whose time comes'],
  ])('%s', (_, schedule, message) => {
    const check = () => checkSchedule(schedule as Schedule)
    expect(check).toThrow(message)
    expect(check).toThrow(expect.toSatisfy((error) => JobError.isInstance(error) && error.code === 'invalid_options'))
  })

  test.each([
    '',
    '* * * *',
    '* * * * * * *',
    '60 * * * *',
    '0 24 * * *',
    '0 0 0 * *',
    '0 0 * 13 *',
    '0 0 * * MOON',
    '1 h * * *',
  ])('the pattern "%s", with why', (cron) => {
    const check = () => checkSchedule({ cron })
    expect(check).toThrow('Expected `schedule.cron` to be a cron pattern of five fields, or of six with seconds first')
    expect(check).toThrow(expect.toSatisfy(({ cause }) => /^CronPattern: /.test(cause.message)))
  })
})

test.each<[Schedule, string[]]>([
  [{ cron: '*/20 9-10 * * *' }, ['09:00', '09:20', '09:40', '10:00', '10:20', '10:40']],
  [{ cron: '0 9,12 * * MON-FRI' }, ['09:00', '12:00']],
  [{ cron: '0 12 * FEB,mar thu' }, ['12:00']],
  [{ cron: '0 12 1 * *' }, []],
  [{ cron: '0 12 * * 5#5' }, []],
  [{ cron: '0 12 * * THU#5' }, ['12:00']],
  [{ cron: '0 12 1 * THU' }, ['12:00']],
  [{ cron: '0 0 L * *' }, ['00:00']],
  [{ cron: '5 4 29 2 *' }, ['04:05']],
  [{ cron: '@daily' }, ['00:00']],
  [{ cron: '0 22 * * *', timeZone: 'Asia/Kathmandu' }, ['16:15']],
  [{ every: 8 * 3_600_000 }, ['00:00', '08:00', '16:00']],
])('%j has its times on Thursday, 29 February 2024', (schedule, times) => {
  checkSchedule(schedule)
  const found = ticks(schedule, '2024-02-28T23:59Z', '2024-02-29T23:59Z')
  expect(found).toEqual(times.map((time) => `2024-02-29T${time}Z`))
})

test('six fields have seconds first', () => {
  const found = ticks({ cron: '*/30 0 12 * * *' }, '2024-01-01T00:00Z', '2024-01-01T23:00Z')
  expect(found).toEqual(['2024-01-01T12:00Z', '2024-01-01T12:00:30.000Z'])
})

type Zone = 'Europe/Berlin' | 'America/New_York' | 'Australia/Lord_Howe'
type Days = Record<Zone, readonly [from: string, to: string]>

/** 02:00 becomes 03:00, or, on the island, 02:00 becomes 02:30. */
const springs: Days = {
  'Europe/Berlin': ['2024-03-30T23:00Z', '2024-03-31T22:00Z'],
  'America/New_York': ['2024-03-10T05:00Z', '2024-03-11T04:00Z'],
  'Australia/Lord_Howe': ['2024-10-05T13:30Z', '2024-10-06T13:00Z'],
}

/** 03:00 becomes 02:00, in New York 02:00 becomes 01:00, and on the island 02:00 becomes 01:30. */
const autumns: Days = {
  'Europe/Berlin': ['2024-10-26T22:00Z', '2024-10-27T23:00Z'],
  'America/New_York': ['2024-11-03T04:00Z', '2024-11-04T05:00Z'],
  'Australia/Lord_Howe': ['2024-04-06T13:00Z', '2024-04-07T13:30Z'],
}

describe('on the day of the gap', () => {
  test.each<[string, Zone, string[]]>([
    ['30 2 * * *', 'Europe/Berlin', ['2024-03-31T01:00Z']],
    ['0 3 * * *', 'Europe/Berlin', ['2024-03-31T01:00Z']],
    ['0,15,30 2 * * *', 'Europe/Berlin', ['2024-03-31T01:00Z']],
    ['30 2,14 * * *', 'Europe/Berlin', ['2024-03-31T01:00Z', '2024-03-31T12:30Z']],
    ['30 1-3 * * *', 'Europe/Berlin', ['2024-03-31T00:30Z', '2024-03-31T01:00Z', '2024-03-31T01:30Z']],
    ['*/15 2 * * *', 'Europe/Berlin', []],
    ['0 */8 * * *', 'Europe/Berlin', ['2024-03-31T06:00Z', '2024-03-31T14:00Z']],
    ['30 2 * * *', 'America/New_York', ['2024-03-10T07:00Z']],
    ['15 2 * * *', 'Australia/Lord_Howe', ['2024-10-05T15:30Z']],
    ['30 2 * * *', 'Australia/Lord_Howe', ['2024-10-05T15:30Z']],
    ['45 2 * * *', 'Australia/Lord_Howe', ['2024-10-05T15:45Z']],
  ])('"%s" in %s', (cron, timeZone, expected) => expectTicks({ cron, timeZone }, springs[timeZone], expected))
})

describe('on the day that has an hour, or half of one, twice', () => {
  test.each<[string, Zone, string[]]>([
    ['30 2 * * *', 'Europe/Berlin', ['2024-10-27T00:30Z']],
    ['0 3 * * *', 'Europe/Berlin', ['2024-10-27T02:00Z']],
    ['30 2,14 * * *', 'Europe/Berlin', ['2024-10-27T00:30Z', '2024-10-27T13:30Z']],
    [
      '*/30 2 * * *',
      'Europe/Berlin',
      ['2024-10-27T00:00Z', '2024-10-27T00:30Z', '2024-10-27T01:00Z', '2024-10-27T01:30Z'],
    ],
    ['30 1 * * *', 'America/New_York', ['2024-11-03T05:30Z']],
    ['45 1 * * *', 'Australia/Lord_Howe', ['2024-04-06T14:45Z']],
    ['0 2 * * *', 'Australia/Lord_Howe', ['2024-04-06T15:30Z']],
    // A step without `*` is fixed in Vixie cron, and would run at 00:00 and 02:00 once each.
    ['0 0-3/2 * * *', 'Europe/Berlin', ['2024-10-27T00:00Z', '2024-10-27T01:00Z']],
  ])('"%s" in %s', (cron, timeZone, expected) => expectTicks({ cron, timeZone }, autumns[timeZone], expected))
})

describe.each(Object.keys(springs) as Zone[])('in %s', (timeZone) => {
  test.each([{ days: springs }, { days: autumns }])(
    '"*/15 * * * *" comes every quarter of an hour that passes',
    ({ days }) => {
      const found = ticks({ cron: '*/15 * * * *', timeZone }, ...days[timeZone])
      expect(found).toEqual(ticks({ every: 900_000 }, ...days[timeZone]))
    },
  )

  test.each([{ days: springs }, { days: autumns }])('"0 * * * *" comes every hour that passes', ({ days }) => {
    const found = ticks({ cron: '0 * * * *', timeZone }, ...days[timeZone])
    if (timeZone !== 'Australia/Lord_Howe') expect(found).toEqual(ticks({ every: 3_600_000 }, ...days[timeZone]))
    // Where clocks move by half an hour, it is 90 minutes from 01:00 to the next full hour that they show.
    else expect(found).toHaveLength(days === springs ? 23 : 24)
  })
})

/** Expects these times in a day, whose first moment is left out, in both directions. */
function expectTicks(schedule: Schedule, [from, to]: readonly [string, string], expected: string[]): void {
  const end = new Date(Date.parse(to) - 1).toISOString()
  expect(ticks(schedule, from, end)).toEqual(expected)
  expect(ticksBackwards(schedule, from, end)).toEqual(expected)
}

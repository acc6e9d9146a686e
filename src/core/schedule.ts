import { Cron } from 'croner'
import { checkOptions, invalid, type Rule, rule } from './options.js'

/**
 * When a job starts by itself: by `cron` or by `every`, one of the two.
 *
 * Where a time zone changes its clocks, `cron` goes by whether seconds, minutes and hours are all fixed (numbers, lists and
 * ranges, as in `30 2 * * *` or `30 2,14 * * *`), or one of them has a `*` or a step:
 *
 * - A fixed time that is left out comes at the end of the gap, once for all times in it; one that happens twice comes the
 *   first time only. So a daily job runs every day, once.
 * - Others come whenever the clock shows their time: times that are left out do not come, those that happen twice come
 *   twice. So `0 * * * *` runs every hour that passes, and `*\/15 * * * *` every quarter of an hour.
 *
 * This is what Vixie cron does, but for a step without `*`, such as `0-23/2`, which it takes for fixed.
 */
export interface Schedule {
  /**
   * Five fields, minute, hour, day of the month, month and day of the week, or six with seconds first: `*`, numbers, names
   * (`MON`, `JAN`), lists, ranges and steps. When days of the month and of the week are both restricted, either will do.
   */
  cron?: string
  /** The IANA name of the time zone in which `cron` is meant. Default `UTC`, whatever that of the machine. */
  timeZone?: string
  /** The milliseconds from one start to the next, from 100: starts are at multiples of it since 1970, the same everywhere. */
  every?: number
  /** Whether the job starts by itself at all. Default `true`. */
  enabled?: boolean
  /**
   * What becomes of a time at which the job is live. `skip`, the default: it passes. `runAfter`: the job starts once it has
   * ended, for the last of the times that have come by then.
   */
  ifRunning?: 'skip' | 'runAfter'
  /**
   * What becomes of times at which no process was there to start the job, or came more than a minute too late. `skip`, the
   * default: they pass. `catchUp`: the job starts as soon as one is there, once for all of them.
   */
  ifMissed?: 'skip' | 'catchUp'
}

/** How a job starts by itself. */
export interface Scheduled {
  /** When the job starts by itself. Default: never. */
  schedule?: Schedule
}

const aPattern = 'a cron pattern of five fields, or of six with seconds first'

const rules: Record<keyof Schedule, Rule> = {
  // A colon would make it a date.
  cron: rule.optional({ accepts: (value) => typeof value === 'string' && !value.includes(':'), expected: aPattern }),
  timeZone: rule.optional({ accepts: isTimeZone, expected: 'the IANA name of a time zone, such as `Europe/Berlin`' }),
  every: rule.optional(rule.whole(100)),
  enabled: rule.optional(rule.flag),
  ifRunning: rule.optional(rule.oneOf('skip', 'runAfter')),
  ifMissed: rule.optional(rule.oneOf('skip', 'catchUp')),
}

/** The rules of {@link Scheduled}. */
export const scheduleRules: Record<keyof Scheduled, Rule> = {
  schedule: rule.optional(rule.anObject),
}

/** Throws `invalid_options` for a schedule that cannot be, or of which no time ever comes. */
export function checkSchedule(schedule: Schedule): void {
  checkOptions('schedule', schedule, rules, 'schedule.')
  const { cron, timeZone, every } = schedule
  if (cron !== undefined && every !== undefined) throw invalid('schedule.every', 'left out beside `cron`', every)
  if (timeZone !== undefined && every !== undefined)
    throw invalid('schedule.timeZone', 'left out beside `every`', timeZone)
  if (every !== undefined) return
  if (cron === undefined) throw invalid('schedule.cron', `${aPattern}, where there is no \`every\``, cron)
  if (timeOf(patternOf(cron, timeZone).nextRun(new Date(0))) === undefined) {
    throw invalid('schedule.cron', 'a cron pattern whose time comes', cron)
  }
}

/** The first time of a schedule after `after`, both in epoch milliseconds: `undefined` when none comes. */
export function nextTick({ cron, timeZone, every }: Schedule, after: number): number | undefined {
  if (every !== undefined) return (Math.floor(after / every) + 1) * every
  return timeOf(patternOf(cron, timeZone).nextRun(new Date(after)))
}

/** The last time of a schedule up to `upTo`, that one included, both in epoch milliseconds: `undefined` when none was. */
export function lastTick({ cron, timeZone, every }: Schedule, upTo: number): number | undefined {
  if (every !== undefined) return Math.floor(upTo / every) * every
  const [before] = patternOf(cron, timeZone).previousRuns(1, new Date(upTo + 1))
  return timeOf(before)
}

/** Makes the pattern anew whenever it is asked: it takes 80 kB, too much to be kept for every job. */
function patternOf(cron = '', timeZone = 'UTC'): Cron {
  try {
    return new Cron(cron, { timezone: timeZone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard', paused: true })
  } catch (cause) {
    throw invalid('schedule.cron', aPattern, cron, { cause })
  }
}

function timeOf(date: Date | null | undefined): number | undefined {
  return date?.getTime()
}

function isTimeZone(value: unknown): boolean {
  // Offsets, which are no zones, are known to newer versions of Node only.
  if (typeof value !== 'string' || /^[+-]/.test(value)) return false
  try {
    return new Intl.DateTimeFormat('en', { timeZone: value }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

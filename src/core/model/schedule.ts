import { checkOptions, invalid, type Rule, rule } from '../base/index.js'
import { cronExpectation, nextTick } from './cron-times.js'
import { type JobParams, keptParams } from './params.js'

/**
 * When a job starts automatically. Set either `cron` or `every`.
 *
 * Daylight saving time: `cron` treats a pattern as fixed when seconds, minutes and hours are numbers, lists or ranges
 * (`30 2 * * *`, `30 2,14 * * *`). A pattern with `*` or a step in one of them is a wildcard pattern.
 *
 * - Fixed: times that the clock skips run once, at the end of the gap. A time that occurs twice runs the first time only.
 *   So a daily job runs every day, once.
 * - Wildcard: runs whenever the clock shows a matching time. Skipped times do not run; times that occur twice run twice.
 *   So `0 * * * *` runs every hour that passes, and `*\/15 * * * *` every quarter of an hour.
 *
 * Vixie cron does the same, except that it treats a step without `*`, such as `0-23/2`, as fixed.
 */
export type Schedule = ScheduleOptions & (CronSchedule | IntervalSchedule)

/** A schedule at times of the calendar. */
export interface CronSchedule {
  /**
   * Five fields (minute, hour, day of the month, month, day of the week), or six with seconds first: `*`, numbers, names
   * (`MON`, `JAN`), lists, ranges and steps. When day of the month and day of the week are both restricted, either match runs.
   */
  cron: string
  /** The IANA time zone of `cron`. Default `UTC`, not the machine's time zone. */
  timeZone?: string
  /** Only without `cron`. */
  every?: never
}

/** A schedule at an interval. */
export interface IntervalSchedule {
  /** Interval between starts in milliseconds, at least 100. Starts are at multiples of it since 1970, equal in all processes. */
  every: number
  /** Only without `every`. */
  cron?: never
  /** Only with `cron`. */
  timeZone?: never
}

/** What every schedule may set. */
export interface ScheduleOptions {
  /** Whether the schedule is active. Default `true`. */
  enabled?: boolean
  /** The parameters of its starts. Default: none. */
  params?: JobParams
  /**
   * What happens when a scheduled time comes while the job is live. `skip`, the default, skips it. `runAfter` starts the job
   * once it has ended, for the latest time that came by then.
   */
  ifRunning?: 'skip' | 'runAfter'
  /**
   * What happens to a time that no process served, or that is served more than a minute late. `skip`, the default, skips it.
   * `catchUp` starts the job as soon as a process is available, once for all missed times.
   */
  ifMissed?: 'skip' | 'catchUp'
}

/** The schedule of a job. */
export interface Scheduled {
  /** When the job starts automatically. Default: never. */
  schedule?: Schedule
}

const rules: Record<keyof Schedule, Rule> = {
  // A colon would make it a date.
  cron: rule.optional({
    accepts: (value) => typeof value === 'string' && !value.includes(':'),
    expected: cronExpectation,
  }),
  timeZone: rule.optional({ accepts: isTimeZone, expected: 'the IANA name of a time zone, such as `Europe/Berlin`' }),
  every: rule.optional(rule.milliseconds(100)),
  enabled: rule.optional(rule.flag),
  params: rule.optional(rule.anObject),
  ifRunning: rule.optional(rule.oneOf('skip', 'runAfter')),
  ifMissed: rule.optional(rule.oneOf('skip', 'catchUp')),
}

/** The rules of {@link Scheduled}. */
export const scheduleRules: Record<keyof Scheduled, Rule> = {
  schedule: rule.optional({
    ...rule.anObject,
    expected: 'an object with `cron` or `every`, such as `{ every: 60_000 }`',
  }),
}

/** Throws `invalid_options` for a schedule that is not valid or never runs. */
export function checkSchedule(schedule: Schedule): void {
  checkOptions('schedule', schedule, rules, 'schedule.')
  const { cron, timeZone, every, params } = schedule
  if (params !== undefined) keptParams(params)
  if (cron !== undefined && every !== undefined) throw invalid('schedule.every', 'omitted with `cron`', every)
  if (timeZone !== undefined && every !== undefined)
    throw invalid('schedule.timeZone', 'omitted with `every`', timeZone)
  if (every !== undefined) return
  if (cron === undefined) throw invalid('schedule.cron', `${cronExpectation}, where there is no \`every\``, cron)
  if (nextTick(schedule, 0) === undefined) {
    throw invalid('schedule.cron', 'a cron pattern whose time comes', cron)
  }
}

/** The first scheduled time after `time`, both in epoch milliseconds. Infinity when there is none. */
export function nextAfter(schedule: Schedule, time: number): number {
  return nextTick(schedule, time) ?? Number.POSITIVE_INFINITY
}

function isTimeZone(value: unknown): boolean {
  // Newer versions of Node accept offsets, which are not zones.
  if (typeof value !== 'string' || /^[+-]/.test(value)) return false
  try {
    return new Intl.DateTimeFormat('en', { timeZone: value }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

import { Cron } from 'croner'
import { invalid } from '../base/index.js'

/** What the option `cron` is expected to be. */
export const cronExpectation = 'a cron pattern of five fields, or of six with seconds first'

/** The parts of a schedule that decide its times. */
interface Times {
  readonly cron?: string
  readonly timeZone?: string
  readonly every?: number
}

/** The first time of a schedule after `after`, both in epoch milliseconds. `undefined` when there is none. */
export function nextTick({ cron, timeZone, every }: Times, after: number): number | undefined {
  if (every !== undefined) return (Math.floor(after / every) + 1) * every
  return timeOf(patternOf(cron, timeZone).nextRun(new Date(after)))
}

/** The latest time of a schedule up to and including `upTo`, both in epoch milliseconds. `undefined` when there is none. */
export function lastTick({ cron, timeZone, every }: Times, upTo: number): number | undefined {
  if (every !== undefined) return Math.floor(upTo / every) * every
  const [before] = patternOf(cron, timeZone).previousRuns(1, new Date(upTo + 1))
  return timeOf(before)
}

/** Parses the pattern on every call: a parsed pattern takes 80 kB, too much to keep for every job. */
function patternOf(cron = '', timeZone = 'UTC'): Cron {
  try {
    return new Cron(cron, { timezone: timeZone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard', paused: true })
  } catch (cause) {
    throw invalid('schedule.cron', cronExpectation, cron, { cause })
  }
}

function timeOf(date: Date | null | undefined): number | undefined {
  return date?.getTime()
}

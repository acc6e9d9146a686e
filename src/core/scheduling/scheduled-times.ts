import { type Job, nextTick, type Schedule } from '../model/index.js'

/** The maximum delay of a scheduled start, and the maximum lead of a clock, in milliseconds. */
export const leeway = 60_000

/** The schedule of a job, if it is enabled. */
export function scheduleOf({ schedule }: Job): Schedule | undefined {
  return schedule?.enabled === false ? undefined : schedule
}

/** The first scheduled time after `time`. Infinity when there is none. */
export function nextAfter(schedule: Schedule, time: number): number {
  return nextTick(schedule, time) ?? Number.POSITIVE_INFINITY
}

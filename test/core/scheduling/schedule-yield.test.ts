import { type JobContext, JobRegistry, type Logger, localDispatcher, memoryStorage, type Schedule } from 'headgate'
import type { ScheduleEngine } from 'headgate/adapter'
import { fakeClock, heldJob } from 'headgate/testing'
import { afterEach, describe, expect, it } from 'vitest'

const minute = 60_000
const job = { type: 'task', id: 'a' }
const registries: JobRegistry[] = []
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close()))
})

/** A registry with one job, whose dispatcher tells it what one likes. */
function worldOf(schedule: Schedule, lasts = 0) {
  const clock = fakeClock(Date.UTC(2026, 0, 1, 0, 0, 30))
  const log: string[] = []
  const say = (details: { from?: string; to?: string }, message: string) => {
    const isOfExecution = /\] (runs|was successful|was aborted)\.$/.test(message)
    if (!isOfExecution) log.push([message, details.from, details.to].filter(Boolean).join(' '))
  }
  const logger: Logger = { debug: () => {}, info: say, warn: say, error: say }
  let yieldTo: (lastSeen?: number) => void = () => {}
  const schedules: ScheduleEngine = {
    set: (_job, _schedule, onRival) => {
      yieldTo = onRival
    },
    remove: () => {},
  }
  const registry = new JobRegistry({
    storage: memoryStorage({ clock }),
    clock,
    logger,
    dispatcher: Object.assign(localDispatcher(), { schedules }),
  })
  registries.push(registry)
  const runs: string[] = []
  const held = heldJob(job)
  const run = (context: JobContext) => {
    runs.push(new Date(clock.now()).toISOString().slice(11, 19))
    clock.setTimer(lasts, held.finish)
    return held.job.run(context)
  }
  registry.define({ ...job, run, schedule })
  const pass = async (minutes: number) => {
    for (let n = 0; n < minutes; n++) await clock.advance(minute)
  }
  return { clock, log, runs, pass, yieldTo }
}

const everyMinute: Schedule = { cron: '* * * * *' }

describe('a schedule that another registry has defined since', () => {
  it('starts the job no more, until that registry is gone', async () => {
    const { clock, log, runs, pass, yieldTo } = worldOf(everyMinute)
    await pass(1)
    yieldTo()
    yieldTo()
    await pass(2)
    expect(runs).toEqual(['00:01:00'])
    yieldTo(clock.now() - 1000)
    await pass(1)
    expect(runs).toEqual(['00:01:00', '00:04:00'])
    expect(log).toEqual([
      'The schedule of job [task/a] is not followed here: another registry has defined it differently since.',
      'The schedule of job [task/a] is followed here again: the registry that defined it differently is gone.',
    ])
  })

  it('sees to the times that came since that registry was seen', async () => {
    const { clock, log, runs, pass, yieldTo } = worldOf(everyMinute)
    yieldTo()
    await pass(3)
    yieldTo(clock.now() - 2.2 * minute)
    await clock.advance(0)
    expect(runs).toEqual(['00:03:30'])
    expect(log.at(-1)).toContain('2026-01-01T00:02:00.000Z 2026-01-01T00:03:00.000Z')
  })

  it('is not followed where nothing was yielded', async () => {
    const { clock, log, runs, yieldTo } = worldOf(everyMinute)
    yieldTo(clock.now() - 10 * minute)
    await clock.advance(0)
    expect([runs, log]).toEqual([[], []])
  })
})

describe('times that are passed over', () => {
  it('are logged when the job starts after others for the last of them', async () => {
    const { log, runs, pass } = worldOf({ ...everyMinute, ifRunning: 'runAfter' }, 3.2 * minute)
    await pass(5)
    expect(runs).toEqual(['00:01:00', '00:04:12'])
    expect(log).toEqual([
      'Job [task/a] starts for the latest of several scheduled times: they came before it could be started. 2026-01-01T00:02:00.000Z 2026-01-01T00:04:00.000Z',
    ])
  })
})

import { type Clock, type Job, JobError, type JobStorage, type Schedule, type StartedExecution } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import { fakeClock } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { StartParts } from '../../../src/core/scheduling/scheduled-starts.js'
import { Scheduler } from '../../../src/core/scheduling/scheduler.js'

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** When the fake clock begins: a midnight. */
const zero = Date.UTC(2020)

/** A clock that can be put forward and back under the timers that wait. */
function jumpyClock() {
  const clock = fakeClock(zero)
  let offset = 0
  const jumpy = {
    now: () => clock.now() + offset,
    setTimer: vi.fn<Clock['setTimer']>((delay, callback, options) => clock.setTimer(delay, callback, options)),
    advance: clock.advance,
    jump: (by: number) => {
      offset += by
    },
    get pending() {
      return clock.pending
    },
  }
  return jumpy
}

/** What storage would hold of the one job, for any number of schedulers. */
class World {
  readonly clock = jumpyClock()
  readonly logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  /** The times that the job was started for, since the beginning of the clock. */
  readonly starts: number[] = []
  /** How often storage was asked to start. */
  asked = 0
  isAway = false
  record: ExecutionRecord | undefined
  #end: PromiseWithResolvers | undefined

  /** Starts the job as a runner does. */
  readonly runner: StartParts['runner'] = {
    start: async (_, { scheduledFor = 0 } = {}) => {
      this.asked++
      if (this.isAway) throw new Error('storage is away')
      const isTaken = scheduledFor <= (this.record?.scheduledFor ?? -1)
      const isLive = this.record && this.record.endTime === undefined
      if (isTaken || isLive) throw new JobError('already_running', 'Job [test/a] is already running.')
      this.starts.push(scheduledFor - zero)
      this.begin(scheduledFor)
      return {} as StartedExecution
    },
  }

  open(runner = this.runner): Scheduler {
    const find = async () => {
      if (this.isAway) throw new Error('storage is away')
      return this.record
    }
    const { clock, logger } = this
    const runtime = { clock, logger, lease: 30 * second, storage: { find } as unknown as JobStorage }
    const whenEnded = async () => {
      await this.#end?.promise
      return this.record as ExecutionRecord
    }
    const paused = { pending: undefined, of: () => undefined, onUnpaused: () => {} }
    const scheduler = new Scheduler(runtime, undefined, { runner, completions: { whenEnded }, paused })
    onTestFinished(() => scheduler.stop())
    return scheduler
  }

  /** Begins an execution, which runs until it is ended. */
  begin(scheduledFor?: number): void {
    const known = scheduledFor ?? this.record?.scheduledFor
    this.record = { ...newRecord, startTime: this.clock.now(), ...(known !== undefined && { scheduledFor: known }) }
    this.#end = withResolvers()
  }

  async end(): Promise<void> {
    this.record = { ...(this.record as ExecutionRecord), state: 'successful', endTime: this.clock.now() }
    this.#end?.resolve()
    await this.clock.advance(0)
  }
}

type PromiseWithResolvers = { promise: Promise<void>; resolve: () => void }

function withResolvers(): PromiseWithResolvers {
  let resolve = () => {}
  const promise = new Promise<void>((fulfil) => {
    resolve = fulfil
  })
  return { promise, resolve }
}

const newRecord: ExecutionRecord = {
  ...{ type: 'test', id: 'a', executionId: 'a-1', state: 'running', epoch: 1, node: 'n' },
  ...{ startTime: 0, leaseUntil: 0, count: 0 },
}

const jobWith = (schedule: Schedule): Job => ({ type: 'test', id: 'a', run: () => {}, schedule })
const hourly: Schedule = { cron: '0 * * * *' }

describe('a job with a schedule', () => {
  test('starts at each of its times', async () => {
    const world = new World()
    world.open().add(jobWith(hourly))
    await world.clock.advance(hour - 1)
    expect(world.starts).toEqual([])
    await world.clock.advance(1)
    expect(world.starts).toEqual([hour])
    await world.end()
    await world.clock.advance(hour)
    expect(world.starts).toEqual([hour, 2 * hour])
  })

  test('starts once for each, however many processes wait for it', async () => {
    const world = new World()
    for (let n = 0; n < 3; n++) world.open().add(jobWith(hourly))
    await world.clock.advance(hour)
    await world.end()
    await world.clock.advance(hour)
    expect(world.starts).toEqual([hour, 2 * hour])
    expect(world.asked).toBe(6)
  })

  test('waits in steps, longer than any timer can, and without keeping the process alive', async () => {
    const world = new World()
    const scheduler = world.open()
    scheduler.add(jobWith({ cron: '0 0 3 1 *' }))
    scheduler.add({ ...jobWith({ cron: '0 0 1 12 *' }), id: 'b' })
    await world.clock.advance(2 * day)
    expect(world.starts).toEqual([2 * day])
    const delays = world.clock.setTimer.mock.calls.map(([delay]) => delay)
    expect(Math.max(...delays)).toBeLessThanOrEqual(minute)
    expect(world.clock.pending).toBe(1)
    expect(world.clock.setTimer.mock.calls.every(([, , options]) => options?.background)).toBe(true)
  })

  test('tells when it starts next', async () => {
    const world = new World()
    const scheduler = world.open()
    expect(scheduler.next(jobWith(hourly))).toBe(zero + hour)
    await world.clock.advance(hour)
    expect(scheduler.next(jobWith(hourly))).toBe(zero + 2 * hour)
    expect(scheduler.next(jobWith({ ...hourly, enabled: false }))).toBeUndefined()
    expect(scheduler.next({ type: 'test', id: 'a', run: () => {} })).toBeUndefined()
  })

  test('does not start when it is not enabled', async () => {
    const world = new World()
    const job = jobWith({ ...hourly, enabled: false })
    const scheduler = world.open()
    scheduler.add(job)
    await scheduler.tick(job, zero)
    await world.clock.advance(day)
    expect([world.asked, world.clock.pending]).toEqual([0, 0])
  })

  test('does not start once its scheduler was stopped', async () => {
    const world = new World()
    const scheduler = world.open()
    scheduler.add(jobWith(hourly))
    scheduler.stop()
    scheduler.add(jobWith(hourly))
    await scheduler.tick(jobWith(hourly), zero)
    await world.clock.advance(day)
    expect([world.asked, world.clock.pending]).toEqual([0, 0])
  })
})

describe('a time that finds the job running', () => {
  test('is skipped', async () => {
    const world = new World()
    world.open().add(jobWith(hourly))
    await world.clock.advance(2.5 * hour)
    await world.end()
    expect(world.starts).toEqual([hour])
    expect(world.logger.info).toHaveBeenCalledExactlyOnceWith(
      { type: 'test', id: 'a', scheduledFor: '2020-01-01T02:00:00.000Z' },
      'Job [test/a] skips a scheduled time: the job is running.',
    )
    await world.clock.advance(hour)
    expect(world.starts).toEqual([hour, 3 * hour])
  })

  test('has it run once after, for the last time that has come by then', async () => {
    const world = new World()
    for (let n = 0; n < 3; n++) world.open().add(jobWith({ ...hourly, ifRunning: 'runAfter' }))
    await world.clock.advance(4.5 * hour)
    expect(world.starts).toEqual([hour])
    await world.end()
    expect(world.starts).toEqual([hour, 4 * hour])
    await world.end()
    await world.clock.advance(hour / 4)
    expect(world.starts).toEqual([hour, 4 * hour])
    await world.clock.advance(hour / 4)
    expect(world.starts).toEqual([hour, 4 * hour, 5 * hour])
  })

  test('has it run after whoever comes first', async () => {
    const world = new World()
    world.open().add(jobWith({ ...hourly, ifRunning: 'runAfter' }))
    world.begin()
    await world.clock.advance(1.5 * hour)
    const ended = world.end()
    world.begin()
    await ended
    expect(world.starts).toEqual([])
    await world.end()
    expect(world.starts).toEqual([hour])
  })

  test('has nothing run after the scheduler was stopped', async () => {
    const world = new World()
    const scheduler = world.open()
    scheduler.add(jobWith({ ...hourly, ifRunning: 'runAfter' }))
    await world.clock.advance(2.5 * hour)
    scheduler.stop()
    await world.end()
    expect(world.starts).toEqual([hour])
  })
})

describe('a time that comes while another one is being begun', () => {
  test.each<[Schedule['ifRunning'], number[]]>([
    ['skip', [second]],
    ['runAfter', [second, 3 * second]],
  ])('is not lost: %s', async (ifRunning, expected) => {
    const world = new World()
    const answers: (() => void)[] = []
    const scheduler = world.open({
      start: async (job, request) => {
        const answer = world.runner.start(job, request)
        await Promise.allSettled([answer])
        await new Promise<void>((resolve) => answers.push(resolve))
        return answer
      },
    })
    scheduler.add(jobWith({ every: second, ifRunning: ifRunning as 'skip' }))
    await world.clock.advance(3 * second)
    expect(world.asked).toBe(1)
    answers.shift()?.()
    await world.clock.advance(0)
    expect(world.asked).toBe(2)
    answers.shift()?.()
    await world.clock.advance(0)
    await world.end()
    expect(world.starts).toEqual(expected)
  })
})

describe('times that were missed', () => {
  /** A world in which the job was started for one o'clock, has ended at 1:30, and nobody was there since, until 3:45. */
  async function missed(): Promise<World> {
    const world = new World()
    await world.clock.advance(hour)
    world.begin(zero + hour)
    await world.clock.advance(hour / 2)
    await world.end()
    await world.clock.advance(2.25 * hour)
    return world
  }

  test('pass', async () => {
    const world = await missed()
    world.open().add(jobWith(hourly))
    await world.clock.advance(second)
    expect(world.starts).toEqual([])
    const details = { type: 'test', id: 'a', scheduledFor: new Date(zero + 3 * hour).toISOString() }
    const message = 'Job [test/a] skips a scheduled time: no process was available.'
    expect(world.logger.info.mock.calls).toEqual([[details, message]])
  })

  test('are told a minute later when they have just come', async () => {
    const world = await missed()
    await world.clock.advance(hour / 4 + second)
    world.open().add(jobWith({ ...hourly, ifRunning: 'skip' }))
    await world.clock.advance(minute - 2 * second)
    const times = () => world.logger.info.mock.calls.map(([{ scheduledFor }]) => scheduledFor)
    expect(times()).toEqual([new Date(zero + 3 * hour).toISOString()])
    await world.clock.advance(2 * second)
    expect(times()).toEqual([new Date(zero + 3 * hour).toISOString(), new Date(zero + 4 * hour).toISOString()])
  })

  test('are none that another process handles, or that find the job running', async () => {
    const world = await missed()
    world.open().add(jobWith(hourly))
    await world.clock.advance(second)
    world.logger.info.mockClear()
    await world.clock.advance(hour / 4)
    world.open().add(jobWith(hourly))
    await world.clock.advance(10 * minute)
    world.open().add(jobWith(hourly))
    await world.clock.advance(10 * minute)
    expect(world.starts).toEqual([4 * hour])
    expect(world.logger.info).not.toHaveBeenCalled()
  })

  test('are told of at a bounded rate', async () => {
    const world = await missed()
    const scheduler = world.open()
    for (let n = 0; n < 1000; n++) scheduler.add({ ...jobWith(hourly), id: `${n}` })
    await world.clock.advance(second)
    expect(world.logger.info).toHaveBeenCalledTimes(20)
    await world.clock.advance(10 * second)
    expect(world.logger.info.mock.lastCall?.[0]).toMatchObject({ suppressed: 980 })
  })

  test('are caught up on, once, for the last of them', async () => {
    const world = await missed()
    for (let n = 0; n < 3; n++) world.open().add(jobWith({ ...hourly, ifMissed: 'catchUp' }))
    await world.clock.advance(second)
    expect(world.starts).toEqual([3 * hour])
  })

  test('are none of a job that never started for a time', async () => {
    const world = new World()
    world.begin()
    await world.end()
    await world.clock.advance(2.5 * hour)
    world.open().add(jobWith({ ...hourly, ifMissed: 'catchUp' }))
    await world.clock.advance(second)
    expect(world.asked).toBe(0)
  })

  test('are none that found it running', async () => {
    const world = new World()
    await world.clock.advance(hour)
    world.begin(zero + hour)
    await world.clock.advance(2.5 * hour)
    await world.end()
    world.open().add(jobWith({ ...hourly, ifMissed: 'catchUp' }))
    await world.clock.advance(second)
    expect(world.asked).toBe(0)
  })

  test('are found once storage is back', async () => {
    const world = await missed()
    world.isAway = true
    world.open().add(jobWith({ ...hourly, ifMissed: 'catchUp' }))
    await world.clock.advance(minute)
    world.isAway = false
    await world.clock.advance(5 * second)
    expect(world.starts).toEqual([3 * hour])
  })
})

describe('a time that somebody else tells of', () => {
  test('starts the job once, however often it is told', async () => {
    const world = new World()
    const [one, other] = [world.open(), world.open()]
    await world.clock.advance(hour)
    const tell = (scheduler: Scheduler) => scheduler.tick(jobWith(hourly), zero + hour)
    await Promise.all([tell(one), tell(other), tell(one)])
    await world.end()
    await tell(one)
    await tell(other)
    expect(world.starts).toEqual([hour])
  })

  test('is skipped when it is told more than a minute late', async () => {
    const world = new World()
    const scheduler = world.open()
    await world.clock.advance(hour + minute + 1)
    await scheduler.tick(jobWith(hourly), zero + hour)
    expect(world.asked).toBe(0)
    expect(world.logger.info).toHaveBeenCalledOnce()
    await scheduler.tick(jobWith({ ...hourly, ifMissed: 'catchUp' }), zero + hour)
    expect(world.starts).toEqual([hour])
  })

  test('starts the job for the last one, when several are told late', async () => {
    const world = new World()
    const scheduler = world.open()
    await world.clock.advance(30 * second)
    for (let time = 1; time <= 30; time++) {
      await scheduler.tick(jobWith({ every: second }), zero + time * second)
      if (time === 1) await world.end()
    }
    expect(world.starts).toEqual([30 * second])
  })

  test('may come early by somebody else’s clock', async () => {
    const world = new World()
    const scheduler = world.open()
    await world.clock.advance(hour - 2 * second)
    await scheduler.tick(jobWith(hourly), zero + hour)
    expect(world.starts).toEqual([hour])
  })

  test('is none when it is far off, or not in the schedule', async () => {
    const world = new World()
    const scheduler = world.open()
    await world.clock.advance(hour)
    await scheduler.tick(jobWith(hourly), zero + hour)
    await world.end()
    await scheduler.tick(jobWith(hourly), zero + 365 * day)
    await scheduler.tick(jobWith(hourly), zero + hour + 7 * second)
    expect(world.starts).toEqual([hour])
  })
})

describe('a clock', () => {
  test('that is put forward has one start follow, for the last time', async () => {
    const world = new World()
    world.open().add(jobWith({ every: minute }))
    await world.clock.advance(minute / 2)
    world.clock.jump(10 * hour)
    await world.clock.advance(minute / 2)
    await world.end()
    await world.clock.advance(minute / 2)
    expect([world.starts, world.asked]).toEqual([[10 * hour + minute], 1])
  })

  test('that is put forward over a time misses it, unless the job is to catch up', async () => {
    const [skipping, catching] = [new World(), new World()]
    skipping.open().add(jobWith(hourly))
    catching.open().add(jobWith({ ...hourly, ifMissed: 'catchUp' }))
    for (const { clock } of [skipping, catching]) {
      clock.jump(2.5 * hour)
      await clock.advance(minute)
    }
    expect(skipping.starts).toEqual([])
    expect(catching.starts).toEqual([2 * hour])
  })

  test('that is put back starts nothing twice, and goes on', async () => {
    const world = new World()
    world.open().add(jobWith(hourly))
    await world.clock.advance(hour)
    await world.end()
    world.clock.jump(-hour / 2)
    await world.clock.advance(hour / 2 + minute)
    expect([world.starts, world.asked]).toEqual([[hour], 2])
    await world.clock.advance(hour)
    expect(world.starts).toEqual([hour, 2 * hour])
  })

  test('that moves either way tells the next time as of now', async () => {
    const world = new World()
    const job = jobWith(hourly)
    const scheduler = world.open()
    scheduler.add(job)
    const next = () => Number(scheduler.next(job)) - zero
    expect(next()).toBe(hour)
    world.clock.jump(2.5 * hour)
    expect(next()).toBe(3 * hour)
    await world.clock.advance(minute)
    expect(next()).toBe(3 * hour)
    world.clock.jump(-2 * hour)
    expect(next()).toBe(hour)
  })

  test('that was years ahead for a moment has the times go on', async () => {
    const world = new World()
    world.clock.jump(1000 * day)
    world.open().add(jobWith(hourly))
    world.clock.jump(-1000 * day)
    await world.clock.advance(hour)
    expect(world.starts).toEqual([hour])
  })
})

describe('while storage is away', () => {
  test('a time is tried again, less and less often, until it works', async () => {
    const world = new World()
    world.open().add(jobWith(hourly))
    world.isAway = true
    await world.clock.advance(hour + 10 * minute)
    expect(world.asked).toBeGreaterThan(100)
    expect(world.asked).toBeLessThan(150)
    const retries = world.logger.warn.mock.calls.filter(([, message]) => message.includes('retrying'))
    expect(retries).toHaveLength(world.asked)
    world.isAway = false
    await world.clock.advance(5 * second)
    expect(world.starts).toEqual([hour])
  })

  test('a later time takes its place', async () => {
    const world = new World()
    world.open().add(jobWith({ every: 5 * minute }))
    world.isAway = true
    await world.clock.advance(12 * minute)
    world.isAway = false
    await world.clock.advance(5 * second)
    expect(world.starts).toEqual([10 * minute])
  })

  test('nothing keeps the process alive, and stopping ends it', async () => {
    const world = new World()
    const scheduler = world.open()
    scheduler.add(jobWith(hourly))
    world.isAway = true
    await world.clock.advance(hour + minute)
    expect(world.clock.setTimer.mock.calls.every(([, , options]) => options?.background)).toBe(true)
    scheduler.stop()
    const { asked } = world
    await world.clock.advance(hour)
    expect([world.asked, world.clock.pending]).toEqual([asked, 0])
  })
})

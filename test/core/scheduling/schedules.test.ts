import { type JobContext, JobRegistry, type JobStorage, memoryStorage, type Schedule } from 'headgate'
import { type FakeClock, fakeClock, heldJob } from 'headgate/testing'
import { afterEach, describe, expect, it } from 'vitest'

const minute = 60_000
const registries: JobRegistry[] = []

afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close()))
})

function worldOf(processes: number): { clock: FakeClock; all: JobRegistry[]; storage: JobStorage; runs: string[] } {
  const clock = fakeClock(Date.UTC(2026, 0, 1, 0, 0, 30))
  const storage = memoryStorage({ clock })
  const all = Array.from({ length: processes }, (_, n) => new JobRegistry({ storage, clock, node: `node-${n}` }))
  registries.push(...all)
  return { clock, all, storage, runs: [] }
}

/** Lets all that is due happen, minute by minute. */
async function pass(clock: FakeClock, minutes: number): Promise<void> {
  for (let n = 0; n < minutes; n++) await clock.advance(minute)
}

const everyMinute: Schedule = { cron: '* * * * *' }

describe('a job with a schedule', () => {
  it.each([1, 3])('starts once per time in %d processes', async (processes) => {
    const { clock, all, runs, storage } = worldOf(processes)
    for (const registry of all) {
      const run = () => void runs.push(new Date(clock.now()).toISOString().slice(11, 19))
      registry.define({ type: 'task', id: 'a', run, schedule: everyMinute })
    }
    await pass(clock, 3)
    expect(runs).toEqual(['00:01:00', '00:02:00', '00:03:00'])
    expect((await storage.find('task', 'a'))?.scheduledFor).toBe(Date.UTC(2026, 0, 1, 0, 3))
  })

  it('tells when it starts the next time', async () => {
    const { all } = worldOf(1)
    const [registry] = all as [JobRegistry]
    registry.define({
      type: 'task',
      id: 'a',
      run: () => {},
      schedule: { cron: '0 3 * * *', timeZone: 'Europe/Berlin' },
    })
    registry.define({ type: 'task', id: 'off', run: () => {}, schedule: { ...everyMinute, enabled: false } })
    registry.define({ type: 'task', id: 'none', run: () => {} })
    expect(registry.nextRun('task', 'a')).toBe(Date.UTC(2026, 0, 1, 2))
    expect(registry.nextRun('task', 'off')).toBeUndefined()
    expect(registry.nextRun('task', 'none')).toBeUndefined()
    expect(() => registry.nextRun('task', 'nowhere')).toThrow('No job [task/nowhere] is defined.')
  })

  it('is started by hand beside it, which takes no time away', async () => {
    const { clock, all, runs } = worldOf(1)
    const [registry] = all as [JobRegistry]
    registry.define({ type: 'task', id: 'a', run: () => void runs.push('run'), schedule: everyMinute })
    await (await registry.start('task', 'a')).finished
    await pass(clock, 1)
    expect(runs).toHaveLength(2)
  })

  it.each([
    ['skip', 1],
    ['runAfter', 2],
  ] as const)('that runs when its time comes: %s', async (ifRunning, count) => {
    const { clock, all, runs } = worldOf(2)
    const { job, finish } = heldJob({ type: 'task', id: 'a' })
    const run = (context: JobContext) => (runs.push('run') === 1 ? job.run(context) : undefined)
    for (const registry of all) {
      registry.define({ ...job, run, schedule: { ...everyMinute, ifRunning } })
    }
    await pass(clock, 3)
    finish()
    await clock.advance(2000)
    expect(runs).toHaveLength(count)
  })

  it('catches up once on what was missed while no process was there', async () => {
    const { clock, all, storage, runs } = worldOf(1)
    const [first] = all as [JobRegistry]
    const job = {
      type: 'task',
      id: 'a',
      run: () => void runs.push('run'),
      schedule: { ...everyMinute, ifMissed: 'catchUp' },
    } as const
    first.define(job)
    await pass(clock, 1)
    await first.close()
    await pass(clock, 5)
    expect(runs).toHaveLength(1)
    const second = new JobRegistry({ storage, clock })
    registries.push(second)
    second.define(job)
    await clock.advance(0)
    expect(runs).toHaveLength(2)
  })

  it('does not start after close', async () => {
    const { clock, all, runs } = worldOf(1)
    const [registry] = all as [JobRegistry]
    registry.define({ type: 'task', id: 'a', run: () => void runs.push('run'), schedule: everyMinute })
    await registry.close()
    await pass(clock, 2)
    expect(runs).toEqual([])
  })

  it('that cannot be is refused', () => {
    const { all } = worldOf(1)
    const define = (schedule: Schedule) => () => all[0]?.define({ type: 'task', id: 'a', run: () => {}, schedule })
    expect(define({ cron: 'now and then' })).toThrow('Expected `schedule.cron` to be a cron pattern of five fields')
    expect(define('* * * * *' as never)).toThrow('Expected `schedule` to be an object with `cron` or `every`, such as')
    expect(define({ every: 5 })).toThrow(
      'Expected `schedule.every` to be a whole number of milliseconds from 100 up, got `5` (number)',
    )
    expect(define({ cron: '0 0 30 2 *' })).toThrow('Expected `schedule.cron` to be a cron pattern whose time comes')
  })
})

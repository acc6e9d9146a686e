import { JobRegistry, type JobRegistryOptions, type JobStorage, memoryStorage } from 'headgate'
import { type FakeClock, fakeClock, heldJob } from 'headgate/testing'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'
import { sharedLine } from '../../support/shared-line.js'

/** Longer than other processes take to see a pause or its end. */
const seen = 2000

/** Longer than a lease and the poll for orphans that follows it. */
const lost = 45_000

let clock: FakeClock
let storage: JobStorage

beforeEach(() => {
  clock = fakeClock()
  storage = memoryStorage({ clock })
})

/** A process on the storage. */
function open(options: Partial<JobRegistryOptions> = {}): JobRegistry {
  const registry = new JobRegistry({ storage, clock, ...options })
  onTestFinished(() => registry.close({ timeout: 0 }))
  return registry
}

const stateOf = async (registry: JobRegistry, id = 'a') => (await registry.status('test', id))?.state

const untilState = (registry: JobRegistry, id: string, state: string) =>
  vi.waitFor(async () => expect(await stateOf(registry, id)).toBe(state))

describe('a pause', () => {
  test('refuses starts by hand with the reason, unless they are forced', async () => {
    const registry = open()
    registry.define({ type: 'test', id: 'a', run: () => {} })
    const since = clock.now()
    expect(await registry.pause('test', 'a', { reason: 'The source is down', by: 'ann' })).toEqual({
      since,
      isOfAll: false,
      reason: 'The source is down',
      by: 'ann',
    })
    await expect(registry.start('test', 'a')).rejects.toMatchObject({
      code: 'paused',
      message: 'Job [test/a] is paused since 2020-01-01T00:00:00.000Z by ann: The source is down.',
    })
    expect(await stateOf(registry)).toBeUndefined()
    const forced = await registry.start('test', 'a', { force: true })
    expect((await forced.finished).state).toBe('successful')
    expect([await registry.unpause('test', 'a'), await registry.unpause('test', 'a')]).toEqual([true, false])
    await (await registry.start('test', 'a')).finished
  })

  test('of a job that nobody knows is neither set nor ended, unless storage holds one', async () => {
    const registry = open()
    const unknown = { code: 'not_defined', message: 'No job [test/typo] is defined.' }
    await expect(registry.pause('test', 'typo')).rejects.toMatchObject(unknown)
    await expect(registry.unpause('test', 'typo')).rejects.toMatchObject(unknown)
    registry.define({ type: 'test', id: 'gone', run: () => {} })
    await registry.pause('test', 'gone')
    registry.remove('test', 'gone')
    expect(await registry.unpause('test', 'gone')).toBe(true)
    await expect(registry.unpause('test', 'gone')).rejects.toMatchObject({ code: 'not_defined' })
  })

  test('of all jobs is independent of those of single jobs', async () => {
    const registry = open()
    for (const id of ['a', 'b']) registry.define({ type: 'test', id, run: () => {} })
    await registry.pause('test', 'a')
    expect(await registry.pauseAll({ by: 'deploy' })).toMatchObject({ isOfAll: true, by: 'deploy' })
    await expect(registry.start('test', 'b')).rejects.toThrow(
      'Job [test/b] is paused with all jobs since 2020-01-01T00:00:00.000Z by deploy.',
    )
    expect(await registry.unpause('test', 'a')).toBe(true)
    await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'paused' })
    await registry.pause('test', 'a')
    expect(await registry.unpauseAll()).toBe(true)
    await (await registry.start('test', 'b')).finished
    await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'paused' })
  })

  test('lets what runs go on, in every process', async () => {
    const [first, second] = [open(), open()]
    const held = heldJob({ type: 'test', id: 'a' })
    first.define(held.job)
    const { finished } = await first.start('test', 'a')
    await held.running
    await first.pauseAll()
    second.define(heldJob({ type: 'test', id: 'a' }).job)
    await clock.advance(lost)
    expect(await stateOf(second)).toBe('running')
    held.finish()
    expect((await finished).state).toBe('successful')
  })

  test('keeps queued executions queued until it ends', async () => {
    const registry = open({ concurrency: 1 })
    const [a, b] = [heldJob({ type: 'test', id: 'a' }), heldJob({ type: 'test', id: 'b' })]
    registry.define(a.job)
    registry.define(b.job)
    const first = await registry.start('test', 'a')
    await registry.start('test', 'b')
    await registry.pause('test', 'b')
    a.finish()
    await first.finished
    await clock.advance(lost)
    expect(await stateOf(registry, 'b')).toBe('queued')
    // The slot is free for others meanwhile.
    const again = await registry.start('test', 'a')
    a.finish()
    await again.finished
    await registry.unpause('test', 'b')
    await clock.advance(seen)
    await untilState(registry, 'b', 'running')
  })

  test('lets a forced start run, also when it has to wait', async () => {
    const registry = open({ concurrency: 1 })
    const [a, b] = [heldJob({ type: 'test', id: 'a' }), heldJob({ type: 'test', id: 'b' })]
    registry.define(a.job)
    registry.define(b.job)
    const first = await registry.start('test', 'a')
    await registry.pause('test', 'b')
    await clock.advance(1)
    await registry.start('test', 'b', { force: true })
    a.finish()
    await first.finished
    await untilState(registry, 'b', 'running')
  })

  test('lets a queued execution be aborted, and does not hold up a drain', async () => {
    const registry = open({ concurrency: 1 })
    const jobs = ['a', 'b', 'c'].map((id) => heldJob({ type: 'test', id }))
    for (const { job } of jobs) registry.define(job)
    const started = [
      await registry.start('test', 'a'),
      await registry.start('test', 'b'),
      await registry.start('test', 'c'),
    ]
    await registry.pauseAll()
    jobs[0]?.finish()
    await started[0]?.finished
    await clock.advance(seen)
    expect((await registry.abort('test', 'b'))?.state).toBe('aborted')
    const closed = registry.close({ drain: true })
    await clock.advance(seen)
    await closed
    expect((await started[2]?.finished)?.state).toBe('aborted')
  })

  test('keeps the executions of a shared queue queued, and adds them again at its end, in any process', async () => {
    const line = sharedLine()
    const [first, second] = [open({ dispatcher: line.dispatcher() }), open({ dispatcher: line.dispatcher() })]
    const held = [heldJob({ type: 'test', id: 'a' }), heldJob({ type: 'test', id: 'a' })]
    const starter = open({ dispatcher: { ...line.dispatcher(), work: () => {} } })
    starter.define({ type: 'test', id: 'a', run: () => {} })
    await starter.start('test', 'a')
    await first.pauseAll()
    first.define(held[0]?.job as never)
    second.define(held[1]?.job as never)
    await clock.advance(lost)
    expect(await stateOf(second)).toBe('queued')
    await second.unpauseAll()
    await clock.advance(seen)
    await untilState(second, 'a', 'running')
  })
})

describe('a pause in another process', () => {
  test('refuses starts within two seconds, and so does its end', async () => {
    const [first, second] = [open(), open()]
    for (const registry of [first, second]) registry.define({ type: 'test', id: 'a', run: () => {} })
    await (await second.start('test', 'a')).finished
    await first.pause('test', 'a')
    await clock.advance(seen)
    await expect(second.start('test', 'a')).rejects.toMatchObject({ code: 'paused' })
    await first.unpauseAll()
    await first.unpause('test', 'a')
    await clock.advance(seen)
    await (await second.start('test', 'a')).finished
  })

  test('stops the schedule of a process whose timer fires', async () => {
    const [first, second] = [open(), open()]
    const run = vi.fn()
    second.define({ type: 'test', id: 'a', run, schedule: { every: 10_000 } })
    first.define({ type: 'test', id: 'b', run: () => {} })
    await clock.advance(10_000)
    await vi.waitFor(() => expect(run).toHaveBeenCalledTimes(1))
    await clock.advance(8000)
    await first.pauseAll()
    await clock.advance(32_000)
    expect(run).toHaveBeenCalledTimes(1)
    await first.unpauseAll()
    await clock.advance(12_000)
    await vi.waitFor(() => expect(run).toHaveBeenCalledTimes(2))
  })

  test('is made up for by a schedule that catches up', async () => {
    const [first, second] = [open(), open()]
    const run = vi.fn()
    const schedule = { cron: '0 * * * *', ifMissed: 'catchUp' } as const
    second.define({ type: 'test', id: 'a', run, schedule })
    first.define({ type: 'test', id: 'b', run: () => {} })
    await clock.advance(3_600_000)
    await vi.waitFor(() => expect(run).toHaveBeenCalledTimes(1))
    await first.pauseAll()
    await clock.advance(2 * 3_600_000 + 60_000)
    expect(run).toHaveBeenCalledTimes(1)
    await first.unpauseAll()
    await clock.advance(seen)
    await vi.waitFor(() => expect(run).toHaveBeenCalledTimes(2))
  })

  test('stops takeovers until it ends', async () => {
    const [first, second] = [open(), open()]
    const held = heldJob({ type: 'test', id: 'a', resume: 'auto' })
    first.define(held.job)
    await first.start('test', 'a')
    await held.running
    await first.pause('test', 'a')
    await first.close({ timeout: 0 })
    // Closing closed the storage of one process only: memory has nothing to close.
    const next = heldJob({ type: 'test', id: 'a', resume: 'auto' })
    second.define(next.job)
    await clock.advance(lost)
    expect(await stateOf(second)).toBe('aborted')
    await second.unpause('test', 'a')
    await clock.advance(lost)
    await untilState(second, 'a', 'running')
  })
})

describe('a process that starts during a pause', () => {
  test('starts nothing: by hand, by schedule or after a crash', async () => {
    const before = open({ lease: 1000 })
    const held = heldJob({ type: 'test', id: 'orphan', resume: 'auto' })
    before.define(held.job)
    await before.start('test', 'orphan')
    await held.running
    await before.pauseAll()
    await before.close({ timeout: 0 })
    const registry = open()
    const run = vi.fn()
    registry.define({ type: 'test', id: 'orphan', resume: 'auto', run })
    registry.define({ type: 'test', id: 'due', run, schedule: { every: 1000 } })
    registry.define({ type: 'test', id: 'a', run })
    await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'paused' })
    await clock.advance(lost)
    expect(run).not.toHaveBeenCalled()
    await registry.unpauseAll()
    await clock.advance(lost)
    await vi.waitFor(async () => expect(await stateOf(registry, 'orphan')).toBe('successful'))
    expect(await stateOf(registry, 'due')).toBe('successful')
  })
})

describe('pause', () => {
  test('refuses a job that nobody knows, and options that are not valid', async () => {
    const registry = open()
    await expect(registry.pause('test', 'a')).rejects.toMatchObject({ code: 'not_defined' })
    registry.define({ type: 'test', id: 'a', run: () => {} })
    await expect(registry.pause('test', 'a', { reason: '' })).rejects.toMatchObject({ code: 'invalid_options' })
    await expect(registry.pauseAll({ by: 'x'.repeat(1001) })).rejects.toThrow('Expected `by` to be a string of 1 to')
    await (await registry.start('test', 'a')).finished
    // Another process may not define it.
    expect(await open().pause('test', 'a')).toMatchObject({ isOfAll: false })
  })

  test('names what a storage lacks', async () => {
    const { pauses: _, latest: __, ...plain } = plainStorage(storage)
    const registry = open({ storage: plain })
    registry.define({ type: 'test', id: 'a', run: () => {} })
    await (await registry.start('test', 'a')).finished
    for (const [call, message] of [
      [registry.pause('test', 'a'), 'The storage does not have `pauses`, which `registry.pause` needs.'],
      [registry.unpauseAll(), 'The storage does not have `pauses`, which `registry.unpauseAll` needs.'],
      [registry.jobs(), 'The storage does not have `latest`, which `registry.jobs` needs.'],
    ] as const) {
      await expect(call).rejects.toMatchObject({ code: 'not_supported', message })
    }
  })
})

describe('jobs', () => {
  test('lists the defined jobs by type and id, with schedule, pause and last status', async () => {
    const registry = open()
    registry.define({ type: 'test', id: 'b', run: () => {}, schedule: { every: 60_000 } })
    registry.define({ type: 'test', id: 'c', run: () => {}, schedule: { cron: '0 3 * * *', enabled: false } })
    registry.define({ type: 'test', id: 'a', run: () => {}, datasource: 'shop' })
    registry.define({ type: 'other', id: 'z', run: () => {}, schedule: { every: 60_000 } })
    const ended = await (await registry.start('test', 'a')).finished
    await registry.pause('other', 'z', { reason: 'why' })
    expect(await registry.jobs()).toEqual([
      {
        type: 'other',
        id: 'z',
        schedule: { every: 60_000 },
        paused: { since: clock.now(), isOfAll: false, reason: 'why' },
      },
      { type: 'test', id: 'a', datasource: 'shop', status: ended },
      { type: 'test', id: 'b', schedule: { every: 60_000 }, nextRun: clock.now() + 60_000 },
      { type: 'test', id: 'c' },
    ])
  })

  test('shows the datasource and the kind of the target of an ingestion', async () => {
    const { testDatasource } = await import('headgate/testing')
    const registry = open({ datasources: { shop: testDatasource([]) } })
    registry.define({ id: 'copy', datasource: 'shop', target: () => {} })
    expect(await registry.jobs()).toEqual([{ type: 'ingestion', id: 'copy', datasource: 'shop', target: 'function' }])
  })

  test('reads 1,000 jobs with one call of the storage', async () => {
    const latest = vi.fn((jobs) => storage.latest?.(jobs) ?? Promise.resolve([]))
    const calls = vi.fn()
    const own = new Proxy(plainStorage(storage), {
      get(target, name) {
        if (name === 'latest') return latest
        const method = Reflect.get(target, name)
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => {
          calls(name)
          return method(...args)
        }
      },
    })
    const registry = open({ storage: own })
    for (let n = 0; n < 1500; n++) registry.define({ type: 'test', id: `job-${n}`, run: () => {} })
    expect(await registry.jobs()).toHaveLength(1500)
    expect(latest.mock.calls.map(([jobs]) => jobs.length)).toEqual([1000, 500])
    expect(calls).not.toHaveBeenCalledWith('find')
  })
})

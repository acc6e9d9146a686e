import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import { fakeClock, heldJob } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'

type Search = JobStorage['search']

/** A registry over a storage whose `search` and `save` can be exchanged, and that has one slot. */
function open(more: Pick<JobStorage, 'isWritable'> = {}) {
  const clock = fakeClock(1_000_000)
  const memory = memoryStorage({ clock })
  const storage: JobStorage = Object.assign(Object.create(memory), {
    ...Object.fromEntries(
      (['begin', 'finish', 'requestAbort', 'find', 'live', 'orphans', 'watch'] as const).map((name) => [
        name,
        (memory[name] as (...args: unknown[]) => unknown).bind(memory),
      ]),
    ),
    search: vi.fn<Search>((filter) => memory.search(filter)),
    renew: vi.fn<JobStorage['renew']>((...asked) => memory.renew(...asked)),
    close: vi.fn(async () => {}),
    ...more,
  })
  const registry = new JobRegistry({ storage, clock, node: 'node-1', concurrency: 1 })
  for (const id of ['a', 'b']) {
    registry.define(heldJob({ type: 'copy', id }).job)
  }
  onTestFinished(async () => {
    const closed = registry.close({ timeout: 0 })
    await clock.advance(60_000)
    await closed
  })
  return { clock, memory, storage, search: vi.mocked(storage.search), save: vi.mocked(storage.renew), registry }
}

/** The registry's health, when the storage needs `delay` milliseconds. */
async function passed(clock: ReturnType<typeof fakeClock>, delay: number, asked: Promise<unknown>) {
  await clock.advance(delay)
  return asked
}

describe('the health of a registry', () => {
  test('that does nothing', async () => {
    const { registry } = open()
    expect(await registry.health()).toEqual({
      status: 'ok',
      node: 'node-1',
      storage: { isReachable: true, latency: 0 },
      running: 0,
      queued: 0,
      lease: 30_000,
    })
  })

  test('counts what runs and what waits, and tells the age of the oldest lease', async () => {
    const { registry, clock } = open()
    await registry.start('copy', 'a')
    await clock.advance(4000)
    await registry.start('copy', 'b')
    await clock.advance(1000)
    expect(await registry.health()).toMatchObject({ status: 'ok', running: 1, queued: 1, oldestRenewal: 5000 })
    await registry.abort('copy', 'b', { timeout: 0 })
    await clock.advance(0)
    expect(await registry.health()).toMatchObject({ running: 1, queued: 0 })
  })

  test('lists the schedules that could not start for a minute', async () => {
    const { clock, memory, storage, registry } = open()
    const begin = vi.spyOn(storage, 'begin').mockRejectedValue(new Error('down'))
    registry.define({ type: 'copy', id: 'hourly', run: () => {}, schedule: { every: 3_600_000 } })
    await clock.advance(3_600_000)
    const since = registry.nextRun('copy', 'hourly') as number
    await clock.advance(since - clock.now() + 1000)
    const first = since - 3_600_000
    expect(await registry.health()).toHaveProperty('overdue', [{ type: 'copy', id: 'hourly', since: first }])
    begin.mockImplementation((request) => memory.begin(request))
    await clock.advance(10_000)
    expect(await registry.health()).not.toHaveProperty('overdue')
  })

  test('does not count what has ended', async () => {
    const { registry } = open()
    const { finished } = await registry.start('copy', 'a')
    await registry.abort('copy', 'a')
    await finished
    const health = await registry.health()
    expect([health.running, 'oldestRenewal' in health]).toEqual([0, false])
  })

  test('does not count what storage has not begun', async () => {
    const { registry, storage } = open()
    let answer!: () => void
    const wait = new Promise<void>((resolve) => (answer = resolve))
    const begin = storage.begin
    storage.begin = async (request) => wait.then(() => begin(request))
    const started = registry.start('copy', 'a')
    expect(await registry.health()).toMatchObject({ running: 0, queued: 0 })
    answer()
    await started
    expect(await registry.health()).toMatchObject({ running: 1 })
  })

  test('shows leases that are not renewed', async () => {
    const { registry, clock, save } = open()
    await registry.start('copy', 'a')
    save.mockRejectedValue(new Error('read only'))
    await clock.advance(25_000)
    expect(await registry.health()).toMatchObject({ status: 'readonly', oldestRenewal: 25_000 })
  })

  test('tells how long storage took', async () => {
    const { registry, clock, search } = open()
    search.mockImplementation(
      () => new Promise((resolve) => clock.setTimer(300, () => resolve({ total: 0, hits: [] }))),
    )
    expect(await passed(clock, 300, registry.health())).toMatchObject({
      status: 'ok',
      storage: { isReachable: true, latency: 300 },
    })
  })

  test('is readonly when storage answers and keeps nothing, until it does again', async () => {
    const isWritable = vi.fn<() => Promise<boolean>>().mockResolvedValue(false)
    const { registry } = open({ isWritable })
    expect(await registry.health()).toMatchObject({
      status: 'readonly',
      storage: { isReachable: true, error: ['The storage is read-only.'] },
    })
    isWritable.mockResolvedValue(true)
    const health = await registry.health()
    expect([health.status, 'error' in health.storage]).toEqual(['ok', false])
    isWritable.mockRejectedValue(new Error('away'))
    expect(await registry.health()).toMatchObject({ status: 'unreachable', storage: { isReachable: false } })
  })

  test('is readonly after a write that failed, until one works, or for a lease', async () => {
    const { registry, clock, save, memory } = open({ isWritable: async () => true })
    await registry.start('copy', 'a')
    save.mockRejectedValue(new Error('disk full, password=x'))
    await clock.advance(10_000)
    expect(await registry.health()).toMatchObject({
      status: 'readonly',
      storage: {
        isReachable: true,
        error: ['The last write to the storage failed.', 'The storage could not answer.', 'disk full, password=***'],
      },
    })
    save.mockImplementation((...asked) => memory.renew(...asked))
    await clock.advance(10_000)
    expect((await registry.health()).status).toBe('ok')
    save.mockRejectedValue(new Error('disk full'))
    await clock.advance(10_000)
    expect((await registry.health()).status).toBe('readonly')
  })

  test('is readonly after a pause or a reset that failed, until one works, and whatever is read', async () => {
    const clock = fakeClock()
    const storage = plainStorage(memoryStorage({ clock }))
    const { pauses, reset } = storage as Required<JobStorage>
    const registry = new JobRegistry({
      storage: { ...storage, pauses: { ...pauses, pause: fail }, reset: fail },
      clock,
    })
    onTestFinished(() => registry.close())
    function fail(): Promise<never> {
      if (isFull) throw new Error('disk full')
      return (reset as (...given: unknown[]) => Promise<never>).call(storage, 'test', 'a', { checkpoint: null })
    }
    let isFull = true
    registry.define({ type: 'test', id: 'a', run: () => {} })
    await expect(registry.pause('test', 'a')).rejects.toMatchObject({ code: 'storage' })
    expect(await registry.health()).toMatchObject({ status: 'readonly' })
    await registry.jobs()
    await clock.advance(2000)
    expect(await registry.health()).toMatchObject({ status: 'readonly' })
    await registry.unpause('test', 'a')
    expect(await registry.health()).toMatchObject({ status: 'ok' })
    await expect(registry.reset('test', 'a')).rejects.toMatchObject({ code: 'storage' })
    expect(await registry.health()).toMatchObject({ status: 'readonly' })
    isFull = false
    await registry.reset('test', 'a')
    expect(await registry.health()).toMatchObject({ status: 'ok' })
  })

  test('is ok again a lease after a write that failed, when nothing is written', async () => {
    const { registry, clock, storage } = open()
    storage.begin = () => Promise.reject(new Error('disk full'))
    await expect(registry.start('copy', 'a')).rejects.toThrow()
    expect((await registry.health()).status).toBe('readonly')
    await clock.advance(30_000)
    expect((await registry.health()).status).toBe('ok')
  })

  test('is unreachable when storage fails, and says why without secrets', async () => {
    const { registry, search } = open()
    search.mockRejectedValue(new Error('connect postgres://me:hunter2@db refused'))
    expect(await registry.health()).toMatchObject({
      status: 'unreachable',
      storage: {
        isReachable: false,
        latency: 0,
        error: ['The storage could not answer.', 'connect postgres://me:***@db refused'],
      },
    })
  })

  test.each([
    [undefined, 1000],
    [{ timeout: 50 }, 50],
  ])('is unreachable when storage hangs: with %j after %i ms', async (options, timeout) => {
    const { registry, clock, search } = open()
    search.mockImplementation(() => new Promise(() => {}))
    expect(await passed(clock, timeout, registry.health(options))).toMatchObject({
      status: 'unreachable',
      storage: { isReachable: false, latency: timeout, error: [`The storage gave no answer within ${timeout} ms.`] },
    })
  })

  test('asks a storage that hangs once for all', async () => {
    const { registry, clock, search } = open()
    search.mockImplementation(() => new Promise(() => {}))
    const probes = Array.from({ length: 1000 }, () => registry.health())
    await passed(clock, 1000, Promise.all(probes))
    const late = registry.health()
    await clock.advance(1000)
    expect((await late).status).toBe('unreachable')
    expect(search).toHaveBeenCalledOnce()
    search.mockImplementation(async () => ({ total: 0, hits: [] as ExecutionRecord[] }))
    await clock.advance(10_000)
    expect((await registry.health()).status).toBe('ok')
  })

  test('is closed from the call of close() on, and a closed storage is not asked', async () => {
    const { registry, clock, search } = open()
    await registry.start('copy', 'a')
    const closing = registry.close({ drain: 5000 })
    expect(await registry.health()).toMatchObject({ status: 'closed', storage: { isReachable: true }, running: 1 })
    await clock.advance(5000)
    await closing
    search.mockClear()
    expect(await registry.health()).toMatchObject({
      status: 'closed',
      storage: { isReachable: false, error: ['The registry is closed.'] },
      running: 0,
    })
    expect(search).not.toHaveBeenCalled()
  })

  test('refuses a timeout that is none', async () => {
    const asked = open().registry.health({ timeout: -1 })
    await expect(asked).rejects.toThrow(
      'Expected `timeout` to be a whole number of milliseconds from 0 up, got `-1` (number)',
    )
  })
})

import { type JobError, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { fakeClock } from 'headgate/testing'
import { describe, expect, onTestFinished, test } from 'vitest'

/** A storage whose `begin` waits to be answered, one after the other. */
function slowStorage(clock = fakeClock()) {
  const memory = memoryStorage({ clock })
  const waiting: (() => void)[] = []
  let most = 0
  const storage: JobStorage = {
    begin: async (request) => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve)
        most = Math.max(most, waiting.length)
      })
      return memory.begin(request)
    },
    renew: (lease, request) => memory.renew(lease, request),
    claim: (waiting, request) => memory.claim(waiting, request),
    run: (lease) => memory.run(lease),
    finish: (lease, request) => memory.finish(lease, request),
    requestAbort: (request) => memory.requestAbort(request),
    find: (type, id) => memory.find(type, id),
    live: (filter) => memory.live(filter),
    orphans: (page) => memory.orphans(page),
    search: (filter) => memory.search(filter),
  }
  const answer = async () => {
    waiting.shift()?.()
    await clock.advance(0)
  }
  return { clock, storage, answer, waiting, most: () => most }
}

const jobs = Array.from({ length: 100 }, (_, n) => `job ${n}`)

function open({ clock, storage }: ReturnType<typeof slowStorage>, schedule?: { every: number }) {
  const registry = new JobRegistry({ storage, clock, lease: 3000 })
  onTestFinished(() => void registry.close({ timeout: 0 }))
  for (const id of jobs) registry.define({ type: 'test', id, run: () => {}, ...(schedule && { schedule }) })
  return registry
}

describe('many starts at once', () => {
  test('ask storage a few at a time, and hold leases that begin when they asked', async () => {
    const slow = slowStorage()
    const registry = open(slow)
    const starts = jobs.map((id) => registry.start('test', id))
    // 1 s for each: the last waits for longer than a lease, and than storage has to answer.
    for (const _ of jobs) {
      await slow.clock.advance(1000)
      await slow.answer()
    }
    const ends = await Promise.all(starts.map(async (start) => (await start).finished))
    expect(ends.filter(({ state }) => state !== 'successful')).toEqual([])
    expect(slow.most()).toBe(4)
  })

  test('by schedules ask storage a few at a time, too', async () => {
    const slow = slowStorage()
    const registry = open(slow, { every: 3_600_000 })
    const ended = new Set<string>()
    registry.on('successful', ({ id }) => void ended.add(id))
    await slow.clock.advance(3_600_000)
    for (let n = 0; n < 200 && ended.size < jobs.length; n++) {
      await slow.clock.advance(100)
      await slow.answer()
    }
    expect(ended.size).toBe(jobs.length)
    expect(slow.most()).toBe(4)
  })

  test('fail soon when storage answers none', async () => {
    const slow = slowStorage()
    const registry = open(slow)
    const starts = Promise.allSettled(jobs.map((id) => registry.start('test', id)))
    await slow.clock.advance(5000)
    for (const one of await starts)
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'storage' } satisfies Partial<JobError> })
    expect(slow.most()).toBe(4)
  })

  test('that wait as the registry closes start nothing', async () => {
    const slow = slowStorage()
    const registry = open(slow)
    const starts = Promise.allSettled(jobs.map((id) => registry.start('test', id)))
    await slow.clock.advance(0)
    const closed = registry.close()
    for (const _ of jobs) await slow.answer()
    await slow.clock.advance(10_000)
    await closed
    const reasons = (await starts).flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []))
    expect(reasons).toEqual(jobs.slice(4).map(() => 'closed'))
  })
})

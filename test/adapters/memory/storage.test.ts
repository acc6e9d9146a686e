import { type JobStorage, type MemoryStorageOptions, memoryStorage } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import { fakeClock, storageSuite } from 'headgate/testing'
import { describe, expect, test, vi } from 'vitest'
import { Totals } from '../../../src/adapters/memory/totals.js'
import { smallestOf } from '../../support/smallest-of.js'

function create(options: MemoryStorageOptions = {}) {
  const clock = fakeClock()
  return { clock, storage: memoryStorage({ ...options, clock }), pass: clock.advance }
}

async function run(storage: JobStorage, id: string): Promise<string> {
  const { execution } = await storage.begin({ type: 'test', id, state: 'running', node: 'n', lease: 1000 })
  await storage.finish(execution, { state: 'successful' })
  return execution.executionId
}

async function logOf(storage: JobStorage): Promise<string[]> {
  const { hits } = await storage.search({ size: 1000 })
  return hits.map(({ executionId }) => executionId)
}

describe('memoryStorage keeps the contract of a storage', () => {
  storageSuite({ test, create })
})

describe('memoryStorage', () => {
  test('keeps the newest executions up to maxCount', async () => {
    const { storage } = create({ maxCount: 3 })
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.unshift(await run(storage, 'a'))
    expect(await logOf(storage)).toEqual(ids.slice(0, 3))
    expect((await storage.search({ size: 0 })).total).toBe(3)
  })

  test('keeps 10,000 executions unless said', async () => {
    const { storage } = create()
    for (let n = 0; n < 10_001; n++) await run(storage, 'a')
    expect((await storage.search({ size: 0 })).total).toBe(10_000)
  })

  test('searches a long log in the order in which executions began, at no cost of sorting', async () => {
    const { storage } = create({ maxCount: 20_000 })
    const begun = []
    for (let n = 0; n < 20_000; n++)
      begun.push(await storage.begin({ type: 'test', id: `j${n}`, state: 'running', node: 'n', lease: 1e9 }))
    const ids = begun
      .map(({ execution }) => execution.executionId)
      .sort((a, b) => (a.slice(-36) < b.slice(-36) ? 1 : -1))
    for (const { execution } of begun.toReversed()) await storage.finish(execution, { state: 'successful' })
    expect((await storage.search({ size: 3, from: 1 })).hits.map((hit) => hit.executionId)).toEqual(ids.slice(1, 4))
    const next = await storage.search({ size: 2, from: 1, searchAfter: ids[10_000] ?? '' })
    expect([next.total, ...next.hits.map((hit) => hit.executionId)]).toEqual([20_000, ...ids.slice(10_002, 10_004)])
    // Sorting takes some 50 ms each.
    const time = await smallestOf(15, async () => {
      const began = performance.now()
      for (let n = 0; n < 10; n++) await storage.search({ size: 10 })
      return (performance.now() - began) / 10
    })
    expect(time).toBeLessThan(15)
  })

  test('counts exactly what searches ask for again and again, while executions end and are deleted', async () => {
    const { storage, clock } = create({ maxCount: 30, maxAge: 500 })
    const states = ['successful', 'error', 'aborted'] as const
    const filters = [
      {},
      ...[...states, 'running' as const].flatMap((state) => [{ state }, { state, id: 'a' }]),
      { type: 'b' },
      { type: '_x' },
    ]
    for (let n = 0; n < 300; n++) {
      const type = ['a', 'b', '_x'][n % 3] as string
      const { execution, started } = await storage.begin({
        type,
        id: ['a', 'b'][n % 2] as string,
        state: 'running',
        node: 'n',
        lease: 90,
      })
      if (started && n % 5 > 0)
        await storage.finish(execution, { state: states[(n % 4) % 3] as (typeof states)[number] })
      await clock.advance(n % 30)
      const times = { startTimeFrom: clock.now() - 100 * (n % 3), startTimeTo: clock.now() - 10 }
      for (const filter of [...filters, times]) {
        const { total, hits } = await storage.search({ ...filter, size: 1000 })
        expect(total).toBe(hits.length)
        expect(await storage.search({ ...filter, from: 3, size: 2 })).toEqual({ total, hits: hits.slice(3, 5) })
        const searchAfter = hits[4]?.executionId
        if (searchAfter)
          expect((await storage.search({ ...filter, searchAfter, size: 2 })).hits).toEqual(hits.slice(5, 7))
      }
    }
  })

  test('counts a long log once for all pages of a search', () => {
    const totals = new Totals(({ state }, filter) => state === filter.state)
    const count = vi.fn(() => 5000)
    const page = (from: number) => totals.of({ state: 'error', from }, count)
    expect([page(0), page(10)]).toEqual([5000, 5000])
    totals.add({ state: 'error' } as ExecutionRecord, 1)
    totals.add({ state: 'aborted' } as ExecutionRecord, 1)
    expect(page(20)).toBe(5001)
    expect(count).toHaveBeenCalledTimes(1)
    for (let n = 0; n < 100; n++) totals.of({ startTimeFrom: n }, () => 0)
    expect(page(30)).toBe(5000)
    expect(count).toHaveBeenCalledTimes(2)
  })

  test('keeps executions for maxAge', async () => {
    const { storage, clock } = create({ maxAge: 1000 })
    const old = await run(storage, 'a')
    await clock.advance(600)
    const young = await run(storage, 'a')
    await clock.advance(400)
    expect(await logOf(storage)).toEqual([young, old])
    await clock.advance(1)
    expect(await logOf(storage)).toEqual([young])
    await clock.advance(600)
    expect(await logOf(storage)).toEqual([])
    expect((await storage.find('test', 'a'))?.executionId).toBe(young)
  })

  test('counts age from the end of an execution', async () => {
    const { storage, clock } = create({ maxAge: 1000 })
    const { execution } = await storage.begin({ type: 'test', id: 'slow', state: 'running', node: 'n', lease: 60_000 })
    await clock.advance(5000)
    await storage.finish(execution, { state: 'successful' })
    expect(await logOf(storage)).toEqual([execution.executionId])
  })

  test('may be shared by what asks at one time', async () => {
    const { storage } = create()
    await Promise.all(Array.from({ length: 100 }, (_, n) => run(storage, `job-${n}`)))
    expect((await storage.search({ size: 0 })).total).toBe(100)
  })

  test('refuses options that it does not know or cannot use', () => {
    expect(() => memoryStorage({ maxCount: 0 })).toThrow('Expected `maxCount` to be a whole number from 1 up, got `0`')
    expect(() => memoryStorage({ maxAge: Number.NaN })).toThrow(
      'Expected `maxAge` to be a whole number of milliseconds from 1 up',
    )
    expect(() => memoryStorage({ maxcount: 1 } as never)).toThrow('Expected `options` to be an object with `maxCount`')
    expect(() => memoryStorage({ clock: Date } as never)).toThrow('Expected `clock` to be an object with the methods')
  })
})

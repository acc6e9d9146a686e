import { type JobStorage, type MemoryStorageOptions, memoryStorage } from 'headgate'
import { fakeClock, storageSuite } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

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
    const began = performance.now()
    for (let n = 0; n < 50; n++) await storage.search({ size: 10 })
    // Sorting takes some 50 ms each.
    expect((performance.now() - began) / 50).toBeLessThan(15)
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
    expect(() => memoryStorage({ maxAge: Number.NaN })).toThrow('Expected `maxAge` to be a whole number from 1 up')
    expect(() => memoryStorage({ maxcount: 1 } as never)).toThrow('Expected `options` to be an object with `maxCount`')
    expect(() => memoryStorage({ clock: Date } as never)).toThrow('Expected `clock` to be an object with the methods')
  })
})

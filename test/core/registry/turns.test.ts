import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { sqliteStorage } from 'headgate/sqlite'
import { heldJob } from 'headgate/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { EventLoopTurns, mapInTurns } from '../../../src/core/base/event-loop-turns.js'
import { storageMethods } from '../../support/plain-storage.js'

/** A storage whose every call works for so long without a turn of the event loop. */
function busy(storage: JobStorage, duration: number): JobStorage {
  const work =
    (name: (typeof storageMethods)[number]) =>
    (...args: unknown[]) => {
      const until = performance.now() + duration
      while (performance.now() < until);
      return (storage[name] as (...args: unknown[]) => unknown)(...args)
    }
  return Object.fromEntries(storageMethods.map((name) => [name, work(name)])) as unknown as JobStorage
}

/** How often the event loop turns meanwhile. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0
  let isOver = false
  const count = () => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  await work
  isOver = true
  return turns
}

const folder = () => {
  const path = mkdtempSync(join(tmpdir(), 'headgate-turns-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

describe('the event loop turns', () => {
  test.each([
    ['in memory', () => busy(memoryStorage(), 2)],
    ['in SQLite', () => sqliteStorage({ path: join(folder(), 'jobs.db') })],
  ])(
    'while hundreds of jobs start and stop, %s',
    async (_, make) => {
      const registry = new JobRegistry({ storage: make(), concurrency: 1 })
      const ids = Array.from({ length: 200 }, (_, n) => `${n}`)
      for (const id of ids) {
        registry.define(heldJob({ type: 'test', id }).job)
      }
      const started = Promise.all(ids.map((id) => registry.start('test', id)))
      expect(await turnsDuring(started)).toBeGreaterThan(5)
      const ends = Promise.all((await started).map(({ finished }) => finished))
      expect(await turnsDuring(registry.close())).toBeGreaterThan(5)
      expect((await ends).map(({ state }) => state)).toEqual(ids.map(() => 'aborted'))
    },
    30_000,
  )

  test('as often as work has gone on for long, and lets the urgent go first', async () => {
    const turns = new EventLoopTurns()
    expect(turns.pass()).toBeUndefined()
    expect(turns.pass()).toBeUndefined()
    const until = performance.now() + 50
    while (performance.now() < until);
    const order: string[] = []
    const passes = [
      turns.pass()?.then(() => order.push('first')),
      turns.pass()?.then(() => order.push('second')),
      turns.pass(true)?.then(() => order.push('urgent')),
    ]
    expect(await turnsDuring(Promise.all(passes))).toBeGreaterThanOrEqual(2)
    expect(order).toEqual(['urgent', 'first', 'second'])
    expect(turns.pass()).toBeUndefined()
  })
})

test('a storage that does not answer holds up a close once, however many jobs stop', async () => {
  const storage = memoryStorage()
  const hung = Object.assign(Object.create(storage), busy(storage, 0))
  const registry = new JobRegistry({ storage: hung })
  for (let n = 0; n < 100; n++) {
    registry.define(heldJob({ type: 'test', id: `${n}` }).job)
    await registry.start('test', `${n}`)
  }
  hung.requestAbort = () => new Promise(() => {})
  const begun = performance.now()
  await registry.close()
  expect(performance.now() - begun).toBeLessThan(4000)
})

describe('the event loop turns between the records of a list', () => {
  const detail = Object.fromEntries(Array.from({ length: 9_900 }, (_, n) => [`k${n}`, n]))

  test.each([
    ['in memory', () => memoryStorage()],
    ['in SQLite', () => sqliteStorage({ path: join(folder(), 'jobs.db') })],
  ])('whose details are large, %s', async (_, make) => {
    const registry = new JobRegistry({ storage: make() })
    onTestFinished(() => registry.close({ timeout: 0 }))
    for (let n = 0; n < 30; n++) {
      registry.define({ type: 'test', id: `${n}`, run: ({ progress }) => progress({ detail }) })
      await (await registry.start('test', `${n}`)).finished
    }
    const search = registry.search({ size: 30 })
    expect(await turnsDuring(search)).toBeGreaterThan(5)
    expect((await search).hits.map((hit) => Object.keys(hit.detail ?? {}).length)).toEqual(Array(30).fill(9_900))
    const list = registry.jobs()
    expect(await turnsDuring(list)).toBeGreaterThan(5)
    expect(await list).toHaveLength(30)
  })
})

test('many lists at once all go on', async () => {
  const busyFor = (value: number) => {
    const until = performance.now() + 12
    while (performance.now() < until);
    return value
  }
  const lists = await Promise.all([1, 2, 3].map((n) => mapInTurns([n, n + 1, n + 2], busyFor)))
  expect(lists).toEqual([
    [1, 2, 3],
    [2, 3, 4],
    [3, 4, 5],
  ])
})

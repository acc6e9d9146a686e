import { type Dispatcher, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import type { DispatchWorker } from 'headgate/adapter'
import { type FakeClock, fakeClock } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

let clock: FakeClock
let storage: JobStorage
const registries: JobRegistry[] = []

beforeEach(() => {
  clock = fakeClock()
  storage = memoryStorage({ clock })
})
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close({ timeout: 0 })))
})

/** A line that is shared, and in which only one of its workers has turns, or none. */
function sharedLine() {
  let taker: DispatchWorker | undefined
  const forWorker = (takes: boolean): Dispatcher => ({
    isShared: true,
    work: (worker) => {
      if (takes) taker = worker
    },
    add: async (waiting) => {
      for (const each of waiting) void taker?.run(each)
    },
    remove: async () => true,
    move: async () => false,
    waiting: async () => ({ total: 0, hits: [] }),
  })
  return forWorker
}

function open(node: string, dispatcher: Dispatcher): JobRegistry {
  const registry = new JobRegistry({ storage, clock, node, dispatcher })
  registry.define({ type: 'test', id: 'a', run: () => {} })
  registries.push(registry)
  return registry
}

describe('the end of an execution in a line that is shared', () => {
  test('is known at once, and without a look at storage, where it ran', async () => {
    const registry = open('one', sharedLine()(true))
    const find = vi.spyOn(storage, 'find')
    const { finished } = await registry.start('test', 'a')
    expect((await finished).state).toBe('successful')
    expect(find).not.toHaveBeenCalled()
  })

  test('is known at once, by one look, where it was started', async () => {
    const line = sharedLine()
    open('taker', line(true))
    const starter = open('starter', line(false))
    const find = vi.spyOn(storage, 'find')
    const { finished } = await starter.start('test', 'a')
    expect((await finished).state).toBe('successful')
    expect(find).toHaveBeenCalledOnce()
  })

  test('is known within a third of a lease when storage does not tell of it, or could not be asked', async () => {
    const line = sharedLine()
    open('taker', line(true))
    const starter = open('starter', line(false))
    vi.spyOn(storage, 'find').mockRejectedValueOnce(new Error('away'))
    const { finished } = await starter.start('test', 'a')
    await clock.advance(10_000)
    expect((await finished).state).toBe('successful')
  })

  test('is known at once to whoever aborts it while it waits', async () => {
    const line = sharedLine()
    const starter = open('starter', line(false))
    const { finished } = await starter.start('test', 'a')
    expect(await open('other', line(false)).abort('test', 'a')).toMatchObject({ state: 'aborted' })
    expect((await finished).state).toBe('aborted')
  })
})

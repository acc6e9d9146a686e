import { JobRegistry, type JobRegistryOptions, type JobStatus, type JobStorage, memoryStorage } from 'headgate'
import { type FakeClock, fakeClock, heldJob } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'

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

function open(node: string, options: Partial<JobRegistryOptions> = {}): JobRegistry {
  const registry = new JobRegistry({ storage, clock, node, ...options })
  registries.push(registry)
  return registry
}

/** A job that runs until it is ended or stopped. */
function job(id = 'a') {
  const { job: definition, contexts, finish } = heldJob({ type: 'test', id })
  return { definition, say: (count: number) => contexts.at(-1)?.progress({ count }), finish: () => finish() }
}

/** What a listener hears, in words: `a running 0`. */
function listen(registry: JobRegistry, scope?: 'own' | 'cluster'): string[] {
  const heard: string[] = []
  const listener = ({ id, status }: { id: string; status: JobStatus }) => {
    heard.push(`${id} ${status.state} ${status.count}`)
  }
  registry.on('status', listener, scope ? { scope } : undefined)
  return heard
}

/** A watcher that is told of a change only when that is called. */
function listenLate() {
  const changes: (() => void)[] = []
  const late = plainStorage(storage)
  late.watch = (listener) => storage.watch?.((change) => changes.push(() => listener(change))) ?? (() => {})
  return { changes, heard: listen(open('watcher', { storage: late }), 'cluster') }
}

describe('a listener with the scope cluster', () => {
  test('hears of the executions of other nodes, and others do not', async () => {
    const [worker, watcher] = [open('worker'), open('watcher')]
    const [all, own] = [listen(watcher, 'cluster'), listen(watcher)]
    const { definition, say, finish } = job()
    worker.define(definition)
    await worker.start('test', 'a')
    await clock.advance(1000)
    say(5)
    await clock.advance(2000)
    await watcher.abort('test', 'a')
    await clock.advance(10)
    expect(all).toEqual(['a running 0', 'a running 5', 'a aborting 5', 'a aborted 5'])
    expect(own).toEqual([])
    finish()
  })

  test('hears of its own node as ever, once', async () => {
    const registry = open('worker')
    const [all, own] = [listen(registry, 'cluster'), listen(registry)]
    const { definition, say, finish } = job()
    registry.define(definition)
    const { finished } = await registry.start('test', 'a')
    await clock.advance(1000)
    say(5)
    await clock.advance(3000)
    finish()
    await finished
    await clock.advance(10_000)
    expect(all).toEqual(['a running 0', 'a running 5', 'a successful 5'])
    expect(own).toEqual(all)
  })

  test('hears by the name of the state too, with what is in it', async () => {
    const [worker, watcher] = [open('worker'), open('watcher')]
    const heard = new Promise<JobStatus>((resolve) => {
      watcher.once('error', ({ status }) => resolve(status), { scope: 'cluster' })
    })
    worker.define({ type: 'test', id: 'a', run: () => Promise.reject(new Error('broken')) })
    await worker.start('test', 'a')
    await clock.advance(1000)
    expect(await heard).toMatchObject({ state: 'error', error: ['broken'] })
  })

  test('hears of every end, however fast executions follow each other', async () => {
    const [worker, watcher] = [open('worker'), open('watcher')]
    const heard = listen(watcher, 'cluster')
    worker.define({ type: 'test', id: 'a', run: ({ progress }) => progress({ count: 1 }) })
    for (let round = 0; round < 20; round++) await (await worker.start('test', 'a')).finished
    await clock.advance(5000)
    expect(heard.filter((each) => each === 'a successful 1')).toHaveLength(20)
  })

  test('hears of ends that storage tells of late, one by one and more than once', async () => {
    const worker = open('worker')
    const { changes, heard } = listenLate()
    worker.define({ type: 'test', id: 'a', run: ({ progress }) => progress({ count: 1 }) })
    for (let round = 0; round < 5; round++) await (await worker.start('test', 'a')).finished
    for (const change of [...changes, ...changes]) {
      change()
      await clock.advance(1)
    }
    expect(heard.filter((each) => each === 'a successful 1')).toHaveLength(5)
  })

  test('hears of more ends between two looks than a page of the log has', async () => {
    const worker = open('worker')
    const { changes, heard } = listenLate()
    worker.define({ type: 'test', id: 'a', run: ({ progress }) => progress({ count: 1 }) })
    for (let round = 0; round < 250; round++) await (await worker.start('test', 'a')).finished
    for (const change of changes) change()
    await clock.advance(5000)
    expect(heard.filter((each) => each === 'a successful 1')).toHaveLength(250)
  })

  test('hears of a node that died, once somebody has noticed', async () => {
    const watcher = open('watcher')
    const heard = listen(watcher, 'cluster')
    await clock.advance(1)
    await storage.begin({ type: 'test', id: 'a', state: 'running', node: 'dead', lease: 1000 })
    await clock.advance(5000)
    expect(heard).toEqual(['a running 0', 'a error 0'])
  })

  test('is not told what lived already, but what comes of it', async () => {
    const [worker, watcher] = [open('worker'), open('watcher')]
    const { definition, say, finish } = job()
    for (const registry of [worker, watcher]) registry.define(definition)
    await worker.start('test', 'a')
    const heard = listen(watcher, 'cluster')
    await clock.advance(1000)
    say(5)
    await clock.advance(2000)
    finish()
    await clock.advance(1000)
    expect(heard).toEqual(['a running 5', 'a successful 5'])
  })

  test('hears in spite of changes that storage did not tell of', async () => {
    const worker = open('worker')
    let isDeaf = false
    const deaf = plainStorage(storage)
    deaf.watch = (listener) => storage.watch?.((change) => isDeaf || listener(change)) ?? (() => {})
    const heard = listen(open('watcher', { storage: deaf }), 'cluster')
    const { definition, finish } = job()
    worker.define(definition)
    await worker.start('test', 'a')
    await clock.advance(1000)
    isDeaf = true
    finish()
    await clock.advance(2000)
    expect(heard).toEqual(['a running 0', 'a successful 0'])
  })

  test('goes on hearing after storage was away', async () => {
    const [worker, watcher] = [open('worker'), open('watcher')]
    const heard = listen(watcher, 'cluster')
    const { definition, finish } = job()
    worker.define(definition)
    const { find, live } = storage
    const fail = () => Promise.reject(new Error('away'))
    Object.assign(storage, { find: fail, live: fail })
    await worker.start('test', 'a')
    await clock.advance(3000)
    expect(heard).toEqual([])
    Object.assign(storage, { find, live })
    await clock.advance(3000)
    finish()
    await clock.advance(3000)
    expect(heard).toEqual(['a running 0', 'a successful 0'])
  })

  test('is taken off by `off`, and by the function that `on` gave', async () => {
    const [worker, watcher] = [open('worker'), open('watcher')]
    const heard: string[] = []
    const [first, second] = ['first', 'second'].map((name) => () => {
      heard.push(name)
    })
    const stop = watcher.on('status', first as () => void, { scope: 'cluster' })
    watcher.on('status', second as () => void, { scope: 'cluster' })
    stop()
    watcher.off('status', second as () => void)
    worker.define({ type: 'test', id: 'a', run: () => {} })
    await worker.start('test', 'a')
    await clock.advance(5000)
    expect(heard).toEqual([])
  })

  test('costs storage nothing once it was taken off, and hears anew when it comes back', async () => {
    const [worker, watcher] = [open('worker'), open('watcher')]
    const { definition, finish } = job()
    worker.define(definition)
    watcher.on('status', () => {}, { scope: 'cluster' })()
    await worker.start('test', 'a')
    await clock.advance(1000)
    const looks = [vi.spyOn(storage, 'find'), vi.spyOn(storage, 'live')]
    await clock.advance(5000)
    expect(looks.map(({ mock }) => mock.calls.length)).toEqual([0, 0])
    const heard = listen(watcher, 'cluster')
    await clock.advance(1000)
    finish()
    await clock.advance(1000)
    expect(heard).toEqual(['a successful 0'])
  })

  test('is refused where storage tells of no changes', () => {
    const { watch: _, ...deaf } = plainStorage(storage)
    const registry = open('a', { storage: deaf })
    expect(() => registry.on('status', () => {}, { scope: 'cluster' })).toThrow(
      'Expected `scope` to be `own`, as the storage does not emit changes, got `cluster` (string)',
    )
    expect(() => registry.on('status', () => {}, { scope: 'all' as 'own' })).toThrow(
      'Expected `scope` to be one of `own`, `cluster`, got `all` (string)',
    )
  })
})

test('an abort of a job of another node is answered as soon as it has stopped', async () => {
  const [worker, other] = [open('worker'), open('other')]
  const { definition } = job()
  worker.define(definition)
  await worker.start('test', 'a')
  const aborted = other.abort('test', 'a')
  await clock.advance(1)
  expect(await aborted).toMatchObject({ state: 'aborted' })
})

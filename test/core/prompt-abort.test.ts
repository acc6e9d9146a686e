import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { fakeClock } from 'headgate/testing'
import { expect, test } from 'vitest'

/** A registry over `storage` with a job that says progress once, and stops as soon as its signal aborts. */
function setUp(change: (storage: JobStorage, clock: ReturnType<typeof fakeClock>) => Partial<JobStorage>) {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const registry = new JobRegistry({ storage: methods(storage, change(storage, clock)), clock, progressInterval: 0 })
  registry.define({
    type: 'test',
    id: 'a',
    run: ({ signal, progress }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
        progress({ count: 1 })
      }),
  })
  return { clock, storage, registry }
}

/** The same storage with some methods changed. */
function methods(storage: JobStorage, changed: Partial<JobStorage>): JobStorage {
  return {
    begin: (request) => storage.begin(request),
    save: (lease, request) => storage.save(lease, request),
    finish: (lease, request) => storage.finish(lease, request),
    requestAbort: (type, id) => storage.requestAbort(type, id),
    find: (type, id) => storage.find(type, id),
    live: (type) => storage.live(type),
    orphans: () => storage.orphans(),
    search: (filter) => storage.search(filter),
    ...changed,
  }
}

test('an abort that another process asks for takes hold at once, also while a save is on its way back', async () => {
  const { clock, storage, registry } = setUp((storage, clock) => ({
    watch: (listener) => storage.watch?.(listener) ?? (() => {}),
    async save(lease, request) {
      const saved = await storage.save(lease, request)
      await new Promise<void>((resolve) => clock.setTimer(10, resolve))
      return saved
    },
  }))
  await registry.start('test', 'a')
  await clock.advance(5)
  await storage.requestAbort('test', 'a')
  await clock.advance(20)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'aborted', count: 1 })
})

test('an abort of a job of this registry takes hold at once, also when storage tells of no changes', async () => {
  const { clock, registry } = setUp(() => ({}))
  await registry.start('test', 'a')
  await clock.advance(0)
  await registry.abort('test', 'a', { timeout: 0 })
  await clock.advance(0)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'aborted', count: 1 })
})

import { type JobContext, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { type FakeClock, fakeClock, heldJob } from 'headgate/testing'
import { expect, test } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'

/** A registry over a changed storage, which does not emit changes of itself, and a job that reports progress once. */
function setUp(change: (storage: JobStorage, clock: FakeClock) => Partial<JobStorage> = () => ({})) {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const { watch: _, ...silent } = plainStorage(storage)
  const changed = { ...silent, ...change(storage, clock) }
  const registry = new JobRegistry({ storage: changed, clock, progressInterval: 0 })
  const { job } = heldJob({ type: 'test', id: 'a' })
  const run = (context: JobContext) => {
    context.progress({ count: 1 })
    return job.run(context)
  }
  registry.define({ ...job, run })
  return { clock, storage, registry }
}

test('an abort that another process asks for takes hold at once, also while a save is on its way back', async () => {
  const { clock, storage, registry } = setUp((storage, clock) => ({
    watch: (listener) => storage.watch?.(listener) ?? (() => {}),
    async renew(lease, request) {
      const saved = await storage.renew(lease, request)
      await new Promise<void>((resolve) => clock.setTimer(10, resolve))
      return saved
    },
  }))
  await registry.start('test', 'a')
  await clock.advance(5)
  await storage.requestAbort({ type: 'test', id: 'a' })
  await clock.advance(20)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'aborted', count: 1 })
})

test('an abort of a job of this registry takes hold at once, also when storage tells of no changes', async () => {
  const { clock, registry } = setUp()
  await registry.start('test', 'a')
  await clock.advance(0)
  await registry.abort('test', 'a', { timeout: 0 })
  await clock.advance(0)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'aborted', count: 1 })
})

import { type Job, type JobContext, JobRegistry, memoryStorage } from 'headgate'
import { fakeClock, heldJob, testDatasource } from 'headgate/testing'
import { expect, onTestFinished, test, vi } from 'vitest'

const message = 'The job ran longer than `maxDuration`, 1000 ms.'

/** A registry with a job that may run for a second. */
function open(more: Partial<Job> = {}, concurrency = 1) {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const registry = new JobRegistry({ storage, clock, concurrency, lease: 600_000 })
  onTestFinished(() => registry.close())
  const held = heldJob({ type: 'test', id: 'a' })
  registry.define({ ...held.job, maxDuration: 1000, ...more })
  return { clock, storage, registry, held }
}

test('a job that runs longer than it may is cancelled, and fails with a code', async () => {
  const { clock, registry, held } = open()
  const causes: unknown[] = []
  registry.on('error', ({ cause }) => causes.push(cause))
  const { finished } = await registry.start('test', 'a')
  await clock.advance(999)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'running' })
  await clock.advance(1)
  expect(await finished).toMatchObject({ state: 'error', error: [message] })
  expect(held.context.signal.reason).toMatchObject({ code: 'max_duration' })
  expect(causes).toMatchObject([{ code: 'max_duration' }])
})

test('the time counts over retries, and its end is not retried', async () => {
  const run = vi.fn(async () => {
    throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
  })
  vi.spyOn(Math, 'random').mockReturnValue(1)
  onTestFinished(() => void vi.restoreAllMocks())
  const { clock, registry } = open({ run, retry: { limit: 100, delay: 400, maxDelay: 400 } })
  const { finished } = await registry.start('test', 'a')
  await clock.advance(60_000)
  expect(await finished).toMatchObject({ state: 'error', error: [message] })
  expect(run).toHaveBeenCalledTimes(3)
})

test('one that does not stop keeps its slot until it ends, and is logged once', async () => {
  const held = heldJob({ type: 'test', id: 'a', maxDuration: 1000 }, { ignoresSignal: true })
  const clock = fakeClock()
  const warn = vi.fn()
  const logger = { debug() {}, info() {}, warn, error() {} }
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, concurrency: 1, lease: 600_000, logger })
  onTestFinished(() => registry.close())
  registry.define(held.job)
  registry.define({ type: 'test', id: 'next', run() {} })
  const { finished } = await registry.start('test', 'a')
  await registry.start('test', 'next')
  await clock.advance(10_999)
  expect(warn).not.toHaveBeenCalled()
  await clock.advance(60_000)
  expect(warn.mock.calls.map(([, text]) => text)).toEqual([
    'Job [test/a]: It ran longer than `maxDuration`, 1000 ms, and has not stopped within 10000 ms after that: it keeps its slot until it ends. ' +
      'Pass its `signal` on to what it waits for.',
  ])
  expect(await registry.queued()).toMatchObject({ total: 1 })
  held.finish()
  expect(await finished).toMatchObject({ state: 'error', error: [message] })
})

test('the time in the queue does not count', async () => {
  const { clock, registry } = open()
  const { job, finish } = heldJob({ type: 'test', id: 'first' })
  registry.define(job)
  await registry.start('test', 'first')
  const { finished } = await registry.start('test', 'a')
  await clock.advance(5000)
  finish()
  await clock.advance(999)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'running' })
  await clock.advance(1)
  expect(await finished).toMatchObject({ state: 'error' })
})

test('a job that ends in time does not fail', async () => {
  const { clock, registry, held } = open()
  const first = await registry.start('test', 'a')
  await clock.advance(999)
  held.finish()
  await clock.advance(1000)
  expect(await first.finished).toMatchObject({ state: 'successful' })
})

test('a job that has completed its work does not fail', async () => {
  const run = async ({ complete, signal }: JobContext) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    complete()
  }
  const { clock, registry } = open({ run })
  const { finished } = await registry.start('test', 'a')
  await clock.advance(1000)
  expect(await finished).toMatchObject({ state: 'successful' })
})

test('what the job throws while it stops is the cause, and an abort on top changes nothing', async () => {
  let context: JobContext | undefined
  const run = async (given: JobContext) => {
    context = given
    await new Promise((resolve) => given.signal.addEventListener('abort', resolve))
    throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
  }
  const { clock, registry } = open({ run, resume: 'auto' })
  const { finished } = await registry.start('test', 'a')
  await clock.advance(1000)
  await registry.abort('test', 'a', { timeout: 0 })
  expect(await finished).toMatchObject({ state: 'error', error: [message, 'away'] })
  expect(context?.signal.reason).toMatchObject({ code: 'max_duration' })
})

test('an ingestion stops and keeps its checkpoint, also with partitions', async () => {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const source = {
    kind: 'test',
    read: (_: unknown, { signal }: { signal: AbortSignal }) => hanging(signal),
    capabilities: { readsRanges: true },
  }
  const registry = new JobRegistry({ storage, clock, lease: 600_000 })
  onTestFinished(() => registry.close())
  const common = { datasource: source, target: () => undefined, maxDuration: 1000 }
  registry.define({ ...common, id: 'whole' })
  registry.define({ ...common, id: 'parts', partitions: [5] })
  const runs = await Promise.all(['whole', 'parts'].map((id) => registry.start('ingestion', id)))
  await clock.advance(1000)
  for (let n = 0; n < 20; n++) await clock.advance(250)
  for (const { finished } of runs) expect(await finished).toMatchObject({ state: 'error', error: [message] })
  const left = await storage.live({ type: 'ingestion', includePartitions: true })
  expect(left.hits).toEqual([])
})

async function* hanging(signal: AbortSignal): AsyncGenerator<never> {
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

test.each([0, 1.5, '1s'])('refuses %s', (maxDuration) => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const job = { id: 'a', datasource: testDatasource([]), target: () => undefined, maxDuration }
  expect(() => registry.define(job as never)).toThrow(
    'Expected `maxDuration` to be a whole number of milliseconds from 1 up',
  )
  expect(() => registry.define({ type: 'test', id: 'a', run() {}, maxDuration } as never)).toThrow('`maxDuration`')
})

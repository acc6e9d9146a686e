import {
  type EndContext,
  type EndedStatus,
  type Job,
  JobRegistry,
  type JobRegistryOptions,
  type JobStorage,
  memoryStorage,
  type StartOptions,
} from 'headgate'
import { collectingTarget, type FakeClock, fakeClock, heldJob } from 'headgate/testing'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'

const minute = 60_000
const hour = 60 * minute

let clock: FakeClock
let storage: JobStorage

beforeEach(() => {
  clock = fakeClock()
  storage = memoryStorage({ clock })
})

function open(options: Partial<JobRegistryOptions> = {}): JobRegistry {
  const registry = new JobRegistry({ storage, clock, ...options })
  onTestFinished(async () => {
    const closed = registry.close({ timeout: 0 })
    await clock.advance(10)
    await closed
  })
  return registry
}

const onEnd = () => vi.fn<(status: EndedStatus, context: EndContext) => unknown>()
const statesOf = (handler: ReturnType<typeof onEnd>) => handler.mock.calls.map(([{ state }]) => state)
const warnings = () => {
  const warn = vi.fn<(details: object, message: string) => void>()
  const nothing = () => {}
  return {
    logger: { debug: nothing, info: nothing, warn, error: nothing },
    warned: () => warn.mock.calls.map(([, message]) => message),
  }
}

/** Begins an execution whose process is dead. */
async function die(job: Pick<Job, 'type' | 'id'>, options: object = {}): Promise<void> {
  await storage.begin({ ...job, state: 'running', node: 'dead', lease: 1000, notifiesEnd: true, ...options })
}

describe('onEnd', () => {
  test('is called for a success, a failure and an abort, with the status and what the job threw', async () => {
    const registry = open()
    const ended = onEnd()
    const cause = new Error('broken')
    const held = heldJob({ type: 'test', id: 'held' })
    registry.define({ type: 'test', id: 'good', run: ({ progress }) => progress({ count: 2 }), onEnd: ended })
    registry.define({ type: 'test', id: 'bad', run: () => Promise.reject(cause), onEnd: ended })
    registry.define({ ...held.job, onEnd: ended })
    for (const id of ['good', 'bad', 'held']) await registry.start('test', id)
    await clock.advance(10)
    await registry.abort('test', 'held')
    await clock.advance(10)
    expect(statesOf(ended)).toEqual(['successful', 'error', 'aborted'])
    expect(ended.mock.calls[0]).toMatchObject([{ id: 'good', count: 2 }, { signal: { aborted: false } }])
    expect(ended.mock.calls[1]).toMatchObject([{ id: 'bad', error: ['broken'] }, { cause }])
    expect(ended.mock.calls[0]?.[1]).not.toHaveProperty('cause')
    await clock.advance(hour)
    expect(ended).toHaveBeenCalledTimes(3)
  })

  test('of a registry is called beside that of the job, for an ingestion too', async () => {
    const [ofJob, ofRegistry] = [onEnd(), onEnd()]
    const registry = open({ onEnd: ofRegistry })
    const datasource = { kind: 'test', read: async function* () {} }
    registry.define({
      id: 'rows',
      datasource,
      target: () => {},
      onEnd: (status) => ofJob(status as EndedStatus, {} as EndContext),
    })
    registry.define({ type: 'test', id: 'plain', run: () => {} })
    for (const [type, id] of [['ingestion', 'rows'] as const, ['test', 'plain'] as const])
      await registry.start(type, id)
    await clock.advance(100)
    expect(ofRegistry.mock.calls.map(([{ id }]) => id).sort()).toEqual(['plain', 'rows'])
    expect(ofJob.mock.calls.map(([{ id }]) => id)).toEqual(['rows'])
  })

  test('is called by one of the processes that define the job', async () => {
    const ended = onEnd()
    const registries = ['a', 'b', 'c'].map((node) => open({ node }))
    for (const registry of registries) registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    for (const registry of registries) await (await registry.start('test', 'a')).finished
    await clock.advance(hour)
    expect(ended).toHaveBeenCalledTimes(3)
  })

  test('is called when the process of the job died, and nobody else asks for that', async () => {
    const ended = onEnd()
    open().define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    await die({ type: 'test', id: 'a' })
    await clock.advance(minute)
    expect(ended.mock.calls).toMatchObject([
      [
        { state: 'error', error: ['The node that ran the job stopped answering.', expect.stringContaining('dead')] },
        {},
      ],
    ])
  })

  test('is called when the process died between the end and the call', async () => {
    const ended = onEnd()
    await die({ type: 'test', id: 'a' })
    const [running] = (await storage.live({ type: 'test' })).hits
    await storage.finish(running as never, { state: 'successful' })
    await storage.ends?.claim({ node: 'dead', lease: 90_000, size: 10 })
    open().define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    await clock.advance(89_000)
    expect(ended).not.toHaveBeenCalled()
    await clock.advance(minute)
    expect(statesOf(ended)).toEqual(['successful'])
  })

  test('hears of a job that is resumed automatically when it has ended for good', async () => {
    const ended = onEnd()
    open().define({ type: 'test', id: 'a', resume: 'auto', run: () => {}, onEnd: ended })
    await die({ type: 'test', id: 'a' })
    await clock.advance(hour)
    expect(statesOf(ended)).toEqual(['successful'])
    expect(await storage.ends?.claim({ node: 'x', lease: 1000, size: 10 })).toEqual([])
  })

  test.each<[string, StartOptions]>([
    ['an ordinary start', {}],
    ['a full refresh', { fullRefresh: true }],
  ])('hears of an orphan that is not resumed while the job is paused, because of %s', async (_, options) => {
    const ended = onEnd()
    const registry = open({ onEnd: ended })
    const datasource = { kind: 'test', read: async function* () {} }
    const collecting = collectingTarget()
    const target = { ...collecting, capabilities: { ...collecting.capabilities, onFullRefresh: 'merge' as const } }
    registry.define({ id: 'a', resume: 'auto', datasource, target })
    await registry.pause('ingestion', 'a')
    await die({ type: 'ingestion', id: 'a' })
    await clock.advance(minute)
    expect(ended).not.toHaveBeenCalled()
    const finish = async (given: StartOptions) => {
      const { finished } = await registry.start('ingestion', 'a', { force: true, ...given })
      await clock.advance(100)
      await finished
    }
    await finish(options)
    // A later execution does not hide that none has resumed the orphan.
    await finish({})
    await clock.advance(hour)
    expect(statesOf(ended)).toEqual(['successful', 'successful', 'error'])
    expect(await storage.ends?.claim({ node: 'x', lease: 1000, size: 10 })).toEqual([])
  })

  test('hears of an orphan that the schedule starts anew before it is resumed', async () => {
    const ended = onEnd()
    await die({ type: 'test', id: 'a' })
    await clock.advance(1000)
    const { execution } = await storage.begin({
      ...{ type: 'test', id: 'a', state: 'running', node: 'b', lease: 1000, notifiesEnd: true },
      scheduledFor: clock.now(),
    })
    await storage.finish(execution, { state: 'successful' })
    open().define({ type: 'test', id: 'a', resume: 'auto', run: () => {}, onEnd: ended })
    await clock.advance(hour)
    expect(statesOf(ended).sort()).toEqual(['error', 'successful'])
  })

  test('hears of no orphan that was resumed, however many executions came after that', async () => {
    const ended = onEnd()
    await die({ type: 'test', id: 'a' })
    await clock.advance(1000)
    const orphan = await storage.find('test', 'a')
    for (let round = 0; round < 250; round++) {
      const { execution } = await storage.begin({
        ...{ type: 'test', id: 'a', state: 'running', node: 'b', lease: 1000 },
        ...(round === 0 && orphan && { resumedFrom: orphan.executionId }),
      })
      await storage.finish(execution, { state: 'successful' })
    }
    open().define({ type: 'test', id: 'a', resume: 'auto', run: () => {}, onEnd: ended })
    await clock.advance(hour)
    expect(ended).not.toHaveBeenCalled()
    expect(await storage.ends?.claim({ node: 'x', lease: 1000, size: 10 })).toEqual([])
  })

  test('hears of no orphan that is resumed after a reset, or after its job was removed and defined again', async () => {
    const ended = onEnd()
    const registry = open()
    const job: Job = { type: 'test', id: 'a', resume: 'auto', run: () => {}, onEnd: ended }
    registry.define(job)
    await registry.pause('test', 'a')
    await die({ type: 'test', id: 'a' })
    await clock.advance(minute)
    await registry.reset('test', 'a')
    registry.remove('test', 'a')
    await clock.advance(hour)
    registry.define(job)
    await registry.unpause('test', 'a')
    await clock.advance(hour)
    expect(statesOf(ended)).toEqual(['successful'])
  })

  test('hears of an orphan whose job was removed, and started by another process', async () => {
    const ended = onEnd()
    const [registry, other] = [open({ node: 'a' }), open({ node: 'b' })]
    const job: Job = { type: 'test', id: 'a', resume: 'auto', run: () => {}, onEnd: ended }
    registry.define(job)
    await registry.pause('test', 'a')
    await die({ type: 'test', id: 'a' })
    await clock.advance(minute)
    registry.remove('test', 'a')
    other.define(job)
    await (await other.start('test', 'a', { force: true })).finished
    await clock.advance(hour)
    expect(statesOf(ended)).toEqual(['successful', 'error'])
  })

  test('hears after 6 days of an orphan whose job stays paused, and of the execution that resumes it later', async () => {
    const ended = onEnd().mockRejectedValueOnce(new Error('503'))
    const job: Job = { type: 'test', id: 'a', resume: 'auto', run: () => {}, onEnd: ended }
    const first = open()
    first.define(job)
    await first.pause('test', 'a')
    await die({ type: 'test', id: 'a' })
    await clock.advance(minute)
    await first.close()
    await clock.advance(6 * 24 * hour - hour)
    const { logger, warned } = warnings()
    const registry = open({ logger })
    registry.define(job)
    await clock.advance(30 * minute)
    expect(ended).not.toHaveBeenCalled()
    await clock.advance(hour)
    expect(statesOf(ended)).toEqual(['error', 'error'])
    expect(warned()).toEqual([expect.stringContaining('`onEnd` failed')])
    await registry.unpause('test', 'a')
    await clock.advance(minute)
    expect(statesOf(ended)).toEqual(['error', 'error', 'successful'])
  })

  test('hears of an orphan that nobody resumes any more', async () => {
    const ended = onEnd()
    const retry = { limit: 0 }
    open().define({ type: 'test', id: 'a', resume: 'auto', retry, run: () => {}, onEnd: ended })
    await die({ type: 'test', id: 'a' })
    await clock.advance(minute)
    expect(statesOf(ended)).toEqual(['error'])
  })

  test('waits for a process that defines the job', async () => {
    const [ended, other] = [onEnd(), onEnd()]
    open().define({ type: 'test', id: 'other', run: () => {}, onEnd: other })
    await die({ type: 'test', id: 'a' })
    await clock.advance(hour)
    open().define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    await clock.advance(hour)
    expect(statesOf(ended)).toEqual(['error'])
    expect(other).not.toHaveBeenCalled()
  })

  test('is not called after 7 days, and the log says so', async () => {
    const { logger, warned } = warnings()
    /** Opens a registry that does not define the job, for a minute. */
    const look = async () => {
      const registry = open({ logger })
      registry.define({ type: 'test', id: 'other', run: () => {}, onEnd: onEnd() })
      await clock.advance(minute)
      await registry.close()
    }
    await die({ type: 'test', id: 'a' })
    await look()
    await clock.advance(7 * 24 * hour - hour)
    await look()
    expect(warned()).toEqual([])
    await clock.advance(hour)
    await look()
    expect(warned()).toEqual(['Job [test/a] has ended, and no `onEnd` could be notified within 7 days.'])
    expect(await storage.ends?.claim({ node: 'x', lease: 1000, size: 10 })).toEqual([])
  })

  test('that fails for an hour is called again, less and less often, without delay to jobs', async () => {
    const { logger, warned } = warnings()
    const registry = open({ logger })
    const mended = clock.now() + hour
    const ended = onEnd().mockImplementation(() => {
      if (clock.now() <= mended) throw new Error('503')
    })
    registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    for (let round = 0; round < 50; round++) await (await registry.start('test', 'a')).finished
    await clock.advance(hour)
    expect(ended.mock.calls.length).toBeLessThan(120)
    expect(warned()[0]).toMatch(/^Job \[test\/a\] has ended, and `onEnd` failed\. It is called again after \d+ ms\.$/)
    ended.mockClear()
    await clock.advance(10 * minute)
    const notified = ended.mock.calls.map(([{ executionId }]) => executionId)
    expect([notified.length, new Set(notified).size]).toEqual([50, 50])
  })

  test('that hangs for an hour is given up each time, and called again', async () => {
    const registry = open()
    const mended = clock.now() + hour
    const signals: AbortSignal[] = []
    const ended = onEnd().mockImplementation((_, { signal }) => {
      signals.push(signal)
      return clock.now() < mended ? new Promise(() => {}) : undefined
    })
    registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    await (await registry.start('test', 'a')).finished
    await clock.advance(31_000)
    expect(signals[0]?.reason).toMatchObject({ code: 'timeout', message: '`onEnd` took longer than 30000 ms.' })
    await clock.advance(hour + 10 * minute)
    expect(ended.mock.calls.length).toBeLessThan(30)
    expect(signals.at(-1)?.aborted).toBe(false)
    const { length } = signals
    await clock.advance(hour)
    expect(signals).toHaveLength(length)
  })

  test('that returns what can only mean that its work is not done is called again', async () => {
    const { logger, warned } = warnings()
    const answers = [Response.json({}, { status: 500 }), new Response()]
    const ended = vi.fn(async () => answers.shift())
    const registry = open({ logger })
    registry.define({ type: 'test', id: 'a', run() {}, onEnd: ended })
    await (await registry.start('test', 'a')).finished
    await clock.advance(minute)
    expect(ended).toHaveBeenCalledTimes(2)
    expect(warned()).toEqual([expect.stringContaining('`onEnd` failed. It is called again after')])
    await clock.advance(hour)
    expect(ended).toHaveBeenCalledTimes(2)
  })

  test('that fails does not hold up that of other jobs', async () => {
    const registry = open({ onEndTimeout: 1000 })
    const ended = onEnd()
    for (let n = 0; n < 40; n++) {
      registry.define({ type: 'test', id: `hangs-${n}`, run: () => {}, onEnd: () => new Promise(() => {}) })
      await registry.start('test', `hangs-${n}`)
    }
    registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    await registry.start('test', 'a')
    await clock.advance(2 * minute)
    expect(ended).toHaveBeenCalledTimes(1)
  })

  test('that succeeded is not repeated because that of the registry failed', async () => {
    const [ofJob, ofRegistry] = [onEnd(), onEnd()]
    ofRegistry.mockRejectedValueOnce(new Error('503'))
    const registry = open({ onEnd: ofRegistry })
    registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: ofJob })
    await registry.start('test', 'a')
    await clock.advance(minute)
    expect([ofJob.mock.calls.length, ofRegistry.mock.calls.length]).toEqual([1, 2])
  })

  test('is called for the jobs that a close aborts, before the storage closes', async () => {
    const registry = new JobRegistry({ storage, clock })
    const ended = onEnd()
    registry.define({ ...heldJob({ type: 'test', id: 'a' }).job, onEnd: ended })
    await registry.start('test', 'a')
    await registry.close()
    expect(statesOf(ended)).toEqual(['aborted'])
  })

  test('leaves nothing for a close to claim when storage answers after the call', async () => {
    let answer = () => {}
    const answered = new Promise<void>((resolve) => {
      answer = resolve
    })
    const { ends } = storage
    const claim = vi.fn(ends?.claim.bind(ends))
    const finish: JobStorage['finish'] = async (...args) => {
      const record = await storage.finish(...args)
      await answered
      return record
    }
    const slow = { ...plainStorage(storage), finish, ends: { claim, settle: ends?.settle.bind(ends) } } as JobStorage
    const registry = new JobRegistry({ storage: slow, clock })
    const ended = onEnd()
    registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    const { finished } = await registry.start('test', 'a')
    await clock.advance(15_000)
    expect(statesOf(ended)).toEqual(['successful'])
    answer()
    await finished
    await clock.advance(1000)
    claim.mockClear()
    await registry.close()
    expect(claim).not.toHaveBeenCalled()
    expect(ended).toHaveBeenCalledTimes(1)
  })

  test('that hangs does not hold up a close beyond its time', async () => {
    const registry = new JobRegistry({ storage, clock })
    let given: AbortSignal | undefined
    const hangs = (_: EndedStatus, { signal }: EndContext) => {
      given = signal
      return new Promise(() => {})
    }
    registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: hangs })
    await (await registry.start('test', 'a')).finished
    const closed = vi.fn()
    void registry.close({ timeout: 2000 }).then(closed)
    await clock.advance(1000)
    expect(closed).not.toHaveBeenCalled()
    await clock.advance(1000)
    expect(closed).toHaveBeenCalled()
    expect(given?.reason).toMatchObject({ code: 'closed' })
  })

  test('is refused over a storage that does not list open ends', () => {
    const { ends: _, ...without } = plainStorage(storage)
    const job = { type: 'test', id: 'a', run: () => {}, onEnd: () => {} }
    const refused = 'The storage does not have `ends`, which `onEnd` needs.'
    const registry = open({ storage: without })
    expect(() => registry.define(job)).toThrow(refused)
    expect(registry.has('test', 'a')).toBe(false)
    expect(() => open({ storage: without, onEnd: () => {} })).toThrow(refused)
  })

  test('costs nothing without a handler', async () => {
    const claim = vi.fn(async () => [])
    const watched = { ...plainStorage(storage), ends: { claim, settle: async () => {} } }
    const begin = vi.spyOn(watched, 'begin')
    const registry = open({ storage: watched })
    registry.define({ type: 'test', id: 'a', run: () => {} })
    await (await registry.start('test', 'a')).finished
    await clock.advance(hour)
    expect(claim).not.toHaveBeenCalled()
    expect(begin.mock.calls[0]?.[0]).not.toHaveProperty('notifiesEnd')
  })
})

import { type Job, type JobContext, JobRegistry, type JobRegistryOptions, memoryStorage } from 'headgate'
import { fakeClock, heldJob, recordEvents } from 'headgate/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { plainStorage, storageMethods } from '../../support/plain-storage.js'

const transient = () => Object.assign(new Error('away'), { code: 'ECONNREFUSED' })

/** Runs until it is aborted. */
const { run: endless } = heldJob({ type: 'test', id: 'a' }).job

const registries: { registry: JobRegistry; advance(ms: number): Promise<void> }[] = []
afterEach(async () => {
  for (const { registry, advance } of registries.splice(0)) {
    const closed = registry.close({ timeout: 0 })
    await advance(60_000)
    await closed
  }
})

/** A storage whose methods a test replaces, a registry over it, and one over what is underneath. */
function setUp(run: Job['run'], more: Partial<Job> = {}, options: Partial<JobRegistryOptions> = {}) {
  const clock = fakeClock()
  const memory = memoryStorage({ clock })
  const storage = plainStorage(memory)
  const open = (options: Partial<JobRegistryOptions>) => {
    const registry = new JobRegistry({ storage, clock, ...options })
    registries.push({ registry, advance: clock.advance })
    registry.define({ type: 'test', id: 'a', run, ...more })
    return registry
  }
  const fail = (how: () => Promise<never>) => {
    const found = { ...storage }
    for (const name of storageMethods) if (name !== 'watch') storage[name] = how
    return () => Object.assign(storage, found)
  }
  return { clock, memory, storage, open, fail, registry: open(options) }
}

const hangs = () => new Promise<never>(() => {})
const away = () => Promise.reject(new Error('away'))

describe('a storage that is away', () => {
  test('makes nobody warn of too many listeners, however many executions wait for it', async () => {
    const warned = vi.fn()
    process.on('warning', warned)
    const { clock, fail, registry } = setUp(endless)
    const more = Array.from({ length: 30 }, (_, at) => `more ${at}`)
    for (const id of more)
      registry.define({
        type: 'test',
        id,
        run: ({ signal }) => {
          for (let count = 0; count < 20; count++) signal.addEventListener('abort', () => {})
        },
      })
    const starts = await Promise.all(more.map((id) => registry.start('test', id)))
    const recover = fail(away)
    await clock.advance(3000)
    recover()
    await clock.advance(10_000)
    await Promise.all(starts.map(({ finished }) => finished))
    await new Promise(setImmediate)
    process.off('warning', warned)
    expect(warned).not.toHaveBeenCalled()
  })

  test('is tried again after whole milliseconds', async () => {
    const warn = vi.fn()
    const logger = { debug: () => {}, info: () => {}, warn, error: () => {} }
    const { clock, storage, registry } = setUp(() => {}, {}, { logger, lease: 2000 })
    const { finish } = storage
    storage.finish = away
    const { finished } = await registry.start('test', 'a')
    await clock.advance(8000)
    storage.finish = finish
    await clock.advance(8000)
    await finished
    expect(warn.mock.calls.length).toBeGreaterThan(4)
    for (const [, message] of warn.mock.calls) expect(message).toMatch(/in \d+ ms\.$/)
  })
})

describe('a storage that hangs', () => {
  test('costs a save its answer, and the job nothing', async () => {
    const { clock, storage, registry } = setUp(endless)
    const { renew } = storage
    storage.renew = async () => {
      storage.renew = renew
      return hangs()
    }
    const execution = await registry.start('test', 'a')
    await clock.advance(300_000)
    expect(execution.status.state).toBe('running')
    expect(await registry.abort('test', 'a')).toMatchObject({ state: 'aborted' })
  })

  test('does not keep `close` from stopping the job, or from coming to its end', async () => {
    let signal: AbortSignal | undefined
    const { clock, fail, registry } = setUp((context) => {
      signal = context.signal
      return endless(context)
    })
    const { finished } = await registry.start('test', 'a')
    fail(hangs)
    const closed = registry.close({ timeout: 5000 })
    await clock.advance(2000)
    expect(signal?.aborted).toBe(true)
    await clock.advance(60_000)
    await closed
    expect(await finished).toMatchObject({ state: 'aborted' })
  })

  test('does not keep an abort from elsewhere beyond its timeout', async () => {
    const { clock, storage, registry, open } = setUp(endless)
    await registry.start('test', 'a')
    storage.find = hangs
    storage.renew = hangs
    const aborted = open({}).abort('test', 'a', { timeout: 1000 })
    await clock.advance(1001)
    expect(await aborted).toMatchObject({ state: 'aborting' })
  })

  test('once, does not end the look for orphans', async () => {
    const run = vi.fn(endless)
    const { clock, memory, storage } = setUp(run, { resume: 'auto' })
    const { orphans } = storage
    storage.orphans = async () => {
      storage.orphans = orphans
      return hangs()
    }
    await memory.begin({ type: 'test', id: 'a', state: 'running', node: 'dead', lease: 1000 })
    await clock.advance(60_000)
    expect(run).toHaveBeenCalledTimes(1)
  })
})

describe('a lease that was lost', () => {
  test.each([
    ['returns', (resolve: () => void) => resolve()],
    ['throws something of its own', (_: () => void, reject: (error: Error) => void) => reject(new Error('stopped'))],
  ])('makes an orphan of a job that then %s', async (_, end) => {
    const run = vi.fn(
      ({ signal }: JobContext) =>
        new Promise<void>((resolve, reject) => signal.addEventListener('abort', () => end(resolve, reject))),
    )
    const { clock, fail, registry } = setUp(run, { resume: 'auto' })
    const { finished } = await registry.start('test', 'a')
    const back = fail(away)
    await clock.advance(31_000)
    back()
    await clock.advance(20_000)
    expect(await finished).toMatchObject({
      state: 'error',
      error: expect.arrayContaining(['The node that ran the job stopped answering.']),
    })
    expect(run).toHaveBeenCalledTimes(2)
  })

  test('counts from the question, not from the answer', async () => {
    const held = heldJob({ type: 'test', id: 'a' })
    const { clock, storage, registry } = setUp(held.job.run)
    await registry.start('test', 'a')
    const { renew } = storage
    storage.renew = async (...args) => {
      const saved = await renew(...args)
      await new Promise<void>((resolve) => clock.setTimer(4000, resolve))
      storage.renew = away
      return saved
    }
    // Asked at 10 s, answered at 14 s: it holds up to 40 s.
    await clock.advance(39_900)
    const { context } = held
    expect(context.signal.aborted).toBe(false)
    await clock.advance(200)
    expect(context.signal.aborted).toBe(true)
    expect(context.isHeld()).toBe(false)
  })

  test('is told by isHeld before any timer fires, also while the job aborts', async () => {
    const held = heldJob({ type: 'test', id: 'a' }, { ignoresSignal: true })
    const { clock, registry } = setUp(held.job.run)
    await registry.start('test', 'a')
    void registry.abort('test', 'a', { timeout: 0 })
    await clock.advance(1)
    const { context } = held
    expect(context.isHeld()).toBe(true)
    const now = clock.now() + 31_000
    clock.now = () => now
    expect(context.isHeld()).toBe(false)
  })

  test('is not lost to a clock that is put back', async () => {
    const { clock, registry, memory } = setUp(endless)
    const { now } = clock
    let skew = 0
    const skewed = { ...clock, now: () => now() + skew }
    const other = new JobRegistry({ storage: memory, clock: skewed })
    registries.push({ registry: other, advance: clock.advance })
    other.define({ type: 'test', id: 'b', run: endless })
    const execution = await other.start('test', 'b')
    skew = -3_600_000
    await clock.advance(120_000)
    expect(await registry.status('test', 'b')).toMatchObject({ state: 'running', executionId: execution.executionId })
  })

  test('is not lost to one save that fails, however seldom progress is saved', async () => {
    const { clock, storage, registry } = setUp(endless, {}, { progressInterval: 30_000 })
    const execution = await registry.start('test', 'a')
    const { renew } = storage
    storage.renew = () => {
      storage.renew = renew
      return away()
    }
    await clock.advance(60_000)
    expect(execution.status.state).toBe('running')
  })
})

describe('what a job says', () => {
  test('is saved soon also when it is said while a save is under way', async () => {
    const { clock, memory, storage, registry } = setUp(
      (context) => {
        context.progress({ count: 1 })
        context.progress({ count: 2 })
        return endless(context)
      },
      {},
      { progressInterval: 0 },
    )
    const { renew } = storage
    storage.renew = async (...args) => {
      await new Promise<void>((resolve) => clock.setTimer(5, resolve))
      return renew(...args)
    }
    await registry.start('test', 'a')
    await clock.advance(100)
    expect(await memory.find('test', 'a')).toMatchObject({ count: 2 })
  })

  test('is in storage when `save` resolves, though the first try failed and another was under way', async () => {
    let found: unknown
    const { clock, memory, storage, registry } = setUp(
      async (context) => {
        context.progress({ count: 1 })
        await context.save()
        found = (await memory.find('test', 'a'))?.count
      },
      {},
      { progressInterval: 100 },
    )
    const { renew } = storage
    let tries = 0
    storage.renew = async (...args) => {
      if (++tries === 1) return away()
      await new Promise<void>((resolve) => clock.setTimer(1000, resolve))
      return renew(...args)
    }
    await registry.start('test', 'a')
    await clock.advance(10_000)
    expect(found).toBe(1)
  })

  test('is not said to be in storage when the lease was lost meanwhile', async () => {
    const answers: unknown[] = []
    const { clock, storage, registry } = setUp(
      async (context) => {
        context.progress({ checkpoint: 'precious' })
        storage.renew = away
        await context.save().then(
          () => answers.push('saved'),
          (error) => answers.push(error.code),
        )
        await context.save().catch((error) => answers.push(error.code))
      },
      {},
      { progressInterval: 100_000 },
    )
    await registry.start('test', 'a')
    await clock.advance(60_000)
    expect(answers).toEqual(['lease_lost', 'lease_lost'])
  })

  test('is not said to be in storage when storage has found the lease to be lost', async () => {
    const answers: unknown[] = []
    const { clock, storage, registry } = setUp(
      async (context) => {
        context.progress({ count: 1 })
        storage.renew = async () => undefined
        await context.save().catch((error) => answers.push(error.code))
      },
      {},
      { progressInterval: 100_000 },
    )
    await registry.start('test', 'a')
    await clock.advance(1000)
    expect(answers).toEqual(['lease_lost'])
  })

  test('is saved while the job is asked to stop, or is not said to be', async () => {
    const answers: unknown[] = []
    const { clock, memory, storage, registry } = setUp(
      async (context) => {
        const { signal } = context
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        context.progress({ count: 1 })
        await context.save()
        answers.push((await memory.find('test', 'a'))?.count)
        context.progress({ count: 2 })
        storage.renew = away
        await context.save().catch((error) => answers.push(error.code))
        signal.throwIfAborted()
      },
      {},
      { progressInterval: 100_000 },
    )
    await registry.start('test', 'a')
    const aborted = registry.abort('test', 'a')
    await clock.advance(1000)
    expect(await aborted).toMatchObject({ state: 'aborted', count: 2 })
    expect(answers).toEqual([1, 'aborted'])
  })

  test('is what it was when it was said', async () => {
    const { clock, memory, registry } = setUp((context) => {
      const checkpoint = { page: 1 }
      context.progress({ checkpoint })
      checkpoint.page = 2
      return endless(context)
    })
    await registry.start('test', 'a')
    await clock.advance(1000)
    expect(await memory.find('test', 'a')).toMatchObject({ checkpoint: { page: 1 } })
  })

  test('lets it come on also when it changes the checkpoint that it was given', async () => {
    const run = vi.fn(({ checkpoint, progress }: JobContext) => {
      const state = (checkpoint as { page: number } | undefined) ?? { page: 0 }
      if (state.page === 10) return
      state.page++
      progress({ checkpoint: state })
      throw transient()
    })
    const { clock, registry } = setUp(run, { resume: 'auto' })
    const { finished } = await registry.start('test', 'a')
    await clock.advance(60_000)
    expect(await finished).toMatchObject({ state: 'successful' })
    expect(run).toHaveBeenCalledTimes(11)
  })
})

describe('tries', () => {
  test('are bounded though the policy says undefined', async () => {
    const run = vi.fn(() => Promise.reject(transient()))
    const { clock, registry } = setUp(run, { resume: 'auto', retry: { limit: undefined, delay: undefined } as object })
    const { finished } = await registry.start('test', 'a')
    await clock.advance(120_000)
    expect(await finished).toMatchObject({ state: 'error' })
    expect(run).toHaveBeenCalledTimes(6)
  })

  test('are bounded of a job that goes back and comes on, over and over', async () => {
    const run = vi.fn(({ progress }: JobContext) => {
      for (let count = 0; count <= 9 + (run.mock.calls.length % 2); count++) progress({ count })
      throw transient()
    })
    const { clock, registry } = setUp(run, { resume: 'auto' })
    const { finished } = await registry.start('test', 'a')
    await clock.advance(600_000)
    expect(await finished).toMatchObject({ state: 'error' })
    expect(run.mock.calls.length).toBeLessThan(10)
  })
})

describe('an abort that somebody asked for', () => {
  test('stays, though the node dies before the job has stopped', async () => {
    const { job, contexts } = heldJob({ type: 'test', id: 'a' }, { ignoresSignal: true })
    const { clock, memory, fail, registry, open } = setUp(job.run, { resume: 'auto' })
    await registry.start('test', 'a')
    await memory.requestAbort({ type: 'test', id: 'a' })
    const back = fail(hangs)
    await clock.advance(31_000)
    back()
    open({})
    await clock.advance(60_000)
    expect(contexts).toHaveLength(1)
  })

  test('stays, though the node closes before it has heard of it', async () => {
    const run = vi.fn(endless)
    const { clock, memory, registry, open } = setUp(run, { resume: 'auto' })
    const { finished } = await registry.start('test', 'a')
    const other = open({})
    void memory.requestAbort({ type: 'test', id: 'a' })
    await registry.close()
    await clock.advance(60_000)
    expect(await finished).toMatchObject({ state: 'aborted' })
    expect(run).toHaveBeenCalledTimes(1)
    await other.close()
  })
})

test('a job outlives any number of deployments, also while it waits or says checkpoints only', async () => {
  const seen: unknown[] = []
  const { clock, open, registry } = setUp(
    (context) => {
      seen.push(context.checkpoint)
      context.progress({ checkpoint: seen.length })
      return endless(context)
    },
    { resume: 'auto' },
  )
  await registry.start('test', 'a')
  let current = registry
  for (let deployment = 0; deployment < 8; deployment++) {
    await clock.advance(1000)
    const next = open({})
    await clock.advance(1)
    await current.close()
    await clock.advance(1)
    current = next
  }
  await clock.advance(1000)
  expect(seen).toEqual([undefined, 1, 2, 3, 4, 5, 6, 7, 8])
})

test('the status of an execution is its last one after the end, and nothing is told after it', async () => {
  const { clock, registry } = setUp(({ progress }) => {
    progress({ count: 3 })
    setTimeout(() => progress({ count: 9 }))
  })
  const events = recordEvents(registry)
  const execution = await registry.start('test', 'a')
  const final = await execution.finished
  await clock.advance(1000)
  expect(execution.status).toEqual(final)
  expect(events.events.at(-1)).toMatchObject({ name: 'successful', status: { count: 3 } })
})

test('an end whose answer was lost is told as it was, though the job has been started anew', async () => {
  const { clock, memory, storage, registry } = setUp(() => {})
  const { finish } = storage
  storage.finish = async (...args) => {
    storage.finish = finish
    await finish(...args)
    await memory.begin({ type: 'test', id: 'a', state: 'running', node: 'other', lease: 60_000 })
    return away()
  }
  const { finished } = await registry.start('test', 'a')
  await clock.advance(1000)
  expect(await finished).toMatchObject({ state: 'successful' })
})

test('a logger that throws hurts no job', async () => {
  const fail = () => {
    throw new Error('no space for logs')
  }
  const run = vi.fn()
  const { registry } = setUp(run, {}, { logger: { debug: fail, info: fail, warn: fail, error: fail } })
  expect(await (await registry.start('test', 'a')).finished).toMatchObject({ state: 'successful' })
  expect(run).toHaveBeenCalledTimes(1)
})

test('a registry that was closed looks for nothing more', async () => {
  const { clock, storage, registry } = setUp(() => {})
  await registry.close()
  const orphans = vi.spyOn(storage, 'orphans')
  const live = vi.spyOn(storage, 'live')
  registry.define({ type: 'test', id: 'late', run: () => {}, resume: 'auto' })
  registry.on('status', () => {}, { scope: 'cluster' })
  await clock.advance(60_000)
  expect([orphans.mock.calls.length, live.mock.calls.length, clock.pending]).toEqual([0, 0, 0])
})

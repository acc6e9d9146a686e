import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { fakeClock, heldJob } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

/** A registry with one job that runs until it is ended, over a storage that can be away. */
async function start(how: 'fails' | 'hangs') {
  const clock = fakeClock()
  const memory = memoryStorage({ clock })
  let isAway = false
  const calls: { name: string; time: number }[] = []
  const storage = new Proxy(memory, {
    get(target, name: keyof JobStorage) {
      const method = target[name] as (...args: unknown[]) => unknown
      if (name === 'watch' || name === 'close') return method?.bind(target)
      if (typeof method !== 'function') return method
      return (...args: unknown[]) => {
        calls.push({ name, time: clock.now() })
        if (!isAway) return method.apply(target, args)
        return how === 'fails' ? Promise.reject(new Error('away')) : new Promise(() => {})
      }
    },
  })
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const open = (node: string) => {
    const registry = new JobRegistry({ storage, clock, logger, node })
    onTestFinished(async () => {
      const closed = registry.close({ timeout: 0 })
      await clock.advance(5000)
      await closed
    })
    return registry
  }
  const registry = open('node-1')
  const held = heldJob({ type: 'test', id: 'a' })
  registry.define(held.job)
  const execution = await registry.start('test', 'a')
  const context = await held.running
  const leave = () => {
    isAway = true
    calls.length = 0
  }
  const comeBack = () => {
    isAway = false
  }
  return { clock, memory, open, registry, execution, context, calls, leave, comeBack, finish: () => held.finish() }
}

describe('while storage is away', () => {
  test.each(['fails', 'hangs'] as const)(
    'and %s, a job goes on until its lease could be lost, and then stops',
    async (how) => {
      const { clock, context, leave, execution, comeBack } = await start(how)
      await clock.advance(5000)
      leave()
      await clock.advance(24_000)
      expect(context.signal.aborted).toBe(false)
      await clock.advance(6001)
      expect(context.signal.reason).toMatchObject({ code: 'lease_lost' })
      if (how === 'hangs') return
      comeBack()
      await clock.advance(5000)
      expect(await execution.finished).toMatchObject({
        state: 'error',
        error: ['The node that ran the job stopped answering.', expect.stringContaining('[node-1]')],
      })
    },
  )

  test('saves are tried again, less and less often', async () => {
    const { clock, calls, context, leave } = await start('fails')
    leave()
    context.progress({ count: 1 })
    await clock.advance(20_000)
    const times = calls.filter(({ name }) => name === 'renew').map(({ time }) => time)
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
    expect(times.length).toBeGreaterThan(4)
    expect(times.length).toBeLessThan(12)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5250)
    expect(gaps.at(-1)).toBeGreaterThan(gaps[0] ?? 0)
  })

  test('what was said is saved soon after it is back', async () => {
    const { clock, memory, context, leave, comeBack } = await start('fails')
    leave()
    context.progress({ count: 1, checkpoint: { at: 1 } })
    await clock.advance(2000)
    comeBack()
    await clock.advance(2500)
    expect(await memory.find('test', 'a')).toMatchObject({ state: 'running', count: 1, checkpoint: { at: 1 } })
    expect(context.signal.aborted).toBe(false)
  })

  test('a job that ends is told as it ended, also after its lease', async () => {
    const { clock, context, execution, leave, comeBack, finish } = await start('fails')
    leave()
    context.progress({ count: 9 })
    await clock.advance(20_000)
    finish()
    await clock.advance(40_000)
    comeBack()
    await clock.advance(5001)
    expect(await execution.finished).toMatchObject({ state: 'successful', count: 9 })
  })

  test('another process that resumes no job leaves it the time to tell how its job ended', async () => {
    const { clock, open, context, execution, leave, comeBack, finish } = await start('fails')
    open('node-2').define(heldJob({ type: 'test', id: 'other' }).job)
    await clock.advance(5000)
    leave()
    context.progress({ count: 9 })
    finish()
    // The other process asks once per lease: just after storage is back, and before the end is stored.
    await clock.advance(54_999)
    comeBack()
    await clock.advance(5251)
    expect(await execution.finished).toMatchObject({ state: 'successful', count: 9 })
  })

  test('a job that goes on by itself is gone on with when it is back', async () => {
    const { clock, memory, registry, leave, comeBack } = await start('fails')
    const { job, contexts } = heldJob({ type: 'test', id: 'auto', resume: 'auto' })
    registry.define(job)
    const { executionId } = await registry.start('test', 'auto')
    contexts[0]?.progress({ checkpoint: { at: 3 } })
    await clock.advance(1000)
    leave()
    await clock.advance(35_000)
    comeBack()
    await clock.advance(20_000)
    expect(contexts[1]).toMatchObject({ checkpoint: { at: 3 } })
    expect(await memory.find('test', 'auto')).toMatchObject({ state: 'running', resumedFrom: executionId })
  })
})

test.each([
  ['SQLite', Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })],
  ['node:sqlite', Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 })],
  ['Postgres', Object.assign(new Error('could not extend file'), { code: '53100' })],
  ['a storage that refuses the data', Object.assign(new Error('invalid byte sequence'), { code: '22021' })],
])('a job whose end %s does not keep has failed after its lease, and makes room for others', async (_, refusal) => {
  const clock = fakeClock()
  const memory = memoryStorage({ clock })
  const storage: JobStorage = Object.assign(memory, { finish: vi.fn(memory.finish.bind(memory)) })
  const registry = new JobRegistry({ storage, clock, concurrency: 1 })
  onTestFinished(() => registry.close())
  registry.define({ type: 'test', id: 'a', run: () => {} })
  registry.define({ type: 'test', id: 'b', run: () => {} })
  vi.mocked(storage.finish).mockRejectedValue(refusal)
  const { finished } = await registry.start('test', 'a')
  const next = await registry.start('test', 'b')
  await clock.advance(29_000)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'running' })
  await clock.advance(10_000)
  expect(await finished).toMatchObject({
    state: 'error',
    error: ['The storage rejected the end of the job.', 'The storage could not answer.', refusal.message],
  })
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'error' })
  vi.mocked(storage.finish).mockRestore()
  await clock.advance(10_000)
  expect(await next.finished).toMatchObject({ state: 'successful' })
})

/** A registry with one slot and two jobs, over a storage of which some methods can be replaced. */
function withOneSlot() {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const registry = new JobRegistry({ storage: plain(storage), clock, concurrency: 1, logger })
  onTestFinished(async () => {
    const closed = registry.close({ timeout: 0 })
    await clock.advance(5000)
    await closed
  })
  for (const id of ['a', 'b']) registry.define({ type: 'test', id, run: () => {} })
  return { clock, storage, logger, registry }
}

/** The registry copies the methods of its storage, so that a later replacement needs an indirection. */
function plain(storage: JobStorage): JobStorage {
  return new Proxy(storage, {
    get(target, name: keyof JobStorage) {
      if (name === 'watch' || name === 'close' || name === 'isWritable') return target[name]?.bind(target)
      if (typeof target[name] !== 'function') return target[name]
      return (...args: unknown[]) => (target[name] as (...args: unknown[]) => unknown)(...args)
    },
  })
}

test.each([
  ['without a code', new Error('broken')],
  ['of its code', new TypeError('x is not a function')],
  ['of the server', Object.assign(new Error('internal error'), { code: 'XX000' })],
  ['of a database that is gone', Object.assign(new Error('database does not exist'), { code: '3D000' })],
])(
  'an error %s that every end meets fails the job in the end, is logged, and makes room for others',
  async (_, lasting) => {
    const { clock, storage, logger, registry } = withOneSlot()
    const finish = storage.finish.bind(storage)
    storage.finish = async () => {
      throw lasting
    }
    const { finished } = await registry.start('test', 'a')
    const next = await registry.start('test', 'b')
    let isOver = false
    void finished.then(() => {
      isOver = true
    })
    await clock.advance(60_000)
    expect(isOver).toBe(false)
    await clock.advance(60_000)
    expect(await finished).toMatchObject({
      state: 'error',
      error: ['The storage rejected the end of the job.', 'The storage could not answer.', lasting.message],
    })
    const details = expect.objectContaining({ type: 'test', id: 'a', error: expect.arrayContaining([lasting.message]) })
    expect(logger.error).toHaveBeenCalledWith(details, 'Job [test/a] could not store how the job ended.')
    storage.finish = finish
    await clock.advance(10_000)
    expect(await next.finished).toMatchObject({ state: 'successful' })
  },
)

test.each([
  ['is refused', async () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))],
  ['gives no answer', () => new Promise<never>(() => {})],
])('a connection that %s for ten minutes loses no end', async (_, finish) => {
  const { clock, storage, registry } = withOneSlot()
  const original = storage.finish.bind(storage)
  storage.finish = finish
  const { finished } = await registry.start('test', 'a')
  await clock.advance(600_000)
  storage.finish = original
  await clock.advance(20_000)
  expect(await finished).toMatchObject({ state: 'successful' })
})

test('a storage that neither ends a job nor finds it again fails the job in the end', async () => {
  const { clock, storage, registry } = withOneSlot()
  storage.finish = async () => undefined
  storage.find = async () => {
    throw new Error('broken')
  }
  const { finished } = await registry.start('test', 'a')
  await clock.advance(120_000)
  expect(await finished).toMatchObject({ state: 'error', error: expect.arrayContaining(['broken']) })
})

describe('a queued job that storage never lets run', () => {
  async function start(error: Error) {
    const { clock, storage, registry } = withOneSlot()
    const held = heldJob({ type: 'test', id: 'held' })
    registry.define(held.job)
    storage.run = async () => {
      throw error
    }
    await registry.start('test', 'held')
    await held.running
    const { finished } = await registry.start('test', 'a')
    const next = await registry.start('test', 'b')
    held.finish()
    await clock.advance(10_000)
    return { clock, registry, finished, next }
  }

  test('fails after a lease, although its lease is renewed, and makes room for others', async () => {
    const { clock, finished, next } = await start(new Error('broken'))
    await clock.advance(30_000)
    expect(await finished).toMatchObject({ state: 'error', error: ['The storage could not answer.', 'broken'] })
    await clock.advance(60_000)
    expect(await next.finished).toMatchObject({ state: 'error' })
  })

  test('can be aborted', async () => {
    const { clock, registry, finished } = await start(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }))
    const aborted = registry.abort('test', 'a')
    await clock.advance(10_000)
    await aborted
    expect(await finished).toMatchObject({ state: 'aborted' })
  })
})

test('a question to a storage that hangs fails in time; one that is answered out of memory takes no timer', async () => {
  const { clock, registry, leave } = await start('hangs')
  const setTimer = vi.spyOn(clock, 'setTimer')
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'running' })
  expect(setTimer).not.toHaveBeenCalled()
  leave()
  const status = expect(registry.status('test', 'a')).rejects.toMatchObject({
    code: 'storage',
    message: 'The storage gave no answer within 10000 ms.',
  })
  await clock.advance(10_000)
  await status
})

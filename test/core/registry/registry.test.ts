import {
  JobError,
  JobRegistry,
  type JobRegistryOptions,
  type JobStatus,
  type JobStorage,
  memoryStorage,
} from 'headgate'
import { type EventRecorder, fakeClock, type HeldJob, heldJob, recordEvents } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { plainStorage } from '../../support/plain-storage.js'

const turn = () => new Promise(setImmediate)

/** A JSON value of so many levels. */
function nested(levels: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = [value]
  return value
}

describe('JobRegistry', () => {
  let clock: ReturnType<typeof fakeClock>
  let storage: JobStorage
  let registry: JobRegistry
  let events: EventRecorder
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }

  const open = (options: Partial<JobRegistryOptions> = {}) => {
    registry = new JobRegistry({ storage, clock, logger, ...options })
    events = recordEvents(registry)
    return registry
  }
  const hold = (id: string, options = {}) => {
    const held = heldJob({ type: 'test', id }, options)
    registry.define(held.job)
    return held
  }

  beforeEach(() => {
    clock = fakeClock()
    storage = memoryStorage({ clock })
    vi.clearAllMocks()
    open()
  })
  afterEach(() => registry.close())

  describe('start', () => {
    it('runs the job and tells how it ended', async () => {
      const held = hold('a')
      const execution = await registry.start('test', 'a')
      expect(execution.status).toMatchObject({ state: 'running', count: 0, startTime: clock.now() })
      held.context.progress({ count: 3, lastId: 7n })
      await clock.advance(250)
      held.finish()
      const status = await execution.finished
      expect(status).toEqual({
        state: 'successful',
        type: 'test',
        id: 'a',
        executionId: execution.executionId,
        startTime: clock.now() - 250,
        endTime: clock.now(),
        infos: 'The job is done.',
        count: 3,
        lastId: '7',
        node: expect.stringContaining('headgate-'),
      })
      expect(await registry.status('test', 'a')).toEqual(status)
      expect(events.states('test', 'a')).toEqual(['running', 'successful'])
    })

    it('refuses what is not defined, and what is running', async () => {
      await expect(registry.start('test', 'nobody')).rejects.toMatchObject({ code: 'not_defined' })
      hold('a')
      const [first, second] = await Promise.allSettled([registry.start('test', 'a'), registry.start('test', 'a')])
      expect(first.status).toBe('fulfilled')
      expect(second).toMatchObject({ status: 'rejected', reason: { code: 'already_running' } })
      await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'already_running' })
    })

    it('refuses what another registry of the same storage runs', async () => {
      hold('a')
      await registry.start('test', 'a')
      await using other = new JobRegistry({ storage, clock })
      other.define(heldJob({ type: 'test', id: 'a' }).job)
      await expect(other.start('test', 'a')).rejects.toMatchObject({ code: 'already_running' })
    })

    it('can be called from the listener that hears of the end', async () => {
      const held = hold('a')
      const execution = await registry.start('test', 'a')
      const restarted = new Promise((resolve) =>
        registry.once('successful', () => resolve(registry.start('test', 'a'))),
      )
      held.finish()
      await execution.finished
      expect(await restarted).toMatchObject({ type: 'test', id: 'a' })
    })

    it('tells of a failure with the messages of its causes, and of the error itself', async () => {
      const held = hold('a')
      const execution = await registry.start('test', 'a')
      const error = new Error('outer', { cause: new Error('inner with postgres://u:secret@h/d') })
      held.fail(error)
      expect(await execution.finished).toMatchObject({
        state: 'error',
        infos: 'The job has failed.',
        error: ['outer', 'inner with postgres://u:***@h/d'],
      })
      expect(events.events.at(-1)).toMatchObject({ name: 'error', cause: error })
    })

    it('survives a job that throws before it returns a promise', async () => {
      registry.define({
        type: 'test',
        id: 'a',
        run: () => {
          throw 'just text'
        },
      })
      const { finished } = await registry.start('test', 'a')
      expect(await finished).toMatchObject({ state: 'error', error: ['just text'] })
    })
  })

  describe('concurrency', () => {
    beforeEach(async () => {
      await registry.close()
      open({ concurrency: 1 })
    })

    it('lets jobs wait in line, in the order in which they were started', async () => {
      const [a, b, c] = [hold('a'), hold('b'), hold('c')]
      await registry.start('test', 'a')
      const waiting = await registry.start('test', 'b')
      await registry.start('test', 'c')
      expect(waiting.status).toMatchObject({ state: 'queued', infos: 'The job is waiting for a free slot.' })
      expect((await registry.running('test')).map(({ id, state }) => [id, state])).toEqual([
        ['a', 'running'],
        ['b', 'queued'],
        ['c', 'queued'],
      ])
      await clock.advance(1000)
      a.finish()
      await events.waitFor('running', ({ id }) => id === 'b')
      expect(waiting.status).toMatchObject({ state: 'running', startTime: clock.now() })
      await turn()
      expect([b.contexts.length > 0, c.contexts.length > 0]).toEqual([true, false])
      b.finish()
      await events.waitFor('running', ({ id }) => id === 'c')
    })

    it('takes an aborted job out of the line', async () => {
      const [, b] = [hold('a'), hold('b'), hold('c')]
      await registry.start('test', 'a')
      const { finished } = await registry.start('test', 'b')
      await registry.start('test', 'c')
      expect(await registry.abort('test', 'b')).toMatchObject({ state: 'aborted' })
      expect(await finished).toMatchObject({ state: 'aborted' })
      await registry.abort('test', 'a')
      await events.waitFor('running', ({ id }) => id === 'c')
      expect(b.contexts.length > 0).toBe(false)
      expect(events.states('test', 'b')).toEqual(['queued', 'aborting', 'aborted'])
    })

    it('refuses a second start of a job that waits', async () => {
      hold('a')
      hold('b')
      await registry.start('test', 'a')
      await registry.start('test', 'b')
      await expect(registry.start('test', 'b')).rejects.toMatchObject({ code: 'already_running' })
    })

    it('does not watch the storage when its dispatcher refuses the limits', () => {
      const watch = vi.spyOn(storage, 'watch')
      const make = () => new JobRegistry({ storage, concurrency: { cluster: 1 } })
      expect(make).toThrow('`concurrency.cluster`')
      expect(watch).not.toHaveBeenCalled()
    })

    it('keeps the lease of a job that waits', async () => {
      hold('a')
      hold('b')
      await registry.start('test', 'a')
      await registry.start('test', 'b')
      await clock.advance(300_000)
      expect((await registry.running('test')).map(({ state }) => state)).toEqual(['running', 'queued'])
    })
  })

  describe('abort', () => {
    it('stops a job and waits until it has', async () => {
      hold('a')
      const execution = await registry.start('test', 'a')
      const status = await registry.abort('test', 'a')
      expect(status).toMatchObject({ state: 'aborted', infos: 'The job has been aborted.' })
      expect(await execution.finished).toEqual(status)
      expect(events.states('test', 'a')).toEqual(['running', 'aborting', 'aborted'])
    })

    it('gives the signal a reason that programs can tell', async () => {
      const held = hold('a')
      await registry.start('test', 'a')
      await registry.abort('test', 'a')
      expect(held.context.signal.reason).toMatchObject({ code: 'aborted' })
    })

    it.each([
      ['returns', 'aborted', ({ finish }: HeldJob) => finish()],
      [
        'says that all was done',
        'successful',
        ({ finish, context }: HeldJob) => {
          context.complete()
          finish()
        },
      ],
      ['throws an AbortError', 'aborted', ({ fail }: HeldJob) => fail(AbortSignal.abort().reason)],
      [
        'throws what the reason caused',
        'aborted',
        ({ fail, context }: HeldJob) => fail(new Error('fetch failed', { cause: context.signal.reason })),
      ],
      ['throws something else', 'error', ({ fail }: HeldJob) => fail(new Error('could not stop'))],
    ])('of a job that then %s ends in %s', async (_, state, end) => {
      const held = hold('a', { ignoresSignal: true })
      await registry.start('test', 'a')
      const aborted = registry.abort('test', 'a')
      await turn()
      end(held)
      expect(await aborted).toMatchObject({ state })
    })

    it('of a job that ignores its signal shows it as aborting, until it ends', async () => {
      const held = hold('a', { ignoresSignal: true })
      const { finished } = await registry.start('test', 'a')
      const aborted = registry.abort('test', 'a', { timeout: 5000 })
      await clock.advance(5000)
      expect(await aborted).toMatchObject({ state: 'aborting', infos: 'The job is being aborted.' })
      await clock.advance(600_000)
      expect(await registry.status('test', 'a')).toMatchObject({ state: 'aborting' })
      held.finish()
      expect(await finished).toMatchObject({ state: 'aborted' })
    })

    it('does nothing to a job that has ended or never ran', async () => {
      expect(await registry.abort('test', 'nobody')).toBeUndefined()
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      held.finish()
      expect(await registry.abort('test', 'a')).toEqual(await finished)
    })

    it('reaches a job that another registry runs', async () => {
      hold('a')
      const { finished } = await registry.start('test', 'a')
      await using other = new JobRegistry({ storage, clock })
      const aborted = other.abort('test', 'a')
      await clock.advance(200)
      expect(await aborted).toMatchObject({ state: 'aborted' })
      expect(await finished).toMatchObject({ state: 'aborted' })
    })

    it('reaches a job of another registry by the heartbeat where storage tells nobody', async () => {
      const { watch: _, ...methods } = plainStorage(memoryStorage({ clock }))
      storage = methods
      open()
      hold('a')
      await registry.start('test', 'a')
      await using other = new JobRegistry({ storage, clock })
      const aborted = other.abort('test', 'a')
      await clock.advance(11_000)
      expect(await aborted).toMatchObject({ state: 'aborted' })
    })

    it('catches a job that is only being started', async () => {
      hold('a')
      const [execution, status] = await Promise.all([registry.start('test', 'a'), registry.abort('test', 'a')])
      expect(status).toMatchObject({ state: 'aborted' })
      expect(await execution.finished).toMatchObject({ state: 'aborted' })
    })
  })

  describe('progress', () => {
    it('is saved every progressInterval at most, and announced when it is', async () => {
      const held = hold('a')
      await registry.start('test', 'a')
      const save = vi.spyOn(storage, 'renew')
      for (let step = 1; step <= 1000; step++) {
        held.context.progress({ count: step })
        await clock.advance(1)
      }
      expect(save.mock.calls.length).toBeGreaterThanOrEqual(3)
      expect(save.mock.calls.length).toBeLessThanOrEqual(4)
      const progress = events.events.filter(({ name }) => name === 'progress')
      expect(progress.length).toBe(save.mock.calls.length)
    })

    it('keeps what was said before where nothing new is given', async () => {
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      held.context.progress({ count: 5, lastId: 'x', checkpoint: { at: 5 } })
      held.context.progress({ count: undefined, lastId: undefined, checkpoint: undefined } as never)
      held.finish()
      expect(await finished).toMatchObject({ count: 5, lastId: 'x' })
      expect(await storage.find('test', 'a')).toMatchObject({ checkpoint: { at: 5 } })
    })

    it('has a detail, which is announced when it changes, and is of this execution only', async () => {
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      const detail = { written: 1, of: [2] }
      held.context.progress({ count: 1, detail })
      detail.of.push(3)
      await clock.advance(250)
      expect(await registry.status('test', 'a')).toMatchObject({ count: 1, detail: { written: 1, of: [2] } })
      held.context.progress({ detail: { written: 1, of: [2] } })
      await clock.advance(250)
      held.context.progress({ detail: { failed: 1 } })
      await clock.advance(250)
      const progress = events.events.filter(({ name }) => name === 'progress')
      expect(progress.map(({ status }) => 'detail' in status && status.detail)).toEqual([
        { written: 1, of: [2] },
        { failed: 1 },
      ])
      held.finish()
      expect(await finished).toMatchObject({ count: 1, detail: { failed: 1 } })
      const again = hold('b')
      expect('detail' in (await registry.start('test', 'b')).status).toBe(false)
      expect('detail' in again.context.status).toBe(false)
    })

    it('is never saved sooner than progressInterval after the last time', async () => {
      const held = hold('a')
      await registry.start('test', 'a')
      const savedAt: number[] = []
      const { renew } = plainStorage(storage)
      storage.renew = (...args) => {
        savedAt.push(clock.now())
        return renew(...args)
      }
      for (const step of [495, 4, 1, 245, 5, 250]) {
        await clock.advance(step)
        held.context.progress({ count: clock.now() })
      }
      const gaps = savedAt.slice(1).map((time, index) => time - (savedAt[index] ?? 0))
      expect(gaps.length).toBeGreaterThan(0)
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(250)
    })

    it('is saved before an end is announced', async () => {
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      held.context.progress({ count: 5, lastId: 'x', checkpoint: { at: 5 } })
      held.fail(new Error('boom'))
      expect(await finished).toMatchObject({ count: 5, lastId: 'x' })
      expect(await storage.find('test', 'a')).toMatchObject({ checkpoint: { at: 5 } })
    })

    it('hands its checkpoint to the next execution', async () => {
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      expect(held.context.checkpoint).toBeUndefined()
      held.context.progress({ checkpoint: { at: 5 } })
      held.finish()
      await finished
      await registry.start('test', 'a')
      expect(held.context.checkpoint).toEqual({ at: 5 })
    })

    it.each([
      [{ count: -1 }, 'Expected `count` to be a whole number from 0 up, got `-1` (number)'],
      [{ count: 1.5 }, 'Expected `count`'],
      [{ lastId: {} }, 'Expected `lastId` to be a string, a number or a bigint'],
      [{ checkpoint: { at: 5n } }, 'Expected `checkpoint.at` to be a value that JSON keeps, got `5` (bigint)'],
      [{ checkpoint: () => 1 }, 'Expected `checkpoint` to be a value that JSON keeps, got a function'],
      [
        { checkpoint: new Map() },
        'Expected `checkpoint` to be a value that JSON keeps, got an object of the class Map',
      ],
      [
        { checkpoint: { seen: [1, { ids: new Set() }] } },
        'Expected `checkpoint.seen[1].ids` to be a value that JSON keeps',
      ],
      [{ checkpoint: [undefined] }, 'Expected `checkpoint[0]` to be a value that JSON keeps, got nothing'],
      [
        { detail: { since: new Date(0) } },
        'Expected `detail.since` to be a value that JSON keeps, got an object of the class Date',
      ],
      [{ detail: { rate: Number.NaN } }, 'Expected `detail.rate` to be a value that JSON keeps, got `NaN` (number)'],
      [{ detail: { by: { toJSON: () => 1 } } }, 'Expected `detail.by` to be a value that JSON keeps'],
      [
        { detail: [1] },
        'Expected `detail` to be a JSON object of up to 1000000 characters and 100 levels, got an array',
      ],
      [{ detail: { at: 5n } }, 'Expected `detail.at` to be a value that JSON keeps'],
      [{ detail: { at: nested(100) } }, 'Expected `detail` to be a JSON object'],
      [{ checkpoint: nested(101) }, 'Expected `checkpoint` to be a JSON value'],
      [{ checkpoint: 'x'.repeat(1_000_000) }, 'Expected `checkpoint` to be a JSON value'],
      [{ detail: null }, 'Expected `detail` to be a JSON object of up to 1000000 characters and 100 levels, got null'],
      [{ total: 1 }, 'got `total` (string)'],
      [null, 'Expected `progress` to be an object, got null'],
    ])('refuses %o', async (update, message) => {
      const held = hold('a')
      await registry.start('test', 'a')
      expect(() => held.context.progress(update as never)).toThrow(message)
    })
  })

  it('keeps what JSON keeps, and leaves out what is undefined', async () => {
    class Page {
      readonly at = 5
    }
    const held = hold('a')
    const { finished } = await registry.start('test', 'a')
    held.context.progress({ checkpoint: [new Page(), Object.create(null), null], detail: { a: undefined, b: 'x' } })
    held.finish()
    expect(await finished).toHaveProperty('detail', { b: 'x' })
    expect(await storage.find('test', 'a')).toMatchObject({ checkpoint: [{ at: 5 }, {}, null] })
  })

  it('refuses a checkpoint that is nested too deep to be walked through', async () => {
    const held = hold('a')
    await registry.start('test', 'a')
    expect(() => held.context.progress({ checkpoint: nested(100_000) })).toThrow('Expected `checkpoint` to be')
  })

  describe('listeners', () => {
    it('hear every change, and every state by its name', async () => {
      const heard: [string, JobStatus['state'], number][] = []
      registry.on('status', ({ id, status }) => {
        heard.push([id, status.state, status.count])
      })
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      held.context.progress({ count: 2 })
      await clock.advance(250)
      held.finish()
      await finished
      expect(heard).toEqual([
        ['a', 'running', 0],
        ['a', 'running', 2],
        ['a', 'successful', 2],
      ])
      expect(events.events.map(({ name }) => name).filter((name) => name !== 'status')).toEqual([
        'running',
        'progress',
        'successful',
      ])
    })

    it('that throw or reject hurt nobody, and are logged', async () => {
      const heard = vi.fn()
      registry.on('status', () => {
        throw new Error('listener')
      })
      registry.on('status', async () => {
        throw new Error('async listener')
      })
      registry.on('status', heard)
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      held.finish()
      expect(await finished).toMatchObject({ state: 'successful' })
      await turn()
      expect(heard).toHaveBeenCalledTimes(2)
      expect(logger.error).toHaveBeenCalledTimes(4)
    })

    it('can be taken off, also while they are told', async () => {
      const heard: string[] = []
      const stop = registry.on('running', () => {
        heard.push('on')
        stop()
      })
      registry.once('running', () => {
        heard.push('once')
      })
      const off = () => {
        heard.push('off')
      }
      registry.on('running', off)
      registry.off('running', off)
      const held = hold('a')
      for (let round = 0; round < 2; round++) {
        const { finished } = await registry.start('test', 'a')
        held.finish()
        await finished
      }
      expect(heard).toEqual(['on', 'once'])
    })

    it('cannot change what others hear', async () => {
      hold('a')
      registry.on('running', ({ status }) => {
        ;(status as { count: number }).count = 99
      })
      const { status } = await registry.start('test', 'a')
      expect(status.count).toBe(0)
    })

    it('to an unknown event are refused', () => {
      expect(() => registry.on('finished' as 'status', () => {})).toThrow(
        'Expected `event` to be one of status, queued',
      )
      expect(() => registry.on('status', undefined as never)).toThrow(
        'Expected `listener` to be a function, got nothing',
      )
    })
  })

  describe('leases', () => {
    it('are renewed while a job runs, however long it is silent', async () => {
      hold('a')
      await registry.start('test', 'a')
      await clock.advance(3_600_000)
      expect(await registry.status('test', 'a')).toMatchObject({ state: 'running' })
    })

    it('that were lost stop the job, which writes nothing more', async () => {
      const held = hold('a', { ignoresSignal: true })
      const { finished, executionId } = await registry.start('test', 'a')
      const { renew } = plainStorage(storage)
      storage.renew = () => Promise.reject(new Error('unreachable'))
      await clock.advance(31_000)
      expect(await storage.find('test', 'a')).toMatchObject({ state: 'error' })
      storage.renew = renew
      held.context.progress({ count: 99 })
      await clock.advance(10_000)
      expect(held.context.signal.reason).toMatchObject({ code: 'lease_lost' })
      held.finish()
      expect(await finished).toMatchObject({
        state: 'error',
        executionId,
        count: 0,
        error: ['The node that ran the job stopped answering.', expect.stringContaining('headgate-')],
      })
      expect(await registry.status('test', 'a')).toEqual(await finished)
    })
  })

  describe('a storage that fails for a while', () => {
    it('fails no job that was done', async () => {
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      const finish = vi.spyOn(storage, 'finish')
      for (let failure = 0; failure < 5; failure++) finish.mockRejectedValueOnce(new Error('away'))
      held.context.progress({ count: 7 })
      held.finish()
      await clock.advance(5000)
      expect(await finished).toMatchObject({ state: 'successful', count: 7 })
      expect(logger.warn).toHaveBeenCalledTimes(5)
    })

    it('loses no progress', async () => {
      const held = hold('a')
      await registry.start('test', 'a')
      vi.spyOn(storage, 'renew').mockRejectedValueOnce(new Error('away'))
      held.context.progress({ count: 7 })
      await clock.advance(250)
      held.context.progress({ lastId: 'x' })
      await clock.advance(250)
      expect(await registry.status('test', 'a')).toMatchObject({ count: 7, lastId: 'x' })
    })

    it('takes the end for told when only its answer was lost', async () => {
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      const { finish } = plainStorage(storage)
      vi.spyOn(storage, 'finish').mockImplementationOnce(async (...args) => {
        await finish(...args)
        throw new Error('the answer was lost')
      })
      held.finish()
      await clock.advance(1000)
      expect(await finished).toMatchObject({ state: 'successful' })
    })

    it('makes a start fail, and the next one work', async () => {
      hold('a')
      vi.spyOn(storage, 'begin').mockRejectedValueOnce(new Error('away'))
      await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'storage', cause: { message: 'away' } })
      expect(await registry.start('test', 'a')).toMatchObject({ id: 'a' })
    })
  })

  describe('close', () => {
    it('aborts what runs and what waits, and refuses to start', async () => {
      await registry.close()
      open({ concurrency: 1 })
      hold('a')
      hold('b')
      const started = [await registry.start('test', 'a'), await registry.start('test', 'b')]
      await registry.close()
      expect(await Promise.all(started.map(({ finished }) => finished))).toMatchObject([
        { state: 'aborted' },
        { state: 'aborted' },
      ])
      await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'closed' })
      await registry.close()
    })

    it('lets jobs end with `drain`, for as long as it says', async () => {
      const [a, b] = [hold('a'), hold('b')]
      const started = [await registry.start('test', 'a'), await registry.start('test', 'b')]
      const closed = registry.close({ drain: 1000 })
      await clock.advance(500)
      a.finish()
      await clock.advance(500)
      await closed
      expect(await Promise.all(started.map(({ finished }) => finished))).toMatchObject([
        { state: 'successful' },
        { state: 'aborted' },
      ])
      expect(b.context.signal.aborted).toBe(true)
    })

    it('leaves a job behind that does not stop', async () => {
      hold('a', { ignoresSignal: true })
      await registry.start('test', 'a')
      const closed = registry.close({ timeout: 1000 })
      await clock.advance(1000)
      await closed
      expect(await storage.find('test', 'a')).toMatchObject({ state: 'aborting' })
    })

    it('stops its jobs though storage is away, and gives up settling them', async () => {
      const held = hold('a')
      const { finished } = await registry.start('test', 'a')
      storage.requestAbort = storage.finish = storage.renew = () => Promise.reject(new Error('away'))
      const closed = registry.close({ timeout: 1000 })
      await clock.advance(1000)
      await closed
      expect(held.context.signal.aborted).toBe(true)
      expect(await finished).toMatchObject({ state: 'aborted' })
    })

    it('closes the storage and the datasources', async () => {
      const close = vi.fn()
      const datasource = { kind: 'test', async *read() {}, close }
      await using owner = new JobRegistry({ storage: { ...plainStorage(storage), close }, datasources: { datasource } })
      await owner.close()
      expect(close).toHaveBeenCalledTimes(2)
    })

    it('works with a start under way', async () => {
      hold('a')
      const starting = registry.start('test', 'a')
      await registry.close()
      expect(await (await starting).finished).toMatchObject({ state: 'aborted' })
    })
  })

  describe('search', () => {
    it.each([
      [{ state: 'done' }, 'Expected `state` to be one of `queued`, `running`'],
      [{ size: 1001 }, 'Expected `size` to be a whole number from 0 to 1000, got `1001` (number)'],
      [{ from: -1 }, 'Expected `from`'],
      [{ id: '' }, 'Expected `id` to be a string that is not empty, got `` (string)'],
      [{ searchAfter: 'x' }, 'Expected `searchAfter` to be the id of an execution of the log'],
      [{ sort: 'x' }, 'got `sort` (string)'],
    ])('refuses %o', async (filter, message) => {
      await expect(registry.search(filter as never)).rejects.toThrow(message)
    })
  })

  it.each([
    [undefined, 'Expected `storage`'],
    [{}, 'Expected `storage` to be an object with the methods `begin`'],
    [{ storage: {} }, 'Expected `storage`'],
    [{ concurrency: 0 }, 'Expected `concurrency` to be a whole number from 1 up, got `0` (number)'],
    [{ concurrency: 'x' }, 'got `x` (string)'],
    [{ datasources: { pg: {} } }, 'Expected `datasources.pg` to be an object with the method `read`'],
    [{ logger: console.log }, 'Expected `logger` to be an object with the methods'],
    [{ colour: 'red' }, 'got `colour` (string)'],
  ])('refuses the options %o', (options, message) => {
    const given =
      options && Object.keys(options).length > 0 && !('storage' in options) ? { storage, ...options } : options
    expect(() => new JobRegistry(given as never)).toThrow(message)
    expect(() => new JobRegistry(given as never)).toThrow(JobError)
  })

  it('takes console for a logger', () => {
    expect(() => new JobRegistry({ storage, logger: console })).not.toThrow()
  })
})

import { type Dispatcher, JobRegistry, type Logger, localDispatcher, memoryStorage } from 'headgate'
import type { DispatchWorker } from 'headgate/adapter'
import { type FakeClock, fakeClock, heldJob } from 'headgate/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { describedHandler } from '../../http/described-handler.js'

const methods = ['work', 'add', 'remove', 'move', 'waiting', 'tryAcquire'] as const
const never = () => new Promise<never>(() => {})

interface World {
  readonly registry: JobRegistry
  readonly clock: FakeClock
  readonly log: string[]
}

/** A registry over a dispatcher of which some methods answer as they should not. A shared queue acquires no slots. */
function open(over: object, { isShared = false } = {}): World {
  const clock = fakeClock()
  const log: string[] = []
  const write = (details: { error?: string[] }, message: string) =>
    void log.push([message, ...(details.error ?? [])].join(' '))
  const logger: Logger = { debug: () => {}, info: () => {}, warn: write, error: write }
  const local = localDispatcher()
  const own = Object.fromEntries(methods.map((name) => [name, local[name]?.bind(local as never)]))
  const dispatcher = { isShared, ...own, ...over } as unknown as Dispatcher
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, logger, dispatcher })
  onTestFinished(async () => {
    const closed = registry.close()
    await clock.advance(60_000)
    await closed
  })
  for (let n = 0; n < 100; n++) registry.define(heldJob({ type: 'test', id: `${n}` }).job)
  return { registry, clock, log }
}

/** How a promise settles within `delay` milliseconds of the clock. */
async function settledAfter(clock: FakeClock, delay: number, promise: Promise<unknown>): Promise<unknown> {
  let outcome: unknown = 'pending'
  promise.then(
    (value) => (outcome = value),
    (error) => (outcome = error),
  )
  await clock.advance(delay)
  return outcome
}

const noAnswerTo = (method: string) => ({
  code: 'dispatcher',
  message: `The dispatcher gave no answer to \`${method}\` within 10000 ms.`,
})
const noSlot = { tryAcquire: () => undefined }

describe('a dispatcher that never answers', () => {
  it.each<[string, string, (registry: JobRegistry) => Promise<unknown>]>([
    ['waiting', 'queued', (registry) => registry.queued()],
    ['move', 'setPriority', (registry) => registry.setPriority('test', '0', 5)],
  ])('to `%s` fails `%s` in time', async (method, _, call) => {
    const { registry, clock } = open({ ...noSlot, add: async () => {}, [method]: never })
    await registry.start('test', '0')
    const asked = call(registry)
    expect(await settledAfter(clock, 9999, asked)).toBe('pending')
    expect(await settledAfter(clock, 1, asked)).toMatchObject(noAnswerTo(method))
  })

  it('to `add` fails a start in time, and the job can start again', async () => {
    const { registry, clock } = open({ ...noSlot, add: never })
    for (let n = 0; n < 2; n++)
      expect(await settledAfter(clock, 10_000, registry.start('test', '0'))).toMatchObject(noAnswerTo('add'))
    const { hits } = await registry.search({})
    expect(hits).toHaveLength(2)
    expect(hits[0]).toMatchObject({ state: 'error', error: [noAnswerTo('add').message] })
  })

  it('to `add` is a 503 of the HTTP API', async () => {
    const { registry, clock } = open({ ...noSlot, add: never })
    const handler = describedHandler(registry, { basePath: '/jobs' })
    const answer = handler(new Request('http://localhost/jobs/test/0/_start', { method: 'POST' }))
    const { status, body } = (await settledAfter(clock, 10_000, answer)) as Response
    expect([status, JSON.parse(await new Response(body).text())]).toEqual([
      503,
      {
        error: { type: 'dispatcher', reason: 'The dispatcher could not be reached or could not complete the request.' },
        status: 503,
      },
    ])
  })

  it('to `add` of a shared queue is logged at a bounded rate, and starts are accepted', async () => {
    let added = 0
    const { registry, clock, log } = open(
      {
        add: () => {
          added++
          return never()
        },
        waiting: async () => ({ total: 100, hits: [] }),
      },
      { isShared: true },
    )
    const starts = Promise.all(Array.from({ length: 100 }, (_, n) => registry.start('test', `${n}`)))
    // Storage in memory yields to the event loop now and then.
    while (added < 100) await clock.advance(0)
    expect(await settledAfter(clock, 1000, starts)).toHaveLength(100)
    await clock.advance(9000)
    const warnings = log.filter((line) => line.includes('could not be queued yet'))
    expect(warnings).toHaveLength(20)
    expect(warnings[0]).toBe(`Job [test/0] could not be queued yet. ${noAnswerTo('add').message}`)
  })

  it.each<[string, () => Promise<boolean>, number]>([
    ['never answers', never, 1000],
    ['fails', () => Promise.reject(new Error('away')), 0],
  ])('to `remove`, which %s, does not keep a queued job from its abort', async (_, remove, delay) => {
    const { registry, clock } = open({ ...noSlot, add: async () => {}, remove })
    const { finished } = await registry.start('test', '0')
    const aborted = registry.abort('test', '0')
    expect(await settledAfter(clock, delay, aborted)).toMatchObject({ state: 'aborted' })
    expect(await finished).toMatchObject({ state: 'aborted' })
  })

  it('to `remove` is logged', async () => {
    const { registry, clock, log } = open({ ...noSlot, add: async () => {}, remove: never })
    await registry.start('test', '0')
    await settledAfter(clock, 10_000, registry.abort('test', '0'))
    const message = 'could not be removed from the queue; it will be refused when dispatched.'
    expect(log).toEqual([`Job [test/0] ${message} ${noAnswerTo('remove').message}`])
  })
})

describe('a dispatcher that answers what its contract does not allow', () => {
  const page =
    'Expected waiting() of the dispatcher to return the number `total` and `hits`, an array of up to 10 queued executions'
  it.each<[string, unknown, (registry: JobRegistry) => Promise<unknown>, string]>([
    ['waiting', undefined, (registry) => registry.queued(), `${page}, got nothing.`],
    ['waiting', [], (registry) => registry.queued(), `${page}, got an array.`],
    ['waiting', { total: -1, hits: [] }, (registry) => registry.queued(), page],
    ['waiting', { total: 1, hits: {} }, (registry) => registry.queued(), page],
    ['waiting', { total: 1, hits: { length: 9 } }, (registry) => registry.queued(), page],
    ['waiting', { total: 20, hits: Array(20) }, (registry) => registry.queued(), page],
    ['waiting', { total: 1, hits: [{ type: 'test' }] }, (registry) => registry.queued(), page],
    [
      'move',
      1,
      (registry) => registry.setPriority('test', '0', 5),
      'Expected move() of the dispatcher to return true or false, got `1` (number).',
    ],
  ])('from `%s`, as %j, is named', async (method, answer, call, message) => {
    const { registry } = open({ ...noSlot, add: async () => {}, [method]: async () => answer })
    await registry.start('test', '0')
    const error = { code: 'dispatcher', message: expect.stringContaining(message) }
    await expect(call(registry)).rejects.toMatchObject(error)
  })

  const executionId = 'a01900000-0000-7000-8000-000000000000'
  const hit = { type: 'test', id: 'a', partition: 1, executionId, epoch: 0, priority: 5, datasource: 'db' }

  it('from `waiting`, as other fields, is left out', async () => {
    const page = { total: 1, hits: [{ ...hit, redisUrl: 'redis://:secret@host' }], internal: 'x' }
    const { registry } = open({ waiting: async () => page })
    expect(await registry.queued()).toEqual({ total: 1, hits: [hit] })
  })

  it.each([{ epoch: -1 }, { epoch: undefined }, { priority: '5' }, { priority: Number.NaN }, { datasource: {} }])(
    'from `waiting`, as a hit with %o, is named',
    async (field) => {
      const { registry } = open({ waiting: async () => ({ total: 1, hits: [{ ...hit, ...field }] }) })
      await expect(registry.queued()).rejects.toMatchObject({ code: 'dispatcher' })
    },
  )

  it('from `remove`, is logged, and the job is aborted', async () => {
    const { registry, log } = open({ ...noSlot, add: async () => {}, remove: async () => 'yes' })
    await registry.start('test', '0')
    expect(await registry.abort('test', '0')).toMatchObject({ state: 'aborted' })
    expect(log.join()).toContain('Expected remove() of the dispatcher to return true or false, got `yes` (string).')
  })

  it.each(['add', 'remove', 'move', 'waiting'])('from `%s`, as an error, keeps the cause', async (method) => {
    const cause = new Error('connection reset')
    const fails = () => {
      throw cause
    }
    const { registry, log } = open({ ...noSlot, add: async () => {}, [method]: fails })
    const calls = async () => {
      await registry.start('test', '0')
      await registry.queued()
      await registry.setPriority('test', '0', 5)
      await registry.abort('test', '0')
    }
    const error = await calls().then(
      () => log.join(),
      (thrown) => `${thrown.code} ${thrown.message} ${thrown.cause.message}`,
    )
    expect(error).toContain(`The dispatcher could not answer \`${method}\`.`)
    expect(error).toContain('connection reset')
  })
})

describe('a dispatcher', () => {
  const messages = [{}, null, 5, [], { type: 'test', id: '0' }, { type: 'test', id: '0', executionId: 5, epoch: 1 }]
  const odd = new Proxy({}, { get: () => raise(new Error('odd')) })

  it.each([...messages, { type: 'test', id: '0', partition: 'a', executionId: 'a' }, odd])(
    'that passes on what is no execution is warned, case %#',
    async (message) => {
      const { log, worker } = openWorker()
      expect(await worker.run(message as never)).toBe(false)
      expect(await worker.whenEnded(message as never, new AbortController().signal)).toBe(false)
      expect(log).toHaveLength(2)
      expect(log[0]).toMatch(/^Could not handle a message of the dispatcher\. .{1,100}$/)
    },
  )

  it('may warn with a message that is no text', async () => {
    const { log, worker } = openWorker()
    worker.warn(new Error('odd'), new Error('no text') as never)
    expect(log).toEqual(['The dispatcher gave a warning without a message. odd'])
  })

  it.each([Number.NaN, null, 'now', Symbol('now'), -1, 1e300])('may call `onRival` with %s', async (lastSeen) => {
    const rivals: ((lastSeen: unknown) => void)[] = []
    const set = (_job: object, _schedule: object, onRival: (lastSeen: unknown) => void) => void rivals.push(onRival)
    const { registry, log } = open({ schedules: { set } })
    registry.define({ type: 'test', id: 's', run: () => {}, schedule: { every: 60_000 } })
    for (const onRival of rivals) onRival(undefined)
    rivals.at(-1)?.(lastSeen)
    expect(log.at(-1)).toContain('Expected `lastSeen` to be a whole number')
  })

  it.each([new Error('odd'), null])('that throws %s fails with its code', async (thrown) => {
    const fails = () => raise(thrown)
    const error = (method: string) =>
      expect.objectContaining({ code: 'dispatcher', message: `The dispatcher could not answer \`${method}\`.` })
    expect(() => open({ work: fails })).toThrow(error('work'))
    expect(() => open({ schedules: { set: fails } })).toThrow(error('schedules.set'))
    const { registry } = open({ schedules: { set: () => undefined, remove: fails } })
    expect(() => registry.remove('test', '0')).toThrow(error('schedules.remove'))
    await expect(open({ tryAcquire: fails }).registry.start('test', '0')).rejects.toEqual(error('tryAcquire'))
  })
})

/** A registry, and what its dispatcher is given. */
function openWorker(): World & { worker: DispatchWorker } {
  const workers: DispatchWorker[] = []
  const world = open({ work: (worker: DispatchWorker) => void workers.push(worker) })
  return { ...world, worker: workers[0] as DispatchWorker }
}

function raise(thrown: unknown): never {
  throw thrown
}

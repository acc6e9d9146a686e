import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { createPostgresBackend } from 'bullmq'
import {
  type Dispatcher,
  type JobContext,
  JobRegistry,
  type JobRegistryOptions,
  type JobStorage,
  localDispatcher,
  memoryStorage,
} from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { type HeldJob, heldJob, testDatasource } from 'headgate/testing'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeRedis } from '../../support/redis.js'

let storage: JobStorage
const registries: JobRegistry[] = []
beforeEach(() => {
  storage = memoryStorage()
})
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close({ timeout: 1000 })))
})

function open(dispatcher: Dispatcher, options: Partial<JobRegistryOptions> = {}): JobRegistry {
  const registry = new JobRegistry({ storage, dispatcher, ...options })
  registries.push(registry)
  return registry
}

/** What runs, over all registries, and how often each job ran. */
function workshop() {
  const ran: string[] = []
  const held = new Map<string, HeldJob>()
  const define = (registry: JobRegistry, ...ids: string[]) => {
    for (const id of ids) {
      const one = held.get(id) ?? heldJob({ type: 'test', id })
      held.set(id, one)
      const run = (context: JobContext) => {
        ran.push(id)
        return id.startsWith('quick') ? undefined : one.job.run(context)
      }
      registry.define({ ...one.job, run })
    }
  }
  const running = (id: string) => vi.waitFor(() => expect(ran).toContain(id), { timeout: 8000, interval: 5 })
  return { ran, define, running, end: (id: string) => held.get(id)?.finish() }
}

/** What holds of a registry, whatever its dispatcher. */
function behaves(dispatcherOf: () => Dispatcher): void {
  test('runs, aborts, shows and moves those that wait, by priority', async () => {
    const { ran, define, running, end } = workshop()
    const registry = open(dispatcherOf(), { concurrency: 1 })
    define(registry, 'first', 'a', 'b', 'c')
    registry.define({ type: 'test', id: 'urgent', priority: 5, run: () => void ran.push('urgent') })
    const first = await registry.start('test', 'first')
    await running('first')
    const [a, b] = [await registry.start('test', 'a'), await registry.start('test', 'b')]
    await registry.start('test', 'c', { priority: 9 })
    const urgent = await registry.start('test', 'urgent')
    await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'already_running' })
    const idsOf = async () => (await registry.queued()).hits.map(({ id }) => id)
    expect(await idsOf()).toEqual(['c', 'urgent', 'a', 'b'])
    expect(await registry.setPriority('test', 'b', 7)).toBe(true)
    expect(await registry.setPriority('test', 'first', 7)).toBe(false)
    expect(await idsOf()).toEqual(['c', 'b', 'urgent', 'a'])
    expect(await registry.abort('test', 'b')).toMatchObject({ state: 'aborted' })
    expect(await b.finished).toMatchObject({ state: 'aborted' })
    end('first')
    expect(await first.finished).toMatchObject({ state: 'successful' })
    await running('c')
    end('c')
    expect(await urgent.finished).toMatchObject({ state: 'successful' })
    await running('a')
    end('a')
    expect(await a.finished).toMatchObject({ state: 'successful' })
    expect(ran).toEqual(['first', 'c', 'urgent', 'a'])
  })

  test('lets jobs end as it closes, and starts none after', async () => {
    const { define, running, end } = workshop()
    const registry = open(dispatcherOf())
    define(registry, 'a')
    await registry.start('test', 'a')
    await running('a')
    const closed = registry.close({ drain: true })
    end('a')
    await closed
    expect(await storage.find('test', 'a')).toMatchObject({ state: 'successful' })
    await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'closed' })
  })
}

/** What holds of registries that share storage and line. */
function shares(openLine: () => { dispatcher(): Dispatcher; lose(): Promise<void> }): void {
  test('runs a job where it is defined, and tells the end where it was started', async () => {
    const { define } = workshop()
    const line = openLine()
    const [one, other] = [open(line.dispatcher()), open(line.dispatcher())]
    const ran: string[] = []
    one.define({ type: 'test', id: 'a', run: () => void ran.push('one') })
    define(other, 'quick')
    expect(await (await one.start('test', 'a')).finished).toMatchObject({ state: 'successful' })
    expect(await (await other.start('test', 'quick')).finished).toMatchObject({ state: 'successful' })
    expect(ran).toEqual(['one'])
  })

  test('removes a job from one registry, while the other one follows its schedule and runs it', async () => {
    const line = openLine()
    const [one, other] = [open(line.dispatcher(), { lease: 300 }), open(line.dispatcher(), { lease: 300 })]
    const ran: string[] = []
    other.define({ type: 'test', id: 'a', run: () => void ran.push('other'), schedule: { every: 200 } })
    await vi.waitFor(() => expect(ran.length).toBeGreaterThan(1), { timeout: 8000 })
    one.define({ type: 'test', id: 'a', run: () => void ran.push('one'), schedule: { every: 3_600_000 } })
    // The other one yields to the later definition.
    const isQuiet = async () => {
      const count = ran.length
      await setTimeout(600)
      expect(ran).toHaveLength(count)
    }
    await vi.waitFor(isQuiet, { timeout: 10_000 })
    expect(one.remove('test', 'a')).toBe(true)
    ran.length = 0
    await vi.waitFor(() => expect(ran.length).toBeGreaterThan(2), { timeout: 10_000 })
    expect(ran).not.toContain('one')
  })

  test('shares the work, and aborts and moves what another registry started', async () => {
    const { ran, define, running, end } = workshop()
    const line = openLine()
    const registries = [0, 1].map(() => open(line.dispatcher(), { concurrency: 1 }))
    const [one, other] = registries as [JobRegistry, JobRegistry]
    for (const each of registries) define(each, 'a', 'b', 'c', 'd')
    await Promise.all(['a', 'b'].map((id) => one.start('test', id)))
    await Promise.all(['a', 'b'].map(running))
    const [c, d] = [await one.start('test', 'c'), await one.start('test', 'd')]
    expect(await other.setPriority('test', 'd', 3)).toBe(true)
    expect((await other.queued()).hits.map(({ id }) => id)).toEqual(['d', 'c'])
    expect(await other.abort('test', 'c')).toMatchObject({ state: 'aborted' })
    expect(await c.finished).toMatchObject({ state: 'aborted' })
    for (const id of ['a', 'b']) end(id)
    await running('d')
    expect(await other.abort('test', 'd')).toMatchObject({ state: 'aborted' })
    expect(await d.finished).toMatchObject({ state: 'aborted' })
    expect(ran.toSorted()).toEqual(['a', 'b', 'd'])
  })

  test('runs a job once, though its turn comes twice: while it runs, and after its end', async () => {
    const { ran, define, running, end } = workshop()
    const line = openLine()
    const dispatchers = [line.dispatcher(), line.dispatcher()] as const
    const [one, other] = [open(dispatchers[0]), open(dispatchers[1])]
    for (const each of [one, other]) define(each, 'a', 'quick')
    const { finished, executionId } = await one.start('test', 'a')
    const again = { type: 'test', id: 'a', executionId, epoch: 1, priority: 0 }
    await running('a')
    await line.lose()
    for (const each of dispatchers) await each.add([again])
    await (await other.start('test', 'quick')).finished
    end('a')
    expect(await finished).toMatchObject({ state: 'successful' })
    await dispatchers[1].add([again])
    await (await other.start('test', 'quick')).finished
    expect(ran.filter((id) => id === 'a')).toEqual(['a'])
  })

  test('begins every time of jobs that one of five processes knows', async () => {
    const line = openLine()
    const [knowing] = Array.from({ length: 5 }, () => open(line.dispatcher(), { lease: 1000 }))
    const ids = Array.from({ length: 10 }, (_, index) => `quick-${index}`)
    const ran = new Set<string>()
    const schedule = { every: 3000, ifRunning: 'runAfter' } as const
    for (const id of ids) knowing?.define({ type: 'test', id, schedule, run: () => void ran.add(id) })
    await vi.waitFor(() => expect([...ran].toSorted()).toEqual(ids), { timeout: 12_000, interval: 20 })
  })

  test('runs all that was accepted though the engine loses the line', async () => {
    const { ran, define, running, end } = workshop()
    const line = openLine()
    const options = { concurrency: { process: 1, cluster: 2 }, lease: 600 }
    const [one, other] = [open(line.dispatcher(), options), open(line.dispatcher(), options)]
    const ids = Array.from({ length: 8 }, (_, index) => `quick-${index}`)
    for (const each of [one, other]) define(each, 'a', 'b', ...ids)
    const holding = await Promise.all(['a', 'b'].map((id) => one.start('test', id)))
    await Promise.all(['a', 'b'].map(running))
    const waiting = await Promise.all(ids.map((id) => one.start('test', id)))
    await line.lose()
    for (const id of ['a', 'b']) end(id)
    const ended = await Promise.all([...holding, ...waiting].map(({ finished }) => finished))
    expect(ended.map(({ state }) => state)).toEqual(ended.map(() => 'successful'))
    expect(ran.toSorted()).toEqual(['a', 'b', ...ids])
  })
}

describe('a registry with localDispatcher', () => {
  behaves(localDispatcher)

  test('refuses limits that its line cannot keep', () => {
    const of = (concurrency: object) => () => new JobRegistry({ storage, concurrency })
    expect(of({ cluster: 2 })).toThrow(
      'Expected `concurrency.cluster` to be omitted, as it needs a dispatcher with a shared queue',
    )
    expect(of({ datasources: { none: 1 } })).toThrow(
      "Expected `concurrency.datasources` to be an object whose keys are names of the registry's `datasources` (none), got `none` (string)",
    )
    const datasources = { shop: testDatasource([]), crm: testDatasource([]) }
    const misspelt = () =>
      new JobRegistry({ storage, datasources, concurrency: { datasources: { shopp: 1 } as never } })
    expect(misspelt).toThrow('(shop, crm), got `shopp` (string). Did you mean `shop`?')
    expect(of({ process: 0 })).toThrow('Expected `process` to be a whole number from 1 up')
    expect(of({ all: 1 })).toThrow('Expected `concurrency` to be an object with `process`')
  })

  test('runs an execution once, though it is put in line again while it runs', async () => {
    const { ran, define, running, end } = workshop()
    const dispatcher = localDispatcher()
    const registry = open(dispatcher, { concurrency: 1 })
    define(registry, 'first', 'a')
    await registry.start('test', 'first')
    const { finished, executionId } = await registry.start('test', 'a')
    end('first')
    await running('a')
    await dispatcher.add([{ type: 'test', id: 'a', executionId, epoch: 1, priority: 0 }])
    end('a')
    expect(await finished).toMatchObject({ state: 'successful' })
    expect(ran).toEqual(['first', 'a'])
  })
})

describeRedis('registries with bullmqDispatcher on Redis', ({ url, prefix, flush }) => {
  const openLine = () => {
    const queue = randomUUID()
    const dispatcher = () => bullmqDispatcher({ connection: url, prefix, queue })
    return { dispatcher, lose: () => flush(queue) }
  }
  behaves(() => openLine().dispatcher())
  shares(openLine)

  test('leaves nothing open when it is closed', async () => {
    const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
    const before = sockets()
    const registry = open(openLine().dispatcher(), { concurrency: 2 })
    registry.define({ type: 'test', id: 'a', run: () => {} })
    await (await registry.start('test', 'a')).finished
    await registry.close()
    await vi.waitFor(() => expect(sockets()).toBeLessThanOrEqual(before))
  })
})

describePostgres('registries with bullmqDispatcher on Postgres', (database) => {
  const openLine = () => {
    const queue = randomUUID()
    const connection = { connectionString: database.url, migrate: true, schema: 'lines', max: 4 }
    const dispatcher = () => bullmqDispatcher({ connection, backend: createPostgresBackend, queue })
    return { dispatcher, lose: () => execute(database.url, `delete from lines.job where queue = '${queue}'`) }
  }
  behaves(() => openLine().dispatcher())
  shares(openLine)
})

describe('bullmqDispatcher', () => {
  test('takes a start while its engine is out of reach, tells operators, and closes', async () => {
    const warnings: string[] = []
    const warn = (_: unknown, message?: string) => void warnings.push(message ?? '')
    const logger = { debug: () => {}, info: () => {}, warn, error: warn }
    const registry = open(bullmqDispatcher({ connection: 'redis://127.0.0.1:1' }), { logger })
    registry.define({ type: 'test', id: 'a', run: () => {} })
    const begun = Date.now()
    const { status } = await registry.start('test', 'a')
    expect(status.state).toBe('queued')
    expect(Date.now() - begun).toBeLessThan(2500)
    expect(await registry.abort('test', 'a')).toMatchObject({ state: 'aborted' })
    await registry.close()
    expect(Date.now() - begun).toBeLessThan(10_000)
    expect(warnings.join()).toContain('The queue [headgate] had an error.')
  })

  test('refuses options that it does not know or cannot use', () => {
    const of = (options: object) => () => bullmqDispatcher(options as never)
    const connection = { host: '127.0.0.1' }
    expect(of({})).toThrow('Expected `connection` to be a URL, a Redis client')
    expect(of({ connection: '' })).toThrow('Expected `connection` to be a URL, a Redis client')
    expect(of({ connection, backend: {} })).toThrow('Expected `backend` to be a function')
    expect(of({ connection, queue: 'a:b' })).toThrow('Expected `queue` to be a name of 1 to 200 characters')
    expect(of({ connection, lockDuration: 10 })).toThrow(
      'Expected `lockDuration` to be a whole number of milliseconds from 1000 up',
    )
    expect(of({ connection, prefetch: 1 })).toThrow('Expected `options` to be an object with `connection`')
    const client = { defineCommand: () => {}, options: { maxRetriesPerRequest: 20 } }
    expect(of({ connection: client })).toThrow('a client with `maxRetriesPerRequest: null`, got `20`')
    const prefixed = { defineCommand: () => {}, options: { maxRetriesPerRequest: null, keyPrefix: 'k' } }
    expect(of({ connection: prefixed })).toThrow('a client without `keyPrefix`')
    // As `createPostgresBackend` is when it is taken from BullMQ 5.
    const backend = undefined
    for (const postgres of ['postgres://127.0.0.1/a', { connectionString: 'postgres://127.0.0.1/a' }, new pg.Pool()])
      expect(of({ connection: postgres, backend })).toThrow(
        'Expected `backend` to be `createPostgresBackend` of `bullmq` 6',
      )
  })
})

async function execute(connectionString: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

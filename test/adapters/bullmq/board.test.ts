import { randomUUID } from 'node:crypto'
import { createPostgresBackend, Queue } from 'bullmq'
import type { ConcurrencyLimits, Dispatcher, Schedule } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeRedis } from '../../support/redis.js'
import { type EngineOptions, queueOfTest } from './queue-of-test.js'
import { executionOf, type RecordingWorker, recordingWorker } from './worker.js'

/** What the cases need of an engine. */
interface Engine {
  /** What a dispatcher is made with, beside the queue. */
  readonly options: () => EngineOptions
  /** Removes all that the engine has of a queue. */
  empty(queue: string): Promise<void>
}

/** A registry of the queue. */
interface Opened {
  readonly dispatcher: Dispatcher
  readonly worker: RecordingWorker
  /** What it was told of rivals: when each was last seen, if it is gone. */
  readonly rivals: { lastSeen: number | undefined }[]
  /** Defines the schedule of a job. */
  define(schedule: Schedule | undefined, id?: string): void
}

const job = { type: 'test', id: 'a' }
const soon = { timeout: 15_000, interval: 20 }

function behaves({ options, empty }: Engine): void {
  const queue = queueOfTest(options)
  const { look } = queue

  function open(limits: ConcurrencyLimits = {}): Opened {
    const dispatcher = queue.open()
    const worker = recordingWorker(limits)
    const rivals: Opened['rivals'] = []
    dispatcher.work(worker)
    const define: Opened['define'] = (schedule, id = job.id) =>
      dispatcher.schedules?.set({ ...job, id }, schedule, (lastSeen) => rivals.push({ lastSeen }))
    return { dispatcher, worker, rivals, define }
  }

  const waitFor = (holds: () => unknown) => vi.waitFor(holds, soon)
  const limitIs = (name: string, limit: number | null) => {
    const each = look(name)
    return waitFor(async () => expect((await each.getGlobalConcurrency()) ?? null).toBe(limit))
  }

  test('limits are put back when the engine was emptied', async () => {
    open({ cluster: 2, datasources: { events: 1 } })
    await Promise.all([limitIs(queue.name, 2), limitIs(`${queue.name}-on-events`, 1)])
    await empty(queue.name)
    await Promise.all([limitIs(queue.name, 2), limitIs(`${queue.name}-on-events`, 1)])
  })

  test('the limit of the registry that was opened last holds, until it is gone', async () => {
    const older = open({ cluster: 2 })
    await limitIs(queue.name, 2)
    const newer = open({ cluster: 3 })
    await limitIs(queue.name, 3)
    await empty(queue.name)
    await limitIs(queue.name, 3)
    await newer.dispatcher.close?.()
    await limitIs(queue.name, 2)
    open()
    await limitIs(queue.name, null)
    expect(older.worker.warnings).toEqual([])
  })

  const jobsOn = async (name: string) =>
    (await look(`${queue.name}-board`).getJobs('waiting')).filter((each) => each.name === name)

  /** All that registries say on the board. */
  const said = async () => (await jobsOn('definitions')).flatMap(({ data }) => data.definitions)

  /** Two registries, of which the second has said last when the job `a` starts. */
  async function openTwo(schedule: Schedule | undefined) {
    const [older, newer] = [open(), open()]
    older.define({ every: 300 })
    await waitFor(async () => expect(await said()).toContainEqual(expect.objectContaining({ text: '{"every":300}' })))
    newer.define(schedule)
    await waitFor(() => expect(older.rivals.at(0)).toEqual({ lastSeen: undefined }))
    return { older, newer }
  }

  test.each([
    ['other times', { every: 700 }],
    ['none', undefined],
    ['a disabled one', { every: 300, enabled: false }],
  ])('a registry yields to one that has defined the schedule since, with %s', async (_, schedule) => {
    const { older, newer } = await openTwo(schedule)
    // An engine that was emptied does not bring the older one back.
    await empty(queue.name)
    const before = older.rivals.length
    await waitFor(() => expect(older.rivals.length).toBeGreaterThan(before + 3))
    expect(older.rivals.filter(({ lastSeen }) => lastSeen !== undefined)).toEqual([])
    expect(newer.rivals).toEqual([])
  })

  test('a registry goes by its own schedule again when the one that it yielded to is gone', async () => {
    const { older, newer } = await openTwo({ every: 700 })
    const gone = Date.now()
    await newer.dispatcher.close?.()
    await waitFor(() => expect(older.rivals.at(-1)?.lastSeen).toBeDefined())
    expect(older.rivals.at(-1)?.lastSeen).toBeLessThanOrEqual(gone + 200)
  })

  test('what no registry says any more is removed from the engine', async () => {
    const leaving = open()
    open({ cluster: 2 })
    leaving.define({ every: 300 })
    await waitFor(async () => expect(await jobsOn('definitions')).toHaveLength(2))
    leaving.define({ every: 300 }, 'b')
    await waitFor(async () => expect((await said()).map(({ key }) => key)).toContain('schedule/test/b'))
    expect(await jobsOn('definitions')).toHaveLength(2)
    await leaving.dispatcher.close?.()
    await waitFor(async () =>
      expect([await jobsOn('definitions'), await jobsOn('registry')]).toMatchObject([[{}], [{}]]),
    )
    expect(await said()).toEqual([expect.objectContaining({ key: `limit/${queue.name}`, text: '2' })])
  })

  const stranger = randomUUID()

  /** What a registry that is none says. */
  async function forge(heartbeat: unknown, definitions: unknown): Promise<void> {
    const board = look(`${queue.name}-board`)
    await board.add('registry', heartbeat as never, { jobId: `registry/${stranger}` })
    await board.add('definitions', definitions as never, { jobId: `definitions/${stranger}/1` })
  }

  const far = Date.now() + 1e9
  const key = 'schedule/test/a'
  const there = () => ({ version: 1, seen: Date.now() })
  test.each([
    ['nothing', () => null, null],
    ['a text', () => 'x', 'x'],
    ['no times', () => ({ version: 1 }), { definitions: [{ key, text: '{}', since: 1 }] }],
    ['a time far ahead', () => ({ version: 1, seen: far }), { definitions: [{ key, text: '{}', since: 1 }] }],
    ['no list', there, { definitions: { length: 1e9 } }],
    ['no definitions', there, { definitions: [null, 1, 'x', {}, { key }, { key, text: 1, since: 1 }] }],
    ['a definition from after it was seen', there, { definitions: [{ key, text: '{}', since: far }] }],
    ['a text without end', there, { definitions: [{ key, text: 'x'.repeat(100_000), since: 1 }] }],
    [
      'more than is read',
      there,
      { definitions: Array.from({ length: 100_001 }, () => ({ key, text: '{}', since: 1 })) },
    ],
  ])('a stranger that says %s changes nothing', async (_, heartbeat, definitions) => {
    await forge(heartbeat(), definitions)
    const { dispatcher, worker, rivals, define } = open({ cluster: 2 })
    define({ every: 300 })
    await waitFor(async () => expect(await said()).toContainEqual(expect.objectContaining({ text: '{"every":300}' })))
    await limitIs(queue.name, 2)
    expect(rivals).toEqual([])
    await dispatcher.add([executionOf('b')])
    await waitFor(() => expect(worker.taken).toHaveLength(1))
  })

  test('a limit of another kind on the board is no limit', async () => {
    for (const text of ['-1', '{', '1e400', '"2"x']) {
      open({ cluster: 2 })
      await limitIs(queue.name, 2)
      await forge(there(), { definitions: [{ key: `limit/${queue.name}`, text, since: Date.now() }] })
      await limitIs(queue.name, null)
      await queue.close()
      await empty(queue.name)
    }
  })
}

describeRedis('what registries of a line on Redis define', ({ url, prefix, flush }) => {
  behaves({ options: () => ({ connection: url, prefix }), empty: flush })

  /** How many commands the jobs of the board are read with while nothing changes, in so many looks. */
  async function readsOf(schedules: number): Promise<number> {
    const queue = randomUUID()
    const read = vi.spyOn(Queue.prototype, 'getJob')
    const opened = Array.from({ length: 3 }, () => {
      const dispatcher = bullmqDispatcher({ connection: url, prefix, queue })
      dispatcher.work(recordingWorker())
      for (let n = 0; n < schedules; n++)
        dispatcher.schedules?.set({ type: 'test', id: `job ${n}` }, { every: 3_600_000 }, () => {})
      return dispatcher
    })
    await vi.waitFor(
      () => expect(read.mock.calls.filter(([id]) => id.startsWith('definitions/'))).toHaveLength(6),
      soon,
    )
    read.mockClear()
    // Six looks of each registry within a lease.
    const listed = vi.spyOn(Queue.prototype, 'getRanges')
    await vi.waitFor(() => expect(listed.mock.calls.length).toBeGreaterThan(15), soon)
    const reads = read.mock.calls.length / listed.mock.calls.length
    vi.restoreAllMocks()
    await Promise.all(opened.map((dispatcher) => dispatcher.close?.()))
    return reads
  }

  test('are looked at by as many commands as there are registries, however much they define', async () => {
    expect(await readsOf(200)).toBeLessThan(6)
  })

  test('are read also beside what BullMQ cannot read', async () => {
    const queue = randomUUID()
    const client = new Redis(url)
    await client.set(`${prefix}:${queue}-board:damaged`, 'x')
    await client.lpush(`${prefix}:${queue}-board:wait`, 'damaged', 'gone')
    const dispatcher = bullmqDispatcher({ connection: url, prefix, queue })
    const worker = recordingWorker({ cluster: 2 })
    dispatcher.work(worker)
    const limit = () => client.hget(`${prefix}:${queue}:meta`, 'concurrency')
    await vi.waitFor(async () => expect(await limit()).toBe('2'), soon)
    await client.hdel(`${prefix}:${queue}:meta`, 'concurrency')
    await vi.waitFor(async () => expect(await limit()).toBe('2'), soon)
    expect(worker.warnings).toEqual([])
    await dispatcher.close?.()
    client.disconnect()
  })
})

describePostgres('what registries of a line on Postgres define', (database) => {
  const pool = () => ({ connectionString: database.url, migrate: true, schema: 'lines', max: 4 })
  const empty = async (queue: string) => {
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    const { rows } = await client.query(`select table_name, column_name from information_schema.columns
      where table_schema = 'lines' and column_name in ('queue', 'queue_name') order by table_name`)
    for (const { table_name, column_name } of rows) {
      await client.query(`delete from lines.${table_name} where ${column_name} like $1 || '%'`, [queue]).catch(() => {})
    }
    await client.end()
  }
  behaves({ options: () => ({ connection: pool(), backend: createPostgresBackend }), empty })
})

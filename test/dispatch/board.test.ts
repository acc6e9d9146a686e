import { randomUUID } from 'node:crypto'
import { createPostgresBackend, Queue } from 'bullmq'
import type { ConcurrencyLimits, Dispatcher, Schedule } from 'headgate'
import { bullmqDispatcher } from 'headgate/dispatch/bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { describeRedis } from '../support/redis.js'
import { executionOf, type RecordingWorker, recordingWorker } from './_worker.js'

/** What the cases need of an engine. */
interface Engine {
  /** What a dispatcher is made with, beside the queue. */
  readonly options: () => Omit<Parameters<typeof bullmqDispatcher>[0], 'queue'>
  /** Removes all that the engine has of a queue. */
  empty(queue: string): Promise<void>
}

const job = { type: 'test', id: 'a' }
const soon = { timeout: 15_000, interval: 20 }

function behaves({ options, empty }: Engine): void {
  let queue = ''
  const opened: Dispatcher[] = []
  const queues: Queue[] = []
  beforeEach(() => {
    queue = randomUUID()
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((dispatcher) => dispatcher.close?.()))
    await Promise.all(queues.splice(0).map((each) => each.close()))
  })

  function open(limits: ConcurrencyLimits = {}): { dispatcher: Dispatcher; worker: RecordingWorker } {
    const dispatcher = bullmqDispatcher({ ...options(), queue })
    opened.push(dispatcher)
    const worker = recordingWorker(limits)
    dispatcher.work(worker)
    return { dispatcher, worker }
  }

  /** The queue of that name, as BullMQ shows it. */
  function look(name: string): Queue {
    const { connection, backend, prefix } = options()
    const reached = typeof connection === 'string' ? { url: connection } : connection
    const each = new Queue(name, { connection: reached as never, ...(prefix && { prefix }) }, backend as never)
    each.on('error', () => {})
    queues.push(each)
    return each
  }

  const waitFor = (holds: () => unknown) => vi.waitFor(holds, soon)
  const limitIs = (name: string, limit: number | null) => {
    const each = look(name)
    return waitFor(async () => expect((await each.getGlobalConcurrency()) ?? null).toBe(limit))
  }

  test('limits are put back when the engine was emptied', async () => {
    open({ cluster: 2, datasources: { events: 1 } })
    await Promise.all([limitIs(queue, 2), limitIs(`${queue}-on-events`, 1)])
    await empty(queue)
    await Promise.all([limitIs(queue, 2), limitIs(`${queue}-on-events`, 1)])
  })

  test('the limit of the registry that was opened last holds, until it is gone', async () => {
    const older = open({ cluster: 2 })
    await limitIs(queue, 2)
    const newer = open({ cluster: 3 })
    await limitIs(queue, 3)
    await empty(queue)
    await limitIs(queue, 3)
    await newer.dispatcher.close?.()
    await limitIs(queue, 2)
    open()
    await limitIs(queue, null)
    expect(older.worker.warnings).toEqual([])
  })

  const jobsOn = async (name: string) =>
    (await look(`${queue}-board`).getJobs('waiting')).filter((each) => each.name === name)

  /** All that registries say on the board. */
  const said = async () => (await jobsOn('definitions')).flatMap(({ data }) => data.definitions)

  /** Two registries, of which the second has said last when the job `a` starts. */
  async function openTwo(schedule: Schedule | undefined) {
    const [older, newer] = [open(), open()]
    older.dispatcher.schedule?.(job, { every: 300 })
    await waitFor(async () => expect(await said()).toContainEqual(expect.objectContaining({ text: '{"every":300}' })))
    newer.dispatcher.schedule?.(job, schedule)
    await waitFor(() => expect(older.worker.yields.at(0)).toEqual({ job, lastSeen: undefined }))
    return { older, newer }
  }

  test.each([
    ['other times', { every: 700 }],
    ['none', undefined],
    ['a disabled one', { every: 300, enabled: false }],
  ])('a registry yields to one that has defined the schedule since, with %s', async (_, schedule) => {
    const { older, newer } = await openTwo(schedule)
    // An engine that was emptied does not bring the older one back.
    await empty(queue)
    const before = older.worker.yields.length
    await waitFor(() => expect(older.worker.yields.length).toBeGreaterThan(before + 3))
    expect(older.worker.yields.filter(({ lastSeen }) => lastSeen !== undefined)).toEqual([])
    expect(newer.worker.yields).toEqual([])
  })

  test('a registry goes by its own schedule again when the one that it yielded to is gone', async () => {
    const { older, newer } = await openTwo({ every: 700 })
    const gone = Date.now()
    await newer.dispatcher.close?.()
    await waitFor(() => expect(older.worker.yields.at(-1)?.lastSeen).toBeDefined())
    expect(older.worker.yields.at(-1)?.lastSeen).toBeLessThanOrEqual(gone + 200)
  })

  test('what no registry says any more is removed from the engine', async () => {
    const leaving = open()
    open({ cluster: 2 })
    leaving.dispatcher.schedule?.(job, { every: 300 })
    await waitFor(async () => expect(await jobsOn('definitions')).toHaveLength(2))
    leaving.dispatcher.schedule?.({ ...job, id: 'b' }, { every: 300 })
    await waitFor(async () => expect((await said()).map(({ key }) => key)).toContain('schedule/test/b'))
    expect(await jobsOn('definitions')).toHaveLength(2)
    await leaving.dispatcher.close?.()
    await waitFor(async () =>
      expect([await jobsOn('definitions'), await jobsOn('registry')]).toMatchObject([[{}], [{}]]),
    )
    expect(await said()).toEqual([expect.objectContaining({ key: `limit/${queue}`, text: '2' })])
  })

  const stranger = randomUUID()

  /** What a registry that is none says. */
  async function forge(heartbeat: unknown, definitions: unknown): Promise<void> {
    const board = look(`${queue}-board`)
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
    const { dispatcher, worker } = open({ cluster: 2 })
    dispatcher.schedule?.(job, { every: 300 })
    await waitFor(async () => expect(await said()).toContainEqual(expect.objectContaining({ text: '{"every":300}' })))
    await limitIs(queue, 2)
    expect(worker.yields).toEqual([])
    await dispatcher.add([executionOf('b')])
    await waitFor(() => expect(worker.taken).toHaveLength(1))
  })

  test('a limit of another kind on the board is no limit', async () => {
    for (const text of ['-1', '{', '1e400', '"2"x']) {
      open({ cluster: 2 })
      await limitIs(queue, 2)
      await forge(there(), { definitions: [{ key: `limit/${queue}`, text, since: Date.now() }] })
      await limitIs(queue, null)
      await Promise.all(opened.splice(0).map((dispatcher) => dispatcher.close?.()))
      await empty(queue)
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
      for (let n = 0; n < schedules; n++) dispatcher.schedule?.({ type: 'test', id: `job ${n}` }, { every: 3_600_000 })
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

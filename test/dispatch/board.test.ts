import { randomUUID } from 'node:crypto'
import { createPostgresBackend, Queue } from 'bullmq'
import type { ConcurrencyLimits, Dispatcher, Schedule } from 'headgate'
import { bullmqDispatcher } from 'headgate/dispatch/bullmq'
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

  /** Two registries, of which the second has said last when the job `a` starts. */
  async function openTwo(schedule: Schedule | undefined) {
    const [older, newer] = [open(), open()]
    older.dispatcher.schedule?.(job, { every: 300 })
    const board = look(`${queue}-board`)
    await waitFor(async () => expect(await board.getJob('schedule/test/a')).toBeDefined())
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
    open()
    leaving.dispatcher.schedule?.(job, { every: 300 })
    const board = look(`${queue}-board`)
    const schedules = async () => (await board.getJobs('waiting')).filter(({ id }) => id?.startsWith('schedule/'))
    await waitFor(async () => expect(await schedules()).toHaveLength(1))
    await leaving.dispatcher.close?.()
    await waitFor(async () => expect(await schedules()).toEqual([]))
  })

  const since = Date.now() + 1e9
  test.each([
    ['nothing', null],
    ['a text', 'x'],
    ['no times', { key: 'schedule/test/a', text: '{}' }],
    ['another key', { key: 'limit', text: '1', since: 1, seen: Date.now() }],
    ['a time far ahead, so that it would hold for ever', { key: 'schedule/test/a', text: '{}', since, seen: since }],
    ['a definition from after it was seen', { key: 'schedule/test/a', text: '{}', since, seen: Date.now() }],
    ['a text without end', { key: 'schedule/test/a', text: 'x'.repeat(100_000), since: 1, seen: Date.now() }],
  ])('a notice with %s is removed, and changes nothing', async (_, data) => {
    const board = look(`${queue}-board`)
    await board.add('notice', data as never, { jobId: 'schedule/test/a' })
    const { dispatcher, worker } = open({ cluster: 2 })
    dispatcher.schedule?.(job, { every: 300 })
    await waitFor(async () => {
      const found = await board.getJob('schedule/test/a')
      expect(found?.data).toMatchObject({ key: 'schedule/test/a', text: '{"every":300}' })
    })
    await limitIs(queue, 2)
    expect(worker.yields).toEqual([])
    await dispatcher.add([executionOf('b')])
    await waitFor(() => expect(worker.taken).toHaveLength(1))
  })

  test('a limit of another kind on the board is no limit', async () => {
    open({ cluster: 2 })
    await limitIs(queue, 2)
    const board = look(`${queue}-board`)
    const notice = (text: string) => ({ key: `limit/${queue}`, text, since: Date.now(), seen: Date.now() })
    for (const text of ['-1', '{', '1e400', '"2"x']) {
      await (await board.getJob(`limit/${queue}`))?.updateData(notice(text))
      await limitIs(queue, null)
    }
  })
}

describeRedis('what registries of a line on Redis define', ({ url, prefix, flush }) => {
  behaves({ options: () => ({ connection: url, prefix }), empty: flush })
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

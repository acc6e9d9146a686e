import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createPostgresBackend, runMigrations } from 'bullmq'
import { JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { isRedisThere, type OwnRedis, startRedis } from '../../support/own-redis.js'
import { programOf } from '../../support/program.js'
import { executionOf, recordingWorker } from './worker.js'

const soon = { timeout: 15_000, interval: 20 }

describe.skipIf(!isRedisThere())('bullmqDispatcher whose Redis is away, empty or full', () => {
  let redis: OwnRedis
  beforeAll(async () => {
    redis = await startRedis()
  })
  beforeEach(() => redis.restart())
  afterAll(() => redis.stop())

  test.each([
    ['plain', 'is away'],
    ['limits', 'is away'],
    ['schedule', 'is away'],
    ['limits', 'hangs'],
    ['schedule', 'hangs'],
  ])('lets a process close soon and end by itself (%s) when it %s', async (kind, trouble) => {
    const program = await programOf(new URL('leaver.ts', import.meta.url))
    const child = spawn(process.execPath, [program, redis.url, kind], { stdio: ['pipe', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.on('data', (data: Buffer) => {
      said += data
    })
    const left = once(child, 'exit')
    await vi.waitFor(() => expect(said).toContain('ready'), soon)
    if (trouble === 'hangs') redis.freeze()
    else await redis.kill()
    child.stdin.end()
    await vi.waitFor(() => expect(said).toContain('closed'), soon)
    expect(Number(said.split('closed ')[1])).toBeLessThan(4000)
    await vi.waitFor(() => expect(child.exitCode).toBe(0), soon)
    await left
  })

  test('asks one that refuses commands less and less often', async () => {
    const dispatcher = bullmqDispatcher({ connection: redis.url, lockDuration: 1000 })
    const worker = recordingWorker({ cluster: 2 })
    dispatcher.work(worker)
    await dispatcher.add([executionOf('a')])
    await vi.waitFor(() => expect(worker.taken).toHaveLength(1), soon)
    const client = new Redis(redis.url)
    await client.config('SET', 'maxmemory', '1')
    const begun = Date.now()
    await vi.waitFor(() => expect(worker.warnings.length).toBeGreaterThan(5), soon)
    expect(Date.now() - begun).toBeGreaterThan(500)
    await client.config('SET', 'maxmemory', '0')
    await dispatcher.add([executionOf('b')])
    await vi.waitFor(() => expect(worker.taken).toHaveLength(2), soon)
    await dispatcher.close?.()
    client.disconnect()
  })

  test('puts limits and what waits back into one that was started empty, and begins what is due meanwhile', async () => {
    const storage = memoryStorage()
    const dispatcher = bullmqDispatcher({ connection: redis.url, lockDuration: 1000 })
    const registry = new JobRegistry({ storage, lease: 1000, dispatcher, concurrency: { cluster: 2 } })
    registry.define({ type: 'test', id: 'a', run: () => {}, schedule: { every: 1000 } })
    const states = (state: string) =>
      vi.waitFor(async () => expect(await storage.find('test', 'a')).toMatchObject({ state }), soon)
    await states('successful')
    await redis.kill()
    // A time comes while it is away.
    await states('queued')
    await redis.restart()
    const after = Date.now()
    await vi.waitFor(async () => {
      const last = await storage.search({ type: 'test', size: 1 })
      expect(last.hits[0]).toMatchObject({ state: 'successful' })
      expect(last.hits[0]?.startTime).toBeGreaterThan(after)
    }, soon)
    const client = new Redis(redis.url)
    await vi.waitFor(async () => expect(await client.hget('bull:headgate:meta', 'concurrency')).toBe('2'), soon)
    client.disconnect()
    await registry.close()
  })

  test('of yours, which is cut off in the middle, hurts nobody', async () => {
    const connection = new Redis(redis.url, { maxRetriesPerRequest: null })
    const registry = new JobRegistry({ storage: memoryStorage(), dispatcher: bullmqDispatcher({ connection }) })
    for (let n = 0; n < 20; n++) registry.define({ type: 'test', id: `${n}`, run: () => {} })
    const starts = Array.from({ length: 20 }, (_, n) => registry.start('test', `${n}`))
    connection.disconnect()
    await Promise.all(starts)
    await registry.close()
  })
})

const terminate = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid()`

describePostgres('bullmqDispatcher whose Postgres ends connections', (database) => {
  test('goes on, over a pool of yours that nobody listens to', async () => {
    const admin = new pg.Client({ connectionString: database.url })
    await admin.connect()
    await runMigrations(admin, 'bullmq')
    const options = '-c search_path=bullmq'
    const connection = new pg.Pool({ connectionString: database.url, options, max: 5, application_name: 'yours' })
    const dispatcher = bullmqDispatcher({ connection, backend: createPostgresBackend, lockDuration: 1000 })
    const worker = recordingWorker({ cluster: 2 })
    dispatcher.work(worker)
    for (const id of ['a', 'b', 'c']) {
      await vi.waitFor(() => dispatcher.add([executionOf(id)]), soon)
      await vi.waitFor(() => expect(worker.taken.map((one) => one.id)).toContain(id), soon)
      await admin.query(terminate)
    }
    await dispatcher.close?.()
    await connection.end()
    await admin.end()
  })

  /** How a process ends that opens a registry and closes it after `delay` milliseconds. */
  async function openAndClose(delay: number) {
    const program = await programOf(new URL('opener.ts', import.meta.url))
    const child = spawn(process.execPath, [program, database.url, `${delay}`], { timeout: 10_000 })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data))
    const [code] = await once(child, 'exit')
    return { code, said }
  }

  test('does not end the process while it opens', { timeout: 20_000 }, async () => {
    const admin = new pg.Client({ connectionString: database.url })
    await admin.connect()
    // The last one may still be asked when the client ends.
    const timer = setInterval(() => void admin.query(terminate).catch(() => undefined), 70)
    const ends = await Promise.all([openAndClose(3000), openAndClose(3000)]).finally(() => clearInterval(timer))
    await admin.end()
    expect(ends).toEqual([0, 0].map((code) => ({ code, said: 'closed' })))
  })

  test('lets a process end by itself that closes while it opens', async () => {
    const pairs = [[0, 20], [50, 80], [100, 110], [120]] // biome-ignore format: one line
    for (const delays of pairs) {
      const ends = await Promise.all(delays.map(openAndClose))
      expect(ends, `closed after ${delays} ms`).toEqual(delays.map(() => ({ code: 0, said: 'closed' })))
    }
  })
})

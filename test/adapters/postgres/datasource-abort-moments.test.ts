import { setTimeout } from 'node:timers/promises'
import { newExecutionId, RecordBatch } from 'headgate/adapter'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { proxyTo, type ServerProxy } from './datasource-server.js'

const reason = new RangeError('enough')

/** How many jobs are aborted at once, and how often. */
const [width, rounds] = [10, 15]

describePostgres('an abort at a random moment leaves nothing running on the server', (database) => {
  let watcher: pg.Pool
  beforeAll(async () => {
    watcher = new pg.Pool({ connectionString: database.url })
    await watcher.query(`create table t (id int);
      create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(30); return new; end $$;
      create trigger wait before insert on t for each row execute function wait()`)
  })
  afterAll(() => watcher.end())

  describe.each([0, 15])('over a way with %i ms of latency', (latency) => {
    let proxy: ServerProxy
    let pool: pg.Pool
    beforeEach(async () => {
      proxy = await proxyTo(database.url, latency)
      pool = new pg.Pool({ connectionString: proxy.url, application_name: 'aborted', max: width * 2 })
    })
    afterEach(async () => {
      await pool.end()
      await proxy.close()
    })

    /** What is left when all have ended: no connection is in a transaction or works. */
    const left = async () =>
      (
        await watcher.query(`select state, query from pg_stat_activity
          where application_name = 'aborted' and state <> 'idle' and datname = current_database()`)
      ).rows

    const abortAll = async (work: (signal: AbortSignal, n: number) => Promise<unknown>, span: number) => {
      for (let round = 0; round < rounds; round++) {
        const running = Array.from({ length: width }, async (_, n) => {
          const abort = new AbortController()
          const ended = work(abort.signal, round * width + n).catch((error: unknown) => error)
          await setTimeout(Math.random() * span)
          abort.abort(reason)
          return ended
        })
        for (const end of await Promise.all(running)) expect(end).toBe(reason)
        await expect.poll(left, { timeout: 1_000, interval: 20 }).toEqual([])
      }
    }

    test.each([
      ['a query', undefined],
      ['a read by cursor', 'id'],
    ])('of %s', async (_, column) => {
      const datasource = postgresDatasource({ pool })
      const cursor = column === undefined ? undefined : cursorOf(column)
      // Each text is new, so that each has to be described.
      const read = async (signal: AbortSignal, n: number) => {
        const query = { text: `select ${n} as id from pg_sleep(30)`, values: [] }
        const batches = cursor
          ? datasource.readByCursor?.(query, { signal, batchSize: 10, cursor })
          : datasource.read(query, { signal, batchSize: 10, lastId: undefined })
        for await (const _ of batches ?? []);
      }
      await abortAll(read, 30 + latency * 10)
    })

    test('of a target', async () => {
      const target = postgresTarget({ pool, table: 't' })
      const write = async (signal: AbortSignal, n: number) => {
        const job = { type: 'ingestion', id: `job${n}`, signal }
        const context = { ...job, executionId: newExecutionId(job.id, Date.now()) }
        const { writer } = await target.open({ ...context, position: undefined, isResumed: false, isResumable: true })
        try {
          await writer.write(RecordBatch.fromRecords([{ id: n }]), { ...context, idempotencyKey: 'key' })
          await writer.flush?.(null)
        } finally {
          await writer.abort?.({ reason, leaseLost: false })
        }
      }
      const causeOf = async (signal: AbortSignal, n: number) => {
        await write(signal, n).catch((error: Error) => {
          throw error.cause ?? error
        })
      }
      await abortAll(causeOf, 60 + latency * 20)
    })
  })
})

function cursorOf(column: string) {
  return {
    columns: [column],
    nulls: 'fail',
    ties: 'drain',
    consistency: 'statement',
    lookback: 0,
    parallel: 1,
    limit: Number.POSITIVE_INFINITY,
    position: undefined,
    onNullsSkipped: () => undefined,
  } as const
}

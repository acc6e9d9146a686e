import type { JobRecord, Target } from 'headgate'
import {
  newExecutionId,
  type OpenContext,
  type OpenTarget,
  RecordBatch,
  type TargetWriter,
  type WriteContext,
} from 'headgate/adapter'
import { type PostgresTargetOptions, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll } from 'vitest'

const job = { type: 'ingestion', id: 'job' }

export const writeContext: WriteContext = {
  ...job,
  executionId: 'job-0',
  signal: new AbortController().signal,
  idempotencyKey: 'job:0',
}

/** How a job opens the target: every call is another execution, later than the ones before. */
export function context(): OpenContext {
  const executionId = newExecutionId('job', Date.now())
  const { signal } = new AbortController()
  return { ...job, executionId, signal, position: undefined, isResumed: false, isResumable: true }
}

export async function write(writer: TargetWriter, records: JobRecord[]): Promise<void> {
  await writer.write(RecordBatch.fromRecords(records), writeContext)
}

/** What the tests of a target in a database need. */
export interface TargetTests {
  readonly pool: pg.Pool
  /** A target, over the table `t` unless said. */
  target(more?: Partial<PostgresTargetOptions>): Target
  /** The rows that a query gives, as arrays. */
  rows(query?: string): Promise<unknown[]>
  /** How many transactions are open, beside the one that asks. */
  openTransactions(): Promise<number>
  /** A writer, which is aborted after the test. */
  opened(to: Target, more?: Partial<OpenContext>): Promise<TargetWriter & Pick<OpenTarget, 'resume'>>
  /** Writes records in one transaction. */
  complete(to: Target, ...batches: JobRecord[][]): Promise<void>
}

/** Makes ready what the tests of a `describe` need. */
export function targetTests(database: { readonly url: string }): TargetTests {
  let pool: pg.Pool
  const writers: TargetWriter[] = []
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
  })
  afterAll(() => pool.end())
  afterEach(async () => {
    for (const writer of writers.splice(0)) await writer.abort?.({ reason: 'over', leaseLost: false })
  })
  const opened = async (to: Target, more: Partial<OpenContext> = {}) => {
    const { writer, resume = 'position' } = await to.open({ ...context(), ...more })
    writers.push(writer)
    return Object.assign(writer, { resume })
  }
  return {
    get pool() {
      return pool
    },
    target: (more = {}) => postgresTarget({ pool, table: 't', ...more }),
    rows: async (query = 'select * from t order by id') => (await pool.query({ text: query, rowMode: 'array' })).rows,
    async openTransactions() {
      const { rows } = await pool.query(`select count(*)::int as count from pg_stat_activity
        where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()`)
      return rows[0].count
    },
    opened,
    async complete(to, ...batches) {
      const writer = await opened(to)
      for (const batch of batches) await write(writer, batch)
      await writer.flush?.(null)
      await writer.commit?.()
    },
  }
}

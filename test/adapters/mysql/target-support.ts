import type { JobRecord, Target } from 'headgate'
import {
  newExecutionId,
  type OpenContext,
  type OpenTarget,
  RecordBatch,
  type TargetWriter,
  type WriteContext,
} from 'headgate/adapter'
import { type MysqlTargetOptions, mysqlTarget } from 'headgate/mysql'
import mysql from 'mysql2/promise'
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

/** What the tests of a target in MySQL need. */
export interface MysqlTests {
  readonly pool: mysql.Pool
  /** A pool whose connections take no files, so that rows come by `insert`. */
  readonly withoutFiles: mysql.Pool
  /** A target, over the table `t` unless said. */
  target(more?: Partial<MysqlTargetOptions>): Target
  /** Runs statements. */
  run(sql: string): Promise<void>
  /** The rows of a query, as arrays of texts. */
  rows(query?: string): Promise<unknown[][]>
  /** A writer, which is aborted after the test. */
  opened(to: Target, more?: Partial<OpenContext>): Promise<TargetWriter & Pick<OpenTarget, 'resume'>>
  /** Writes batches in one transaction. */
  complete(to: Target, ...batches: RecordBatch[]): Promise<void>
}

/** Makes ready what the tests of a `describe` need. */
export function mysqlTests(database: { readonly url: string }): MysqlTests {
  let pool: mysql.Pool
  let withoutFiles: mysql.Pool
  const writers: TargetWriter[] = []
  beforeAll(() => {
    const options = { uri: database.url, multipleStatements: true, dateStrings: true, supportBigNumbers: true }
    pool = mysql.createPool({ ...options, connectionLimit: 20, bigNumberStrings: true })
    withoutFiles = mysql.createPool({ ...options, flags: ['-LOCAL_FILES'] })
  })
  afterAll(async () => {
    await pool.end()
    await withoutFiles.end()
  })
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
    get withoutFiles() {
      return withoutFiles
    },
    target: (more = {}) => mysqlTarget({ ...(more.connectionString === undefined && { pool }), table: 't', ...more }),
    run: async (sql) => void (await pool.query(sql)),
    async rows(query = 'select * from t order by id') {
      const [rows] = await pool.query({ sql: query, rowsAsArray: true, typeCast: (field) => field.string() })
      return rows as unknown[][]
    },
    opened,
    async complete(to, ...batches) {
      const writer = await opened(to)
      for (const batch of batches) await writer.write(batch, writeContext)
      await writer.flush?.(null)
      await writer.commit?.()
    },
  }
}

/** Finds transactions of the database that wait for a lock. The server shows again what it has shown within a tenth of a second. */
export const waitingQuery = `select 1 from information_schema.innodb_trx join information_schema.processlist on id = trx_mysql_thread_id
  where trx_state = 'LOCK WAIT' and db = database()`

/** The messages of an error and its causes. */
export function messagesOf(error: unknown): string {
  const messages: string[] = []
  for (let link = error; link instanceof Error; link = link.cause) messages.push(link.message)
  return messages.join(' | ')
}

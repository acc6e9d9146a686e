import type { JobStorage } from 'headgate'
import type { BeginRequest, ExecutionRecord, FinishRequest, StorageChange } from 'headgate/adapter'
import { type PostgresClient, type PostgresPool, type PostgresStorageOptions, postgresStorage } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, vi } from 'vitest'

/** A statement as storages send it to a client of pg. */
interface SentStatement {
  readonly text: string
  readonly name?: string
}

/** Sends a statement to the server. */
type Send = (statement: SentStatement) => Promise<{ rows: unknown[] }>

/** The connections of a pool, whose statements go through `run`. What listens is left alone. */
export function interceptedPool(pool: pg.Pool, run: (statement: SentStatement, send: Send) => unknown): PostgresPool {
  const intercepted = new WeakMap<pg.PoolClient, PostgresClient>()
  const intercept = (client: pg.PoolClient): PostgresClient =>
    new Proxy(client, {
      get(_, name) {
        const value = client[name as keyof pg.PoolClient] as unknown
        if (name === 'query') return (sent: SentStatement | string) => query(client, sent)
        return typeof value === 'function' ? value.bind(client) : value
      },
    }) as unknown as PostgresClient
  const query = (client: pg.PoolClient, sent: SentStatement | string) => {
    if (typeof sent === 'string') return client.query(sent)
    return run(sent, (statement) => client.query({ ...statement }))
  }
  return {
    async connect() {
      const client = await pool.connect()
      const known = intercepted.get(client) ?? intercept(client)
      intercepted.set(client, known)
      return known
    },
  }
}

let schemas = 0

/** A schema that no other case has. */
export function newSchema(): string {
  schemas++
  return `case_${schemas}`
}

/** Schemas of storages whose cases have ended. To empty one is faster than to make it. */
export function emptySchemas(query: (text: string) => Promise<unknown>) {
  const free: string[] = []
  return {
    take: () => free.pop() ?? newSchema(),
    async giveBack(schema: string, ...storages: readonly JobStorage[]): Promise<void> {
      await Promise.all(storages.map((storage) => storage.close?.()))
      // Tables of so few rows are emptied sooner by a delete than by a truncate, which gives each of them new files. The tally goes
      // last, as a trigger counts in it what leaves the log.
      await query(`do $$ declare name text; begin
        for name in
          select format('%I.%I', schemaname, tablename) from pg_tables
          where schemaname = '${schema}' and tablename not like '%migration' order by tablename
        loop
          execute 'delete from ' || name;
        end loop;
      end $$`)
      free.push(schema)
    },
  }
}

/** A request to begin job `[test/a]`, unless said. */
export function request(overrides: Partial<BeginRequest> = {}): BeginRequest {
  return { type: 'test', id: 'a', state: 'running', node: 'n', lease: 60_000, ...overrides }
}

/** Begins an execution, which nothing stands in the way of. */
export async function begin(storage: JobStorage, overrides: Partial<BeginRequest> = {}): Promise<ExecutionRecord> {
  const { started, execution } = await storage.begin(request(overrides))
  expect(started).toBe(true)
  return execution
}

/** Runs an execution from begin to end. */
export async function run(
  storage: JobStorage,
  overrides: Partial<BeginRequest> = {},
  end: FinishRequest = { state: 'successful' },
): Promise<ExecutionRecord> {
  const finished = await storage.finish(await begin(storage, overrides), end)
  return finished as ExecutionRecord
}

/** Storages on a database, and a pool to look into it. */
export function storagesOn(database: { readonly url: string }) {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())
  return {
    get pool() {
      return pool
    },
    /** A storage that is closed after the test: by default, on a pool of its own. */
    open(options: PostgresStorageOptions): JobStorage {
      const { pool: given, client } = options
      const access = (given ?? client) ? {} : { connectionString: database.url }
      const storage = postgresStorage({ ...access, ...options })
      onTestFinished(() => storage.close?.())
      return storage
    },
    /** The one value that a query gives, as text. */
    async value(text: string, values: unknown[] = []): Promise<string> {
      const { rows } = await pool.query({ text: `select (${text})::text`, values, rowMode: 'array' })
      return rows[0]?.[0]
    },
    /** Waits until a query gives true. */
    async until(text: string, timeout = 10_000): Promise<void> {
      await vi.waitFor(async () => expect(await this.value(text), text).toBe('true'), { timeout, interval: 20 })
    },
  }
}

/** Watches a storage until the test is over: `told` resolves once a change was told. */
export function watch(storage: JobStorage) {
  const changes: StorageChange[] = []
  const stop = storage.watch?.((change) => changes.push(change))
  onTestFinished(() => stop?.())
  const told = (id: string, state: string, timeout = 5000) =>
    vi.waitFor(() => expect(changes).toContainEqual(expect.objectContaining({ type: 'test', id, state })), {
      timeout,
      interval: 5,
    })
  return { changes, told }
}

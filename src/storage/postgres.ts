import {
  type BeginRequest,
  type BeginResult,
  checkOptions,
  type ExecutionRecord,
  type FinishRequest,
  invalid,
  isLive,
  JobError,
  type JobStorage,
  type Lease,
  leaseExpired,
  mayBegin,
  type Progress,
  rule,
  type SaveRequest,
  type SearchFilter,
  type SearchResult,
  type StorageChange,
} from '../index.js'
import { connectionsOf } from '../postgres/connections.js'
import { handleErrors, openPool, type PostgresClient, type PostgresPool } from '../postgres/pool.js'
import { Database, type PostgresQueryable, type Run, type TextRow, type Value } from './_postgres-database.js'
import { type Listen, listenOf, listenWith } from './_postgres-ear.js'
import { Maintenance } from './_postgres-maintenance.js'
import { Notifier } from './_postgres-notifier.js'
import { ReadLimit } from './_postgres-reads.js'
import { isStorable, jsonOf, splitId, toRecord } from './_postgres-record.js'
import { runOn } from './_postgres-run.js'
import { type Names, namesIn } from './_postgres-schema.js'
import { searchIn } from './_postgres-search.js'
import { type Statements, statementsIn } from './_postgres-statements.js'
import { Watch } from './_postgres-watch.js'

export type { PostgresClient, PostgresPool, PostgresQueryable }

/** Where a Postgres storage keeps executions, and for how long. */
export interface PostgresStorageOptions {
  /** A pool of pg, which stays open. One of its connections listens while somebody watches. */
  pool?: PostgresPool
  /** Where the server is, such as `postgres://user@host/database`: for a pool of up to 10 connections that `close` ends. */
  connectionString?: string
  /** Anything else that runs statements, such as PGlite; it stays open. */
  client?: PostgresQueryable
  /** The schema to keep everything in, which is created when it is not there. Default `headgate`. */
  schema?: string
  /** The most ended executions that the log keeps. Default 1,000,000. */
  maxCount?: number
  /** How long the log keeps an ended execution, in milliseconds. Default: as long as `maxCount` allows. */
  maxAge?: number
  /** How often to look for changes that no notification told of, in milliseconds. Default 5,000. */
  pollInterval?: number
  /**
   * How long the server may take for a statement, in milliseconds. Then the statement is cancelled, and its connection is closed.
   * Creating and upgrading the schema may take longer. Not for `client`. Default 10,000.
   */
  statementTimeout?: number
}

const schemaRule = {
  accepts: (value: unknown) =>
    typeof value === 'string' && /^[a-z_][a-z0-9_]{0,49}$/.test(value) && !value.startsWith('pg_'),
  expected: 'a name of up to 50 small letters, digits and underscores that does not begin with `pg_`',
}

const rules = {
  pool: rule.optional(rule.having('connect')),
  connectionString: rule.optional(rule.text),
  client: rule.optional(rule.having('query')),
  schema: rule.optional(schemaRule),
  maxCount: rule.optional(rule.whole(1)),
  maxAge: rule.optional(rule.whole(1)),
  pollInterval: rule.optional(rule.whole(1, 2 ** 31 - 1)),
  statementTimeout: rule.optional(rule.whole(1, 2 ** 31 - 1)),
}

/**
 * Keeps executions in Postgres 13 or later: any number of processes may share a schema. The first statement creates or
 * upgrades the schema. Times are those of the database's clock.
 *
 * Throws `invalid_options` here, and `storage` when the schema is newer than this version of headgate knows.
 */
export function postgresStorage(options: PostgresStorageOptions): JobStorage {
  checkOptions('options', options, rules)
  const { pool, connectionString, client, statementTimeout = 10_000 } = options
  if ([pool, connectionString, client].filter((each) => each !== undefined).length !== 1) {
    throw invalid('options', 'an object with one of `pool`, `connectionString` and `client`', options)
  }
  if (client) {
    const run: Run = ({ text, values }) => client.query(text, values)
    return new PostgresStorage({ run, size: 1, listen: listenWith(client), end: nothing }, options)
  }
  const accessTo = (pool: PostgresPool, end: () => Promise<void>): Access => {
    return { run: runOn(pool, statementTimeout), size: pool.options?.max, listen: listenOf(pool), end }
  }
  if (pool) {
    handleErrors(pool)
    const free = connectionsOf(pool).reserveForStorage()
    return new PostgresStorage(
      accessTo(pool, async () => free()),
      options,
    )
  }
  const own = openPool(connectionString as string)
  return new PostgresStorage(
    accessTo(own, () => own.end()),
    options,
  )
}

/** A way to the database. */
interface Access {
  readonly run: Run
  /** How many statements run at once; `undefined` for the default of pg's pools. */
  readonly size: number | undefined
  readonly listen: Listen | undefined
  end(): Promise<void>
}

class PostgresStorage implements JobStorage {
  readonly #access: Access
  readonly #names: Names
  readonly #sql: Statements
  readonly #database: Database
  readonly #notifier: Notifier
  readonly #watch: Watch
  readonly #maintenance: Maintenance
  readonly #reads: ReadLimit
  #closing: Promise<void> | undefined

  constructor(access: Access, options: PostgresStorageOptions) {
    const { schema = 'headgate', maxCount = 1_000_000, maxAge, pollInterval = 5000 } = options
    const names = namesIn(schema)
    const database = new Database(access.run, names, () => this.#maintenance.schedule())
    const self = crypto.randomUUID()
    const channel = `headgate_${schema}`
    const notifier = new Notifier(database, channel, self)
    this.#access = access
    this.#names = names
    this.#sql = statementsIn(names)
    this.#database = database
    this.#notifier = notifier
    this.#watch = new Watch({ database, names, notifier, self, channel, listen: access.listen, interval: pollInterval })
    this.#maintenance = new Maintenance(database, names, { maxCount, maxAge })
    this.#reads = new ReadLimit(access.size)
  }

  async begin(request: BeginRequest): Promise<BeginResult> {
    const { type, id, state, node, lease, resumedFrom, takeovers, scheduledFor } = request
    const values = [type, id, state, node, lease, resumedFrom, takeovers, scheduledFor]
    return decided(async () => {
      const [row] = await this.#reads.run(() => this.#ask('begin', values), { isStart: true })
      if (row) return { started: true, execution: this.#changed(row) }
      const execution = await this.find(type, id)
      return execution && !mayBegin(request, execution) ? { started: false, execution } : undecided
    })
  }

  async save({ executionId, epoch }: Lease, request: SaveRequest): Promise<ExecutionRecord | undefined> {
    const key = splitId(executionId)
    if (!key) return undefined
    const { lease, state, node } = request
    const values = [key.uuid, key.id, epoch, lease, ...progressOf(request)]
    const [row] =
      node === undefined
        ? await this.#ask(state ? 'saveAndRun' : 'save', values)
        : await this.#ask(state ? 'takeAndRun' : 'take', [...values, node])
    if (!row) return undefined
    return state ? this.#changed(row) : toRecord(row)
  }

  async finish({ executionId, epoch }: Lease, request: FinishRequest): Promise<ExecutionRecord | undefined> {
    const key = splitId(executionId)
    const [row] = key ? await this.#ask('finish', [key.uuid, key.id, epoch, ...endOf(request)]) : []
    if (!row) return undefined
    this.#maintenance.schedule()
    return this.#changed(row)
  }

  async requestAbort(type: string, id: string): Promise<ExecutionRecord | undefined> {
    if (!isStorable(type + id)) return undefined
    return decided(async () => {
      const [row] = await this.#ask('requestAbort', [type, id])
      if (row) return this.#changed(row)
      const execution = await this.find(type, id)
      return !execution || execution.state === 'aborting' || !isLive(execution.state) ? execution : undecided
    })
  }

  async find(type: string, id: string): Promise<ExecutionRecord | undefined> {
    if (!isStorable(type + id)) return undefined
    const [row] = await this.#settled(() => this.#ask('find', [type, id]))
    return row && toRecord(row)
  }

  async live(type: string): Promise<ExecutionRecord[]> {
    if (!isStorable(type)) return []
    const rows = await this.#settled(() => this.#ask('live', [type]))
    return rows.map(toRecord)
  }

  async orphans(): Promise<ExecutionRecord[]> {
    const rows = await this.#settled(() => this.#ask('orphans'))
    return rows.filter(isHit).map(toRecord)
  }

  async search(filter: SearchFilter): Promise<SearchResult<ExecutionRecord>> {
    if (!isStorable(`${filter.type}${filter.id}`)) return { total: 0, hits: [] }
    const { text, values } = searchIn(this.#names, filter)
    const rows = await this.#settled(() => this.#database.query(text, values))
    return { total: Number(rows[0]?.total), hits: rows.filter(isHit).map(toRecord) }
  }

  watch(listener: (change: StorageChange) => void): () => void {
    return this.#watch.add(listener)
  }

  async isWritable(): Promise<boolean> {
    const [row] = await this.#ask('isWritable')
    return row?.answer === 'true'
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#watch.stop()
    await this.#maintenance.close()
    await this.#notifier.flush()
    await this.#access.end()
  }

  /** Runs one of the statements, under a name that no other text has. */
  #ask(statement: keyof Statements, values: readonly Value[] = []): Promise<readonly TextRow[]> {
    const { text, name } = this.#sql[statement]
    return this.#database.query(text, values, name)
  }

  /** Reads until nothing in it has expired: what has is settled, here or by whoever was first. */
  async #settled(read: () => Promise<readonly TextRow[]>): Promise<readonly TextRow[]> {
    return decided(async () => {
      const rows = await this.#reads.run(read)
      if (!rows.some(({ is_expired, has_expired }) => is_expired === 'true' || has_expired === 'true')) return rows
      const expired = await this.#ask('expired')
      await Promise.all(expired.map((row) => this.#settle(row)))
      return undecided
    })
  }

  async #settle(row: TextRow): Promise<void> {
    const record = toRecord(row)
    const end = endOf({ state: 'error', error: leaseExpired(record), isOrphaned: true })
    // As the row has them: a number of JavaScript may not hold what somebody wrote.
    const values = [row.uuid, record.id, row.epoch, ...end, row.lease_until]
    const [ended] = await this.#ask('settle', values)
    if (!ended) return
    this.#maintenance.schedule()
    this.#changed(ended)
  }

  /** Tells of a change of state. Gives what it came to. */
  #changed(row: TextRow): ExecutionRecord {
    const record = toRecord(row)
    const { type, id, executionId, state } = record
    const change = { type, id, executionId, state }
    this.#notifier.tell(change)
    this.#watch.tell(change)
    return record
  }
}

/** Stands for the answer of an attempt in whose middle another process changed the execution. */
const undecided = Symbol('changed meanwhile')

/** How often an attempt is repeated. Each repeat needs a change by another process: so many only a broken row explains. */
const maxAttempts = 100

/** Repeats an attempt until it has an answer. A row that contradicts itself must not keep the server busy for ever. */
async function decided<Answer>(attempt: () => Promise<Answer | typeof undecided>): Promise<Answer> {
  for (let attempts = 0; attempts < maxAttempts; attempts++) {
    const answer = await attempt()
    if (answer !== undecided) return answer
  }
  throw new JobError('storage', 'The storage holds an execution that is not valid: its state and its lease disagree.')
}

/** The values of a statement that writes progress. */
function progressOf({ count, lastId, checkpoint, detail }: Progress): Value[] {
  return [count, jsonOf(lastId), jsonOf(checkpoint), jsonOf(detail)]
}

/** The values of a statement that ends an execution, after those that find it. */
function endOf({ state, error, isOrphaned, ...progress }: FinishRequest): Value[] {
  return [...progressOf(progress), state, jsonOf(error), isOrphaned && 'true']
}

/** A row that tells of an execution: where there is none, one row may tell what else was asked. */
function isHit({ uuid }: TextRow): boolean {
  return uuid !== null
}

async function nothing(): Promise<void> {}

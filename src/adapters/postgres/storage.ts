import {
  type AbortRequest,
  type BeginRequest,
  type BeginResult,
  type ClaimRequest,
  canBegin,
  checkOptions,
  type ExecutionPage,
  type ExecutionRecord,
  type FinishRequest,
  isLive,
  JobError,
  type JobName,
  type JobStorage,
  keyOf,
  type LeaseToken,
  type LiveFilter,
  leaseExpired,
  mapInTurns,
  type OpenEnds,
  type PageRequest,
  type Pauses,
  type Progress,
  pageOf,
  pageSize,
  type RenewRequest,
  type ResetRequest,
  type ResetResult,
  rule,
  type SearchResult,
  type StorageChange,
  type StorageFilter,
  succeedsWithin,
  systemClock,
} from '../../adapter.js'
import { checkOneOption, connectionSecrets } from '../shared/index.js'
import {
  connectionsOf,
  handleErrors,
  openPool,
  type PostgresClient,
  type PostgresPool,
  poolRule,
} from './client/index.js'
import {
  ChangeListeners,
  Database,
  endsBy,
  isStorable,
  jsonOf,
  type Listen,
  listenOf,
  listenWith,
  Maintenance,
  type Names,
  Notifier,
  namesIn,
  type PostgresQueryable,
  pausesBy,
  ReadLimiter,
  type Run,
  runOn,
  type Statements,
  searchIn,
  splitId,
  statementsIn,
  type TextRow,
  toRecord,
  totalIn,
  type Value,
} from './storage/index.js'

export type { PostgresClient, PostgresPool, PostgresQueryable }

/** The options of {@link postgresStorage}. */
export interface PostgresStorageOptions {
  /** A pool of pg, which stays open. The storage listens on one of its connections while a registry watches. */
  pool?: PostgresPool
  /**
   * The address of the server, such as `postgres://user@host/database`. `close` ends its pool of up to 10
   * connections.
   */
  connectionString?: string
  /** Any other client that runs statements, such as PGlite. It stays open. */
  client?: PostgresQueryable
  /** The schema of all tables. headgate creates it when it is missing. Default `headgate`. */
  schema?: string
  /** The maximum number of ended executions in the log. Default 1,000,000. */
  maxCount?: number
  /** How long the log keeps an ended execution, in milliseconds. Default: no limit. */
  maxAge?: number
  /** How often the storage polls for changes without a notification, in milliseconds. Default 5,000. */
  pollInterval?: number
  /**
   * How long the server may take for a statement, in milliseconds. After that, the statement is cancelled and its
   * connection closed. Creating and upgrading the schema may take longer. Not for `client`. Default 10,000.
   */
  statementTimeout?: number
}

const schemaRule = {
  accepts: (value: unknown) =>
    typeof value === 'string' && /^[a-z_][a-z0-9_]{0,49}$/.test(value) && !value.startsWith('pg_'),
  expected: 'a name of up to 50 small letters, digits and underscores that does not begin with `pg_`',
}

const rules = {
  pool: poolRule,
  connectionString: rule.optional(rule.text),
  client: rule.optional(rule.having('query')),
  schema: rule.optional(schemaRule),
  maxCount: rule.optional(rule.whole(1)),
  maxAge: rule.optional(rule.milliseconds(1)),
  pollInterval: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  statementTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
}

/**
 * Stores executions in Postgres 13 or later. Any number of processes may share a schema. The first statement creates
 * or upgrades the schema. Times come from the clock of the database.
 *
 * Throws `invalid_options` here, and `storage` when the schema is newer than this version of headgate supports.
 */
export function postgresStorage(options: PostgresStorageOptions): JobStorage {
  checkOptions('options', options, rules)
  const { pool, connectionString, client, statementTimeout = 10_000 } = options
  checkOneOption(options, ['pool', 'connectionString', 'client'])
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
  const ownPool = openPool('storage', connectionString as string)
  return new PostgresStorage(
    accessTo(ownPool, () => ownPool.end()),
    options,
  )
}

/** How long a closing storage waits for pending work, in milliseconds. */
const closeTime = 1000

/** Access to the database. */
interface Access {
  readonly run: Run
  /** How many statements run at once. `undefined` means the default of pg. */
  readonly size: number | undefined
  readonly listen: Listen | undefined
  end(): Promise<void>
}

class PostgresStorage implements JobStorage {
  readonly secrets: readonly string[]
  readonly #access: Access
  readonly #names: Names
  readonly #sql: Statements
  readonly #database: Database
  readonly #notifier: Notifier
  readonly #watch: ChangeListeners
  readonly #maintenance: Maintenance
  readonly #reads: ReadLimiter
  readonly pauses: Pauses = pausesBy((...asked) => this.#ask(...asked))
  readonly ends: OpenEnds = endsBy((...asked) => this.#ask(...asked))
  #closing: Promise<void> | undefined

  constructor(access: Access, options: PostgresStorageOptions) {
    const { schema = 'headgate', maxCount = 1_000_000, maxAge, pollInterval = 5000 } = options
    const names = namesIn(schema)
    const database = new Database(access.run, names, () => this.#maintenance.schedule())
    const [self, channel] = [crypto.randomUUID(), `headgate_${schema}`]
    const notifier = new Notifier(database, channel, self)
    this.secrets = connectionSecrets(options.connectionString, options.pool, options.client)
    this.#access = access
    this.#names = names
    this.#sql = statementsIn(names)
    this.#database = database
    this.#notifier = notifier
    this.#watch = new ChangeListeners({
      database,
      names,
      notifier,
      self,
      channel,
      listen: access.listen,
      interval: pollInterval,
    })
    this.#maintenance = new Maintenance(database, names, { maxCount, maxAge })
    this.#reads = new ReadLimiter(access.size)
  }

  async begin(request: BeginRequest): Promise<BeginResult> {
    const { type, id, partition, state, node, lease, resumedFrom, takeovers, scheduledFor } = request
    const start = [type, id, partition, state, node, lease, resumedFrom, takeovers, scheduledFor]
    const { params, notifiesEnd, checkpoint } = request
    const values = [...start, jsonOf(params), notifiesEnd && 'true', jsonOf(checkpoint)]
    return retried(async () => {
      const [row] = await this.#reads.run(() => this.#ask('begin', values), { isStart: true })
      if (row) return { started: true, execution: this.#changed(row) }
      const execution = await this.find(type, id, partition)
      // The statement has compared the lease with the time of the server.
      return execution && !canBegin(request, execution, 0) ? { started: false, execution } : retry
    })
  }

  async renew(lease: LeaseToken, request: RenewRequest): Promise<ExecutionRecord | undefined> {
    const [row] = await this.#update('renew', lease, [request.lease, ...progressOf(request)])
    return row && toRecord(row)
  }

  async claim(waiting: LeaseToken, { node, lease }: ClaimRequest): Promise<ExecutionRecord | undefined> {
    const [row] = await this.#update('claim', waiting, [lease, node])
    return row && this.#changed(row)
  }

  async run(lease: LeaseToken): Promise<ExecutionRecord | undefined> {
    const [row] = await this.#update('run', lease)
    return row && this.#changed(row)
  }

  async finish(lease: LeaseToken, request: FinishRequest): Promise<ExecutionRecord | undefined> {
    const [row] = await this.#update('finish', lease, endOf(request))
    if (!row) return undefined
    this.#maintenance.schedule()
    return this.#changed(row)
  }

  async requestAbort({ type, id, partition, reason, executionId }: AbortRequest): Promise<ExecutionRecord | undefined> {
    if (!isStorable(type + id)) return undefined
    return retried(async () => {
      const [row] = await this.#ask('requestAbort', [type, id, partition, jsonOf(reason), executionId])
      if (row) return this.#changed(row)
      const execution = await this.find(type, id, partition)
      if (executionId !== undefined && execution?.executionId !== executionId) return execution
      return !execution || execution.state === 'aborting' || !isLive(execution.state) ? execution : retry
    })
  }

  async find(type: string, id: string, partition?: number): Promise<ExecutionRecord | undefined> {
    if (!isStorable(type + id)) return undefined
    const [row] = await this.#readSettled(() => this.#ask('find', [type, id, partition]))
    return row && toRecord(row)
  }

  async live({ type, id, omitsDetail = false, ...page }: LiveFilter): Promise<ExecutionPage> {
    if (!isStorable(`${type}${id}`)) return { hits: [] }
    return this.#page('live', page, [type, id, `${omitsDetail}`])
  }

  async orphans(page: PageRequest = {}): Promise<ExecutionPage> {
    return this.#page('orphans', page)
  }

  async search(filter: StorageFilter): Promise<SearchResult<ExecutionRecord>> {
    if (!isStorable(`${filter.type}${filter.id}`)) return { total: 0, hits: [] }
    const { text, values } = searchIn(this.#names, filter)
    const rows = await this.#readSettled(() => this.#database.query(text, values), isList)
    return { total: totalIn(this.#names, rows[0]?.total), hits: await mapInTurns(rows.filter(isHit), toRecord) }
  }

  async latest(jobs: readonly JobName[]): Promise<ExecutionRecord[]> {
    const names = jobs.filter(({ type, id }) => isStorable(type + id)).map(({ type, id }) => [type, id])
    const rows = await this.#readSettled(() => this.#ask('latest', [jsonOf(names)]))
    return mapInTurns(rows, toRecord)
  }

  async reset(type: string, id: string, { checkpoint, executionId }: ResetRequest): Promise<ResetResult> {
    return retried(async () => {
      const [row] = await this.#ask('reset', [type, id, jsonOf(checkpoint), executionId])
      // A row with the epoch 0 is no execution.
      if (row) return row.epoch === '0' ? { reset: true } : { reset: true, execution: toRecord(row) }
      const [live] = (await this.live({ type, id, includePartitions: true, size: 1 })).hits
      const last = live ?? (await this.find(type, id))
      if (live || (executionId !== undefined && last?.executionId !== executionId))
        return { reset: false, ...(last && { execution: last }) }
      return !last && checkpoint === null ? { reset: true } : retry
    })
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
    await succeedsWithin(systemClock, closeTime, this.#flush())
    await this.#access.end()
  }

  async #flush(): Promise<void> {
    await this.#watch.stop()
    await this.#maintenance.close()
    await this.#notifier.flush()
  }

  /** Runs one of the statements under its unique name. */
  #ask(statement: keyof Statements, values: readonly Value[] = []): Promise<readonly TextRow[]> {
    const { text, name } = this.#sql[statement]
    return this.#database.query(text, values, name)
  }

  /** Runs a statement on the execution of a lease. */
  async #update(
    statement: 'renew' | 'claim' | 'run' | 'finish',
    { executionId, epoch }: LeaseToken,
    values: readonly Value[] = [],
  ): Promise<readonly TextRow[]> {
    const key = splitId(executionId)
    return key ? this.#ask(statement, [key.uuid, key.id, epoch, ...values]) : []
  }

  async #page(statement: 'live' | 'orphans', page: PageRequest, values: readonly Value[] = []): Promise<ExecutionPage> {
    const { size = pageSize, searchAfter, includePartitions = false } = page
    const uuid = searchAfter === undefined ? undefined : splitId(searchAfter)?.uuid
    const ask = () => this.#ask(statement, [`${includePartitions}`, uuid, size, ...values])
    const rows = await this.#readSettled(ask, isList)
    return pageOf(await mapInTurns(rows.filter(isHit), toRecord), size)
  }

  /**
   * Reads until the result contains no expired lease. Expired executions are ended, here or by another process. A list is given as it is
   * when an execution cannot be ended, as its row is not valid: the others matter.
   */
  async #readSettled(read: () => Promise<readonly TextRow[]>, { isList = false } = {}): Promise<readonly TextRow[]> {
    let attempts = 0
    return retried(async () => {
      attempts++
      const rows = await this.#reads.run(read)
      if (!rows.some(({ has_expired }) => has_expired === 'true')) return rows
      if (isList && attempts >= maxListAttempts) return rows
      const expired = await this.#ask('expired')
      await Promise.all(expired.map((row) => this.#settle(row)))
      return retry
    })
  }

  async #settle(row: TextRow): Promise<void> {
    const record = toRecord(row)
    const end = endOf({ state: 'error', error: leaseExpired(record), isOrphaned: true })
    // The values of the row as text: a JavaScript number may not hold them exactly.
    const values = [row.uuid, record.id, row.epoch, ...end, row.lease_until]
    const [ended] = await this.#ask('settle', values)
    if (!ended) return
    this.#maintenance.schedule()
    this.#changed(ended)
  }

  /** Notifies processes and listeners of a change of state. Returns the record. */
  #changed(row: TextRow): ExecutionRecord {
    const record = toRecord(row)
    const change = { ...keyOf(record), executionId: record.executionId, state: record.state }
    this.#notifier.notify(change)
    this.#watch.emit(change)
    return record
  }
}

const isList = { isList: true }

/** How often the executions of a list are ended and read again, when others expire in between. */
const maxListAttempts = 10

/** Stands for an attempt during which another process changed the execution. */
const retry = Symbol('changed by another process')

/**
 * How often an attempt is repeated. Each repeat needs a change by another process, so only a broken row explains this
 * many.
 */
const maxAttempts = 100

/**
 * Repeats an attempt until it has an answer. Limits the attempts, so that a row that contradicts itself cannot keep
 * the server busy.
 */
async function retried<Answer>(attempt: () => Promise<Answer | typeof retry>): Promise<Answer> {
  for (let attempts = 0; attempts < maxAttempts; attempts++) {
    const answer = await attempt()
    if (answer !== retry) return answer
  }
  throw new JobError('storage', 'The storage holds an execution that is not valid: its state and its lease disagree.')
}

/** The values of a statement that saves progress. */
function progressOf({ count, lastId, checkpoint, detail, logTail }: Progress): Value[] {
  return [count, jsonOf(lastId), jsonOf(checkpoint), jsonOf(detail), jsonOf(logTail)]
}

/** The values of a statement that ends an execution, after those that identify it. */
function endOf({ state, error, failure, isOrphaned, ...progress }: FinishRequest): Value[] {
  return [...progressOf(progress), state, jsonOf(error), isOrphaned && 'true', jsonOf(failure)]
}

/** Whether a row holds an execution. A result without executions may still have one row for its other columns. */
function isHit({ uuid }: TextRow): boolean {
  return uuid !== null
}

async function nothing(): Promise<void> {}

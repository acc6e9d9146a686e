import {
  type AddOptions,
  checkOptions,
  createAbortController,
  type Dispatcher,
  type DispatchWorker,
  invalid,
  JobError,
  rule,
  type ScheduleEngine,
  type WaitingExecution,
  type WaitingPage,
} from '../../adapter.js'
import { connectionSecrets, loadDriver } from '../shared/index.js'
import { hasBackends } from './backend.js'
import { type Connect, reasonOf } from './connect.js'
import { DispatcherQueues } from './dispatcher-queues.js'
import { guardedFactory } from './postgres.js'

/** The options of {@link bullmqDispatcher}. */
export interface BullmqDispatcherOptions {
  /**
   * The connection for BullMQ: a URL, a Redis client or its options; with `backend`, a pool of `pg` or its options.
   * You close what you created. A client of `ioredis` needs `maxRetriesPerRequest: null` and no `keyPrefix`.
   */
  connection: object | string
  /** The backend of BullMQ. Default: Redis. For Postgres: `createPostgresBackend` of `bullmq` 6. */
  backend?: (...options: never[]) => unknown
  /**
   * The name of the queue. Registries with the same name share it, and should define the same jobs. Default
   * `headgate`.
   */
  queue?: string
  /** The prefix of the Redis keys. Default: that of BullMQ. */
  prefix?: string
  /**
   * How long the engine waits for a sign of life of a process before it gives its executions to others, in
   * milliseconds, 1,000 or more. Default 30,000.
   */
  lockDuration?: number
}

const optionRules = {
  connection: {
    accepts: (value: unknown) => (typeof value === 'object' && value !== null) || rule.text.accepts(value),
    expected: 'a URL, a Redis client, a pool of `pg` with `backend`, or options of one',
  },
  backend: rule.optional(rule.aFunction),
  queue: rule.optional({
    accepts: (value: unknown) => typeof value === 'string' && /^[^:{}]{1,200}$/.test(value),
    expected: 'a name of 1 to 200 characters without colons and braces',
  }),
  prefix: rule.optional(rule.text),
  lockDuration: rule.optional(rule.milliseconds(1000)),
}

/**
 * How long a connection to Redis waits for an answer before it is opened anew, in milliseconds. Longer than the 10
 * seconds that a worker may wait for an execution.
 */
const silenceTimeout = 15_000

/**
 * Creates a shared queue on BullMQ: an execution runs in any registry of the same storage and queue that has the job
 * defined and a free slot. Pass it as the `dispatcher` option of each registry. Needs `bullmq` 5.77 or later; 6 on
 * Postgres. Throws `invalid_options`.
 */
export function bullmqDispatcher(options: BullmqDispatcherOptions): Dispatcher {
  checkOptions('options', options, optionRules)
  checkAddress(options.connection)
  if (options.backend === undefined) checkClient(options.connection)
  return new BullmqDispatcher(options)
}

/** Refuses the address of another server, which the driver would read as one of Redis. The text itself may hold a password. */
function checkAddress(connection: object | string): void {
  if (typeof connection !== 'string' || !connection.includes('://') || /^(rediss?|postgres(ql)?):/i.test(connection))
    return
  const expected = 'a URL such as `redis://host:6379`'
  throw new JobError('invalid_options', `Expected \`connection\` to be ${expected}, got a text that is not one`)
}

/** Refuses connections that BullMQ would reject later with less explanation. */
function checkClient(connection: object | string): void {
  // An `import` of `createPostgresBackend` from BullMQ 5 is `undefined`.
  if (isPostgres(connection))
    throw invalid('backend', '`createPostgresBackend` of `bullmq` 6, as `connection` is one to Postgres', undefined)
  const { defineCommand, options = {} } = connection as { defineCommand?: unknown; options?: Record<string, unknown> }
  if (typeof defineCommand !== 'function') return
  const { maxRetriesPerRequest, keyPrefix } = options
  if (maxRetriesPerRequest)
    throw invalid('connection', 'a client with `maxRetriesPerRequest: null`', maxRetriesPerRequest)
  if (keyPrefix) throw invalid('connection', 'a client without `keyPrefix`; the option `prefix` does that', keyPrefix)
}

function isPostgres(connection: object | string): boolean {
  if (typeof connection === 'string') return /^postgres(ql)?:/i.test(connection)
  return 'connectionString' in connection || typeof (connection as { query?: unknown }).query === 'function'
}

/** Loaded by BullMQ, which needs it to connect. A name that bundlers do not follow. */
const redisDriver: string = 'ioredis'

class BullmqDispatcher implements Dispatcher {
  readonly isShared = true
  readonly secrets: readonly string[]
  readonly schedules: ScheduleEngine = {
    set: (...given) => {
      // The queue may still open. Of two definitions, the one that was given later applies.
      const since = this.#worker.clock.now()
      // That the queue could not be opened is logged already.
      void this.#queues.then((queues) => queues.setSchedule(since, ...given)).catch(() => undefined)
    },
    remove: (job) => void this.#queues.then((queues) => queues.removeSchedule(job)).catch(() => undefined),
  }
  readonly #name: string
  readonly #connect: Omit<Connect, 'driver'>
  readonly #closing = createAbortController()
  #worker!: DispatchWorker
  #queues!: Promise<DispatcherQueues>
  #opened: DispatcherQueues | undefined
  /** Why there is no queue, until the process starts again: a package is missing. */
  #notOpened: string | undefined

  constructor({ queue = 'headgate', connection, backend, prefix, lockDuration = 30_000 }: BullmqDispatcherOptions) {
    this.#name = queue
    this.secrets = connectionSecrets(connection)
    const options = typeof connection === 'object' ? connection : optionsOfUrl(connection, backend)
    const connected =
      backend === undefined && !isClient(options) ? { socketTimeout: silenceTimeout, ...options } : options
    const factory = backend && guardedFactory(backend)
    this.#connect = { connection: connected, backend: factory, prefix, lockDuration, closing: this.#closing.signal }
  }

  work(worker: DispatchWorker): void {
    this.#worker = worker
    this.#queues = this.#open(worker)
    this.#queues.catch((error) => {
      this.#notOpened = `The queue [${this.#name}] could not be opened: ${reasonOf(error)}`
      worker.warn(error, `The queue [${this.#name}] could not be opened.`)
    })
  }

  async add(waiting: readonly WaitingExecution[], options?: AddOptions): Promise<void> {
    await (await this.#queues).add(waiting, options)
  }

  async remove(executionId: string): Promise<boolean> {
    return (await this.#queues).remove(executionId)
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    return (await this.#queues).move(executionId, priority)
  }

  async waiting(page: { from: number; size: number }): Promise<WaitingPage> {
    return (await this.#queues).waiting(page)
  }

  get problem(): string | undefined {
    return this.#notOpened ?? this.#opened?.problem
  }

  async check(signal: AbortSignal): Promise<void> {
    await (await this.#queues).check(signal)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    const queues = await this.#queues.catch(() => undefined)
    await queues?.close()
  }

  async #open(worker: DispatchWorker): Promise<DispatcherQueues> {
    const loaded: { default?: object } = await loadDriver('dispatcher', 'bullmq', () => import('bullmq'))
    const { connection, backend } = this.#connect
    // BullMQ alone would try again for ever, without a word of what is missing.
    if (!backend && !isClient(connection)) await loadDriver('dispatcher', redisDriver, () => import(redisDriver))
    // Bundlers show a CommonJS package as `default` only.
    const { default: driver = loaded } = loaded
    checkVersion(driver, backend === undefined)
    this.#opened = new DispatcherQueues(this.#name, { driver, ...this.#connect }, worker)
    return this.#opened
  }
}

/** Applications may have another version for queues of their own. */
function checkVersion(driver: { Queue?: { prototype: object } }, isOnRedis: boolean): void {
  // What makes the clients of Redis alike.
  const isOld = !('createIORedisClient' in driver)
  if (!isOld && (isOnRedis || hasBackends(driver.Queue?.prototype ?? {}))) return
  const expected = isOnRedis ? '5.77 or later' : '6, as the dispatcher has a `backend`'
  const message = `Expected the package \`bullmq\` in version ${expected}: run \`npm install bullmq@6\`.`
  throw new JobError('dispatcher', message, { isTransient: false })
}

/** Whether a connection is a client of Redis, not its options. */
function isClient(connection: object): boolean {
  return typeof (connection as { duplicate?: unknown }).duplicate === 'function'
}

function optionsOfUrl(url: string, backend: unknown): object {
  return backend === undefined ? { url } : { connectionString: url }
}

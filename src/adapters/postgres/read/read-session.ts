import { JobError, type Query, type Row, succeedsWithin, systemClock } from '../../../adapter.js'
import { SilenceWatch } from '../../shared/index.js'
import {
  cancelUntilIdle,
  liftTimeouts,
  type PostgresClient,
  type PostgresPool,
  reach,
  type ServerTransaction,
  terminate,
  transactionIn,
  transactionQuery,
} from '../client/index.js'
import {
  type Field,
  fieldsOf,
  Portal,
  type PostgresRows,
  type PrepareValue,
  type RowFormat,
} from '../protocol/index.js'

/** The timeouts of a session, in milliseconds. */
export interface SessionTimeouts {
  /** For an answer of the server. `undefined` means no limit. */
  readonly statementTimeout: number | undefined
  /** How long the server may be silent before the session checks that it can be reached. */
  readonly silenceTimeout: number
}

/** The rows of a small result, and its fields. */
export interface TextResult {
  readonly rows: readonly Row[]
  readonly fields: readonly Field[]
}

const rawText = { rowMode: 'array', types: { getTypeParser: () => (raw: string) => raw } } as const

/** How long the server may take to cancel a query before its connection is closed, in milliseconds. */
const cancelTimeout = 1000

/** One transaction on one connection, until the connection is released. One query at a time is open. */
export class ReadSession {
  readonly #client: PostgresClient
  readonly #prepareValue: PrepareValue
  readonly #signal: AbortSignal
  readonly #statementTimeout: number | undefined
  readonly #silence: SilenceWatch
  #portal: Portal | undefined
  #pool: PostgresPool | undefined
  /** Identifies the transaction on the server. */
  #transaction: ServerTransaction | undefined
  /** The pending request. Settles when the server answers. */
  #work: Promise<unknown> | undefined
  /** Rejects the pending call. */
  #interrupt: (reason: unknown) => void = ignore
  /** The first failure between two fetches. The next fetch throws it. */
  #failure: unknown
  #isCommitted = false
  /** Whether the server has accepted a cancel request. */
  #isCancelAccepted = false
  #released: Promise<void> | undefined

  constructor(
    client: PostgresClient,
    signal: AbortSignal,
    { statementTimeout, silenceTimeout }: SessionTimeouts,
    prepareValue: PrepareValue,
  ) {
    this.#client = client
    this.#prepareValue = prepareValue
    this.#signal = signal
    this.#statementTimeout = statementTimeout
    this.#silence = new SilenceWatch({
      reach: (within) => reach(client, within),
      timeout: silenceTimeout,
      code: 'datasource',
      onLost: this.#stop,
    })
    client.on('error', this.#stop)
    signal.addEventListener('abort', this.#abort)
  }

  /**
   * Begins the transaction on a connection of `pool`, with settings for this transaction only. No timeout of the
   * server counts the time of the target.
   */
  async begin(pool: PostgresPool, settings: string): Promise<void> {
    this.#pool = pool
    await this.#ask(async () => {
      const liftStatements = await liftTimeouts(pool, this.#client)
      const answers = await this.#client.query(`begin; ${liftStatements}; ${settings}; ${transactionQuery}`)
      this.#transaction = transactionIn(answers)
    })
  }

  /** Runs a query with a small result, as text. */
  run({ text, values }: Query): Promise<TextResult> {
    return this.#ask(async () => (await this.#client.query({ text, values: [...values], ...rawText })) as TextResult)
  }

  /** Returns the fields of a query without running it, or `undefined` for a query that returns no rows. */
  describe(text: string): Promise<readonly Field[] | undefined> {
    return this.#ask(() => fieldsOf(this.#client, text))
  }

  /**
   * Opens a query, after the previous one was read to its end. `formatOf` is called with the fields of the result,
   * before the first rows arrive.
   */
  open(query: Query, formatOf: (fields: readonly Field[]) => RowFormat): void {
    this.#checkUsable()
    this.#portal = new Portal(this.#client, query, this.#prepareValue, formatOf)
  }

  /**
   * Fetches up to `rows` rows, fewer when about `bytes` bytes have arrived. Returns `undefined` when there are no
   * more.
   */
  fetch(rows: number, bytes: number): Promise<PostgresRows | undefined> {
    return this.#ask(() => (this.#portal as Portal).fetch(rows, bytes))
  }

  /** Whether the last row of the open query has arrived. */
  get isAtEnd(): boolean {
    return this.#portal?.isAtEnd ?? false
  }

  /** Commits the transaction, unless it has ended, and releases the connection. */
  async commit(): Promise<void> {
    if (this.#isCommitted) return
    await this.#ask(async () => this.#client.query('commit'))
    this.#isCommitted = true
    await this.release()
  }

  /**
   * Releases the connection. Before that, cancels a running query and rolls back a query that was not read to its
   * end. A connection that does not become idle is closed. Never rejects.
   */
  release(): Promise<void> {
    this.#released ??= this.#release()
    return this.#released
  }

  readonly #abort = () => this.#stop(this.#signal.reason)

  /** Handles an abort, a lost connection or a late answer: rejects the pending call and releases the connection. */
  readonly #stop = (reason: unknown) => {
    this.#fail(reason)
    void this.release()
  }

  readonly #fail = (reason: unknown) => {
    this.#failure ??= reason
    this.#silence.stop()
    this.#interrupt(reason)
  }

  /** Waits until the server answers or the call is interrupted. */
  #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      this.#checkUsable()
      this.#interrupt = reject
      const timer = this.#startTimer()
      this.#silence.start()
      // Runs before the caller can send the next request.
      const settle = () => {
        clearTimeout(timer)
        this.#silence.stop()
        this.#work = undefined
      }
      this.#work = work().finally(settle).then(resolve, reject)
    })
  }

  /** After an abort or a failure, another user of the pool may have the connection. */
  #checkUsable(): void {
    this.#signal.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
  }

  #startTimer(): NodeJS.Timeout | undefined {
    const timeout = this.#statementTimeout
    if (timeout === undefined) return undefined
    return setTimeout(
      () =>
        this.#stop(
          new JobError('datasource', `The server did not answer within ${timeout} ms.`, { isTransient: true }),
        ),
      timeout,
    )
  }

  async #release(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#abort)
    const isIdle = await succeedsWithin(systemClock, cancelTimeout, this.#reset())
    this.#client.release(!isIdle)
    this.#client.off('error', this.#stop)
    // A statement that swallows the cancel request runs on and does not notice that the connection is closed.
    const isSwallowed = this.#isCancelAccepted && !isIdle
    if (isSwallowed && this.#pool && this.#transaction) await terminate(this.#pool, this.#transaction, cancelTimeout)
  }

  /** Whether the server is still working. */
  get #isBusy(): boolean {
    return this.#work !== undefined || this.#portal?.isBusy === true
  }

  async #reset(): Promise<void> {
    if (this.#isBusy) await this.#cancel()
    if (!this.#isCommitted) await this.#client.query('rollback')
  }

  async #cancel(): Promise<void> {
    const idle = this.#becomeIdle()
    const onSent = () => {
      this.#isCancelAccepted = true
    }
    await cancelUntilIdle('datasource', this.#client, idle, cancelTimeout, onSent)
    await idle
  }

  async #becomeIdle(): Promise<void> {
    await this.#work
    // It may end with the error of the cancelled query.
    await this.#portal?.drain().catch(ignore)
  }
}

function ignore(): void {}

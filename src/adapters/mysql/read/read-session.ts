import { JobError, type Query, succeedsWithin, systemClock } from '../../../adapter.js'
import { SilenceWatch } from '../../shared/index.js'
import {
  cancelUntilIdle,
  identityQuery,
  isInterrupted,
  liftLimit,
  type MysqlConnection,
  reach,
  readSettings,
  settingStatements,
  settingsQueryOf,
} from '../client/index.js'
import {
  type DescribedColumn,
  describe,
  type MysqlRows,
  noRowsFailure,
  Portal,
  type ReadsOf,
  resultOf,
  statementsOf,
  type TextResult,
} from '../protocol/index.js'

/** The timeouts of a session, in milliseconds. */
export interface SessionTimeouts {
  /** For an answer of the server. `undefined` means no limit. */
  readonly statementTimeout: number | undefined
  /** How long the server may be silent before the session checks that it can be reached. */
  readonly silenceTimeout: number
}

/** How long the server may take to cancel a query before its connection is closed, in milliseconds. */
const cancelTimeout = 1000

/** One transaction on one connection, until the connection is released. One query at a time is open. */
export class ReadSession {
  readonly #connection: MysqlConnection
  readonly #signal: AbortSignal
  readonly #statementTimeout: number | undefined
  readonly #silence: SilenceWatch
  #portal: Portal | undefined
  /** The id of the connection on the server. */
  #id: string | undefined
  /** Begins a transaction. */
  #begin: readonly string[] = []
  /** Gives the settings of the session back. */
  #restore: string | undefined
  /** Statements that forget the values of the open query. */
  #after: readonly string[] = []
  /** The pending request. Settles when the server answers. */
  #work: Promise<unknown> | undefined
  /** Rejects the pending call. */
  #interrupt: (reason: unknown) => void = ignore
  /** The first failure between two fetches. The next fetch throws it. */
  #failure: unknown
  #isCommitted = false
  #released: Promise<void> | undefined

  constructor(connection: MysqlConnection, signal: AbortSignal, { statementTimeout, silenceTimeout }: SessionTimeouts) {
    this.#connection = connection
    this.#signal = signal
    this.#statementTimeout = statementTimeout
    this.#silence = new SilenceWatch({
      reach: (within) => reach(connection, within),
      timeout: silenceTimeout,
      code: 'datasource',
      onLost: this.#stop,
    })
    connection.on('error', this.#stop)
    signal.addEventListener('abort', this.#abort)
  }

  /** Sets the session up and runs the statements that begin the transaction. */
  async begin(statements: readonly string[]): Promise<void> {
    await this.#ask(async () => {
      const identity = await resultOf(this.#connection, identityQuery)
      const [id, limit] = identity.rows[0] as readonly unknown[]
      this.#id = String(id)
      await resultOf(this.#connection, liftLimit)
      const settings = await resultOf(this.#connection, settingsQueryOf(readSettings))
      const { set, restore } = settingStatements(readSettings, settings.rows, String(limit))
      this.#restore = restore
      this.#begin = statements
      for (const statement of [set, ...statements]) await resultOf(this.#connection, statement)
    })
  }

  /** Runs a query with a small result, as text. */
  run(query: Query): Promise<TextResult> {
    return this.#ask(async () => {
      const { before, run, after } = statementsOf(query)
      await this.#forget()
      this.#after = after
      for (const statement of before) await resultOf(this.#connection, statement)
      return resultOf(this.#connection, run)
    })
  }

  /**
   * Describes the columns of a query without running it, as far as the server can. Throws `invalid_options` for a query that returns no
   * rows.
   */
  async describe(text: string): Promise<readonly DescribedColumn[]> {
    const columns = await this.#ask(() => describe(this.#connection, text))
    if (columns?.length === 0) throw noRowsFailure(text)
    return columns ?? []
  }

  /**
   * Opens a query, after the previous one was read to its end. Batches have up to `rows` rows, fewer when about `bytes` bytes have arrived.
   * `readsOf` is called with the fields of the result, before the first rows arrive.
   */
  async open(query: Query, readsOf: ReadsOf, rows: number, bytes: number): Promise<void> {
    await this.#ask(async () => {
      const { before, run, after } = statementsOf(query)
      await this.#forget()
      this.#after = after
      for (const statement of before) await resultOf(this.#connection, statement)
      this.#portal = new Portal(this.#connection, run, readsOf, rows, bytes)
    })
  }

  /** Fetches a batch of rows. Returns `undefined` when there are no more. */
  fetch(): Promise<MysqlRows | undefined> {
    return this.#ask(() => (this.#portal as Portal).fetch())
  }

  /** Whether the last row of the open query was fetched. */
  get isAtEnd(): boolean {
    return this.#portal?.isAtEnd ?? false
  }

  /** Whether the transaction was committed. */
  get isCommitted(): boolean {
    return this.#isCommitted
  }

  /** Commits the transaction, and begins the next one. */
  renew(): Promise<void> {
    return this.#ask(async () => {
      for (const statement of ['commit', ...this.#begin]) await resultOf(this.#connection, statement)
    })
  }

  /** Commits the transaction, unless it has ended, and releases the connection. */
  async commit(): Promise<void> {
    if (this.#isCommitted) return
    await this.#ask(() => resultOf(this.#connection, 'commit'))
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
    this.#failure ??= reason
    this.#silence.stop()
    this.#interrupt(reason)
    void this.release()
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
    const isReset = await succeedsWithin(systemClock, cancelTimeout, this.#reset())
    if (isReset) this.#connection.release()
    else close(this.#connection)
    this.#connection.off('error', this.#stop)
  }

  /** Whether the server is still working. */
  get #isBusy(): boolean {
    return this.#work !== undefined || this.#portal?.isBusy === true
  }

  async #reset(): Promise<void> {
    if (this.#isBusy) await this.#cancel()
    await this.#forget()
    if (!this.#isCommitted) await resultOf(this.#connection, 'rollback')
    if (this.#restore) await resultOf(this.#connection, this.#restore)
  }

  /** Forgets the values of the last query. */
  async #forget(): Promise<void> {
    const statements = this.#after
    this.#after = []
    for (const statement of statements) {
      // A query that could not be prepared has nothing to deallocate.
      await resultOf(this.#connection, statement).catch(throwUnlessUnknown)
    }
  }

  async #cancel(): Promise<void> {
    // The statements before it is known take no time.
    if (this.#id === undefined) return this.#becomeIdle()
    const isClean = await cancelUntilIdle('datasource', this.#connection, this.#id, this.#becomeIdle(), cancelTimeout)
    if (!isClean) throw new JobError('datasource', 'The server did not stop the statement.')
    // A request that came after the end of the statement stops this one instead of that of a later user.
    await resultOf(this.#connection, 'do 0').catch((error: unknown) => {
      if (!isInterrupted(error)) throw error
    })
  }

  async #becomeIdle(): Promise<void> {
    await this.#work
    await this.#portal?.drain()
  }
}

/** The number of the error for a prepared statement that is not known. */
const unknownStatement = 1243

function throwUnlessUnknown(error: unknown): void {
  if (Object(error).errno !== unknownStatement) throw error
}

/** Closes a connection at once, whatever the server still sends. */
function close(connection: MysqlConnection): void {
  connection.destroy()
  connection.stream.destroy()
}

function ignore(): void {}

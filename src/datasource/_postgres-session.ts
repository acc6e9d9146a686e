import { JobError, type Query, type Row, succeedsWithin, systemClock } from '../index.js'
import { cancelUntilIdle } from '../postgres/cancel.js'
import type { PostgresClient, PostgresPool } from '../postgres/pool.js'
import { liftTimeouts } from '../postgres/settings.js'
import { SilenceWatch } from '../postgres/silence.js'
import { fieldsOf, Portal, type RowFormat } from './_postgres-portal.js'
import type { Field } from './_postgres-step.js'
import type { Tuples } from './_postgres-tuples.js'

/** How long a session waits for the server, in milliseconds. */
export interface SessionTimeouts {
  /** For an answer. `undefined`: without limit. */
  readonly statementTimeout: number | undefined
  /** Before it asks whether the server is still there. */
  readonly silenceTimeout: number
}

/** The rows of a small result, and what the server says of their fields. */
export interface TextResult {
  readonly rows: readonly Row[]
  readonly fields: readonly Field[]
}

const rawText = { rowMode: 'array', types: { getTypeParser: () => (raw: string) => raw } } as const

/** How long the server may take to let go of a query, in milliseconds, before its connection is closed instead. */
const grace = 1000

/** One transaction on one connection, until the connection is released. One query at a time is open in it. */
export class Session {
  readonly #client: PostgresClient
  readonly #signal: AbortSignal
  readonly #statementTimeout: number | undefined
  readonly #silence: SilenceWatch
  #portal: Portal | undefined
  /** What the server is at; settles when it answers. */
  #work: Promise<unknown> | undefined
  /** Fails whoever waits for the server. */
  #interrupt: (reason: unknown) => void = ignore
  /** What came between two fetches, first of all: the next one fails with it. */
  #failure: unknown
  #isCommitted = false
  #released: Promise<void> | undefined

  constructor(client: PostgresClient, signal: AbortSignal, { statementTimeout, silenceTimeout }: SessionTimeouts) {
    this.#client = client
    this.#signal = signal
    this.#statementTimeout = statementTimeout
    this.#silence = new SilenceWatch({ client, timeout: silenceTimeout, code: 'datasource', onLost: this.#stop })
    client.on('error', this.#stop)
    signal.addEventListener('abort', this.#abort)
  }

  /** Begins the transaction on a connection of `pool`, with settings that hold in it alone. No limit of the server counts the target's time. */
  async begin(pool: PostgresPool, settings: string): Promise<void> {
    await this.#ask(async () => {
      const lifted = await liftTimeouts(pool, this.#client)
      await this.#client.query(`begin; ${settings}; ${lifted}`)
    })
  }

  /** Runs a query that gives few rows, as text. */
  run({ text, values }: Query): Promise<TextResult> {
    return this.#ask(async () => (await this.#client.query({ text, values: [...values], ...rawText })) as TextResult)
  }

  /** The fields that a query gives, which is not run; `undefined` for one that gives no rows. */
  describe(text: string): Promise<readonly Field[] | undefined> {
    return this.#ask(() => fieldsOf(this.#client, text))
  }

  /**
   * Opens what is fetched, once what was open before was read to its end. `formatOf` is asked when the server has told the
   * fields, before the first rows come.
   */
  open(query: Query, formatOf: (fields: readonly Field[]) => RowFormat): void {
    this.#checkHeld()
    this.#portal = new Portal(this.#client, query, formatOf)
  }

  /** The next rows: `rows` at most, and fewer when they are large, but about `bytes`. `undefined` when there are no more. */
  fetch(rows: number, bytes: number): Promise<Tuples | undefined> {
    return this.#ask(() => (this.#portal as Portal).fetch(rows, bytes))
  }

  /** Whether the last row of what is open has come. */
  get isAtEnd(): boolean {
    return this.#portal?.isAtEnd ?? false
  }

  /** Ends the transaction, unless it has ended, and gives the connection back. */
  async commit(): Promise<void> {
    if (this.#isCommitted) return
    await this.#ask(async () => this.#client.query('commit'))
    this.#isCommitted = true
    await this.release()
  }

  /**
   * Gives the connection back, after cancelling what the server is still at and rolling back what was not read to its
   * end. A connection that cannot be brought to rest is closed. Never rejects.
   */
  release(): Promise<void> {
    this.#released ??= this.#release()
    return this.#released
  }

  readonly #abort = () => this.#stop(this.#signal.reason)

  /** An abort, a lost connection or a late answer: whoever waits is told why, and the connection is let go. */
  readonly #stop = (reason: unknown) => {
    this.#fail(reason)
    void this.release()
  }

  readonly #fail = (reason: unknown) => {
    this.#failure ??= reason
    this.#silence.stop()
    this.#interrupt(reason)
  }

  /** Lets the server work until it answers, or is interrupted. */
  #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      this.#checkHeld()
      this.#interrupt = reject
      const timer = this.#startTimer()
      this.#silence.start()
      // Before whoever waits for the answer asks for more.
      const settle = () => {
        clearTimeout(timer)
        this.#silence.stop()
        this.#work = undefined
      }
      this.#work = work().finally(settle).then(resolve, reject)
    })
  }

  /** After an abort or a failure, the connection may be somebody else's. */
  #checkHeld(): void {
    this.#signal.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
  }

  #startTimer(): NodeJS.Timeout | undefined {
    const timeout = this.#statementTimeout
    if (timeout === undefined) return undefined
    return setTimeout(
      () =>
        this.#stop(
          new JobError('datasource', `The server gave no answer within ${timeout} ms.`, { isTransient: true }),
        ),
      timeout,
    )
  }

  async #release(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#abort)
    const isAtRest = await succeedsWithin(systemClock, grace, this.#reset())
    this.#client.release(!isAtRest)
    this.#client.off('error', this.#stop)
  }

  async #reset(): Promise<void> {
    if (this.#work || this.#portal?.isBusy) await this.#cancel()
    if (!this.#isCommitted) await this.#client.query('rollback')
  }

  async #cancel(): Promise<void> {
    const idle = this.#comeToRest()
    await cancelUntilIdle('datasource', this.#client, idle, grace)
    await idle
  }

  async #comeToRest(): Promise<void> {
    await this.#work
    // It may end with the error that its query was cancelled.
    await this.#portal?.drain().catch(ignore)
  }
}

function ignore(): void {}

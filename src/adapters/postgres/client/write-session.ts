import type { from as copyFrom } from 'pg-copy-streams'
import { succeedsWithin, systemClock } from '../../../adapter.js'
import { defaultSilenceTimeout, loadDriver, SilenceWatch } from '../../shared/index.js'
import { cancelUntilIdle } from './cancel.js'
import { connectionFailure, isCanceled, isConnectionLost } from './errors.js'
import { connect, type PostgresClient, type PostgresPool } from './pool.js'
import { reach } from './reach.js'
import { resultTypes } from './result-types.js'
import { Limits, limitsQuery } from './settings.js'

/** A row of a result. */
export type ResultRow = Record<string, unknown>

type CopyFrom = typeof copyFrom

type CopyStream = ReturnType<CopyFrom>

interface Result {
  readonly rows: ResultRow[]
}

/** How long the server may take to end a statement, or to answer one after an abort, in milliseconds. */
const abortTimeout = 1000

/** How many broken idle connections a pool may hold without having noticed. */
const maxBroken = 10

/** The header of COPY's binary format: signature, no flags, no extension. */
const binaryHeader = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')

/** How many bytes may be unsent before a COPY waits. */
const copyBuffer = 1 << 18

/**
 * One connection, from acquire to release. An abort fails the running statement, but waits for a commit. Statements after an abort, which
 * make already written records durable, have one second.
 */
export class WriteSession {
  readonly #client: PostgresClient
  readonly #copyFrom: CopyFrom
  readonly #signal: AbortSignal
  readonly #silence: SilenceWatch
  /** Rejects the pending call. */
  #interrupt: (reason: unknown) => void = ignore
  /** Why the connection can no longer be used. */
  #failure: { reason: unknown } | undefined
  /** The error with which the server refused the COPY. */
  #refusal: unknown
  #isBusy = false
  /** The pending commit. */
  #ending: Promise<unknown> | undefined
  #limits = new Limits()
  /** Statements that are sent before the next one. */
  #prefix = ''
  #copy: CopyStream | undefined
  #released: Promise<void> | undefined
  /** Whether the server has accepted a request to cancel. */
  #isCancelTaken = false
  #isStuck = false

  private constructor(client: PostgresClient, copyFrom: CopyFrom, signal: AbortSignal, silenceTimeout: number) {
    this.#client = client
    this.#copyFrom = copyFrom
    this.#signal = signal
    this.#silence = new SilenceWatch({
      reach: (within) => reach(client, within),
      timeout: silenceTimeout,
      code: 'target',
      onLost: this.#fail,
    })
    client.on('error', this.#fail)
    signal.addEventListener('abort', this.#abort)
  }

  /** Acquires a working connection. A connection that proves broken before it did anything is skipped. */
  static async open(
    pool: PostgresPool,
    signal: AbortSignal,
    silenceTimeout = defaultSilenceTimeout,
  ): Promise<WriteSession> {
    const { default: copyStreams } = await loadDriver('target', 'pg-copy-streams', () => import('pg-copy-streams'))
    for (let broken = 0; ; broken++) {
      const client = await connect(pool, signal, (cause) => connectionFailure('target', cause))
      const session = new WriteSession(client, copyStreams.from, signal, silenceTimeout)
      try {
        await session.#readLimits()
        return session
      } catch (error) {
        await session.release()
        if (signal.aborted || !isConnectionLost(error) || broken === maxBroken) throw error
      }
    }
  }

  async #readLimits(): Promise<void> {
    const [row] = await this.queryUntimed(limitsQuery)
    this.#limits = new Limits(row)
    if (this.#limits.liftIdle) await this.query(this.#limits.liftIdle)
  }

  /** The statements that turn off, for one transaction, the timeouts that would count the time of the datasource. */
  get liftTimeouts(): string {
    return this.#limits.lift
  }

  /** Sends statements together with the next one, behind those that wait for it, in one round trip. */
  prefixNext(statements: string): void {
    this.#prefix += `${statements};`
  }

  /** Returns the rows of a statement. Of several statements, returns the rows of the last one. */
  async query(text: string, values?: readonly unknown[]): Promise<ResultRow[]> {
    // Several statements in one text cannot have values.
    if (values && this.#prefix) await this.query('')
    const types = resultTypes(this.#client)
    const query = values ? { text, values: [...values], types } : { text: this.#withPrefix(text), types }
    const result = (await this.#ask(async () => this.#client.query(query))) as Result | Result[]
    return [result].flat().at(-1)?.rows ?? []
  }

  /** Runs a statement without values, which may be outside of a transaction, without the timeouts of the role. */
  queryUntimed(text: string): Promise<ResultRow[]> {
    // The statements of one text share a transaction.
    return this.query(`${this.liftTimeouts}; ${text}`)
  }

  /** Runs `work` in a transaction. `begin` is sent together with the first statement. */
  async transaction<Answer>(begin: string, work: () => Promise<Answer>): Promise<Answer> {
    this.prefixNext(begin)
    try {
      const answer = await work()
      // No statement was sent, so no transaction began.
      if (this.#prefix) this.#prefix = ''
      else await this.commit()
      return answer
    } catch (error) {
      await this.rollback()
      throw error
    }
  }

  /** Commits. Only the server knows the outcome, and the status of the job tells it, so an abort waits for the answer. */
  async commit(): Promise<void> {
    await this.#ask(() => {
      const ending = Promise.resolve(this.#client.query({ text: this.#withPrefix('commit') }) as unknown)
      this.#ending = ending
      if (this.#signal.aborted) void this.#endSoon()
      return ending.catch((error) => {
        throw this.#signal.aborted && isCanceled(error) ? this.#signal.reason : error
      })
    })
  }

  /** Rolls back. Never rejects: a session whose rollback failed, because it was cancelled for example, refuses further statements. */
  async rollback(): Promise<void> {
    // A connection that cannot be used has rolled back by itself.
    if (this.isSound) await this.query('rollback').catch(this.#fail)
  }

  /**
   * Queries the server about a failure. If the failure has failed the transaction too, it is rolled back and the
   * session refuses further statements, because they would rely on it.
   */
  async inquire(text: string): Promise<ResultRow[]> {
    try {
      return await this.queryUntimed(text)
    } catch (error) {
      this.clearRefusedCopy()
      if (!this.isSound) throw error
      try {
        return await this.query(`rollback; ${this.liftTimeouts}; ${text}`)
      } finally {
        this.#fail(error)
      }
    }
  }

  /** Starts a COPY to a table, in binary or text format. It ends with `endCopy`. */
  startCopy(into: string, isBinary: boolean): void {
    const format = isBinary ? ' with (format binary)' : ''
    const copy = this.#copyFrom(this.#withPrefix(`copy ${into} from stdin${format}`), { highWaterMark: copyBuffer })
    // The listener stays for the life of the stream: a destroyed stream may fail again.
    copy.on('error', (error) => this.#failCopy(copy, error))
    this.#copy = copy
    this.#client.query(copy)
    if (isBinary) copy.write(binaryHeader)
  }

  /** Sends a chunk of the COPY. Resolves at once, or when there is room for the next one. */
  async writeCopy(piece: string | Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure.reason
    const copy = this.#copy
    if (copy?.write(piece)) return
    await this.#ask(() => new Promise((resolve) => copy?.once('drain', resolve)))
  }

  /** Ends the COPY, so that its rows are in the table. Returns their number: a trigger may drop some. */
  async endCopy(): Promise<number> {
    const copy = this.#copy
    if (!copy) return 0
    await this.#ask(() => new Promise((resolve) => copy.once('finish', resolve).end()))
    this.#copy = undefined
    return copy.rowCount
  }

  /**
   * Whether the connection can be used. False after an abort, after the connection was lost, and during a refused
   * COPY.
   */
  get isSound(): boolean {
    return this.#failure === undefined
  }

  /** Clears a COPY that the server has refused, so that the connection can be used again. */
  clearRefusedCopy(): void {
    const copy = this.#copy
    if (!copy || !this.#failure || this.#failure.reason !== this.#refusal || isConnectionLost(this.#refusal)) return
    this.#copy = undefined
    this.#failure = undefined
    this.#isBusy = false
  }

  /**
   * Runs `last`, which ends a transaction that is open, and releases the connection to the pool. A connection that is busy or
   * has failed is closed after its statement was cancelled, so the server rolls back. Never rejects.
   */
  release(last = 'rollback'): Promise<void> {
    this.#released ??= this.#release(last)
    return this.#released
  }

  #withPrefix(text: string): string {
    const led = this.#prefix + text
    this.#prefix = ''
    return led
  }

  /** Whether the server still ran the last statement at the release, although it had accepted a request to cancel it. */
  get isStuck(): boolean {
    return this.#isStuck
  }

  readonly #abort = () => {
    if (this.#ending) void this.#endSoon()
    else if (this.#isBusy) this.#fail(this.#signal.reason)
  }

  /** Gives a commit some time, cancels it, and fails when the server does not answer. */
  async #endSoon(): Promise<void> {
    const ending = this.#ending
    if (!ending || (await succeedsWithin(systemClock, abortTimeout, ending)) || ending !== this.#ending) return
    await cancelUntilIdle('target', this.#client, ending, abortTimeout)
    if (ending === this.#ending) this.#fail(this.#signal.reason)
  }

  readonly #fail = (reason: unknown) => {
    this.#failure ??= { reason }
    this.#silence.stop()
    this.#interrupt(reason)
    this.#destroyCopy()
  }

  #failCopy(copy: CopyStream, error: unknown): void {
    if (copy !== this.#copy) return
    this.#refusal = error
    this.#fail(error)
  }

  /**
   * Ends a COPY early. Otherwise the stream would write its buffer to a connection that it no longer has, and throw.
   */
  #destroyCopy(): void {
    this.#copy?.destroy()
  }

  /** Waits until the server answers or the call is interrupted. */
  #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#failure) throw this.#failure.reason
      const late = () => this.#ending === undefined && this.#fail(this.#signal.reason)
      const timer = this.#signal.aborted ? setTimeout(late, abortTimeout) : undefined
      this.#interrupt = reject
      this.#isBusy = true
      this.#silence.start()
      // Runs before the caller can send the next statement.
      const settle = () => {
        clearTimeout(timer)
        this.#silence.stop()
        this.#isBusy = false
        this.#ending = undefined
      }
      work().finally(settle).then(resolve, reject)
    })
  }

  async #release(last: string): Promise<void> {
    this.#signal.removeEventListener('abort', this.#abort)
    const isIdle = !this.#isBusy && !this.#copy && !this.#failure
    this.#destroyCopy()
    const statements = [last, this.#limits.restoreIdle].filter(Boolean).join('; ')
    const becomesIdle = isIdle ? this.#send(statements) : this.#cancel()
    const isAtRest = await succeedsWithin(systemClock, abortTimeout, becomesIdle)
    this.#isStuck = this.#isCancelTaken && !isAtRest
    this.#client.release(!isAtRest || !isIdle)
    this.#client.off('error', this.#fail)
  }

  /** The server is idle once it reaches the statement that is queued behind the running one. */
  async #cancel(): Promise<void> {
    const idle = this.#send('rollback')
    const taken = () => {
      this.#isCancelTaken = true
    }
    await cancelUntilIdle('target', this.#client, idle, abortTimeout, taken)
    await idle.catch(ignore)
  }

  async #send(last: string): Promise<void> {
    if (last) await this.#client.query({ text: last })
  }
}

function ignore(): void {}

import { JobError, type Row, succeedsWithin, systemClock } from '../../../adapter.js'
import { SilenceWatch } from '../../shared/index.js'
import {
  type CallbackPool,
  cancelUntilIdle,
  connect,
  isConnectionLost,
  isInterrupted,
  liftLimit,
  type MysqlConnection,
  passing,
  reach,
  runBeside,
  settingStatements,
  settingsQueryOf,
} from '../client/index.js'
import { type OpenLoad, runStatement, type StatementResult, startLoad } from '../protocol/index.js'
import { type ServerFacts, serverFactsOf } from './server-facts.js'
import { logFormatQuery, serverQuery, writeSettings } from './settings.js'

/** How long the server may take to end a statement, or to answer one after an abort, in milliseconds. */
const abortTimeout = 1000

/** How many broken idle connections a pool may hold without having noticed. */
const maxBroken = 10

/** How long a session waits, in milliseconds. */
export interface SessionLimits {
  /** For a lock. */
  readonly lockTimeout: number
  /** How long the server may be silent before the session checks that it can be reached. */
  readonly silenceTimeout: number
}

/**
 * One connection, from acquire to release. An abort stops the running statement, but waits for a commit. Statements after an abort, which make already written
 * records durable, have one second.
 */
export class WriteSession {
  readonly #connection: MysqlConnection
  readonly #signal: AbortSignal
  readonly #limits: SessionLimits
  readonly #silence: SilenceWatch
  #facts: ServerFacts | undefined
  /** Gives the settings of the session back. */
  #restore: string | undefined
  /** Why the connection can no longer be used. */
  #failure: { readonly reason: unknown } | undefined
  /** Rejects the pending call. */
  #interrupt: (reason: unknown) => void = ignore
  /** The pending request. Settles when the server answers. */
  #work: Promise<unknown> | undefined
  /** The pending statement that commits, and how long an abort lets it run. */
  #ending: { readonly work: Promise<unknown>; readonly grace: number } | undefined
  #load: OpenLoad | undefined
  #released: Promise<void> | undefined

  private constructor(connection: MysqlConnection, signal: AbortSignal, limits: SessionLimits) {
    this.#connection = connection
    this.#signal = signal
    this.#limits = limits
    this.#silence = new SilenceWatch({
      reach: (within) => reach(connection, within),
      timeout: limits.silenceTimeout,
      code: 'target',
      onLost: this.#fail,
    })
    connection.on('error', this.#fail)
    signal.addEventListener('abort', this.#abort)
  }

  /** Acquires a working connection. A connection that proves broken before it did anything is skipped. */
  static async open(pool: CallbackPool, signal: AbortSignal, limits: SessionLimits): Promise<WriteSession> {
    for (let broken = 0; ; broken++) {
      const connection = await connect(pool, signal, connectionFailure)
      const session = new WriteSession(connection, signal, limits)
      try {
        await session.#begin()
        return session
      } catch (error) {
        await session.release()
        if (signal.aborted || !isConnectionLost(error) || broken === maxBroken) throw error
      }
    }
  }

  async #begin(): Promise<void> {
    const [facts = []] = await this.query(serverQuery)
    const [[, logFormat] = []] = await this.query(logFormatQuery)
    this.#facts = serverFactsOf(facts, logFormat)
    await this.query(liftLimit)
    const settings = writeSettings(Math.max(1, Math.ceil(this.#limits.lockTimeout / 1000)))
    const current = await this.query(settingsQueryOf(settings))
    const { set, restore } = settingStatements(settings, current, this.#facts.selectLimit)
    this.#restore = restore
    await this.query(set)
  }

  /** What is known of the server. */
  get facts(): ServerFacts {
    return this.#facts as ServerFacts
  }

  /** Returns the rows of a statement, as text. */
  async query(sql: string): Promise<readonly Row[]> {
    return (await this.run(sql)).rows
  }

  /** Runs a statement, which is given as text, or as bytes in UTF-8. */
  run(sql: string | Uint8Array): Promise<StatementResult> {
    return this.#ask(() => runStatement(this.#connection, sql))
  }

  /** Starts a `load data local infile`. It ends with `endLoad`. */
  async startLoad(sql: string): Promise<void> {
    this.#load = await this.#ask(() => startLoad(this.#connection, sql, this.facts.maxPacket))
  }

  /** Sends lines of the file. Resolves when there is room for more. */
  async writeLoad(lines: Uint8Array): Promise<void> {
    await this.#ask(() => (this.#load as OpenLoad).write(lines))
  }

  /** Ends the file. Returns what the server did with it. */
  async endLoad(): Promise<Omit<StatementResult, 'rows'>> {
    const load = this.#load as OpenLoad
    const result = await this.#ask(() => {
      load.end()
      return load.result
    })
    this.#load = undefined
    return result
  }

  /** Ends a load whose statement has failed, so that the connection can be used again. */
  clearFailedLoad(): void {
    this.#load = undefined
  }

  /**
   * Runs a statement that commits. Only the server knows the outcome, and the status of the job tells it, so an abort stops the statement after
   * `grace` milliseconds, and waits for the answer.
   */
  async decide(sql: string, grace = abortTimeout): Promise<void> {
    await this.#ask(() => {
      const ending = runStatement(this.#connection, sql)
      this.#ending = { work: ending, grace }
      if (this.#signal.aborted) void this.#endSoon()
      return ending.catch((error) => {
        throw this.#signal.aborted && isInterrupted(error) ? this.#signal.reason : error
      })
    })
  }

  /** Runs `work` in a transaction. */
  async transaction<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    await this.begin()
    try {
      const answer = await work()
      await this.decide('commit')
      return answer
    } catch (error) {
      await this.rollback()
      throw error
    }
  }

  /** Begins a transaction. Each statement of it sees what is committed by then, and locks no gaps between rows. */
  async begin(): Promise<void> {
    const level = this.facts.logsStatements ? 'repeatable read' : 'read committed'
    await this.query(`set transaction isolation level ${level}`)
    await this.query('start transaction read write')
  }

  /** Rolls back. Never rejects: a session whose rollback failed, because it was cancelled for example, refuses further statements. */
  async rollback(): Promise<void> {
    // A connection that cannot be used has rolled back by itself.
    if (this.isSound && !this.#load) await this.query('rollback').catch(this.#fail)
  }

  /** Ends another connection, and so rolls its transaction back. Never rejects: it may have ended, or belong to another user. */
  async kill(id: string): Promise<void> {
    await this.query(`kill ${id}`).catch(ignore)
  }

  /** Whether the connection can be used. False after an abort, and after the connection was lost. */
  get isSound(): boolean {
    return this.#failure === undefined
  }

  /**
   * Rolls back, runs `last`, and releases the connection to the pool. A connection that is busy or has failed is closed after its
   * statement was stopped, so the server rolls back. Never rejects.
   */
  release(last: readonly string[] = []): Promise<void> {
    this.#released ??= this.#release(last)
    return this.#released
  }

  readonly #abort = () => {
    if (this.#ending) void this.#endSoon()
    else if (this.#work) this.#fail(this.#signal.reason)
  }

  /** Gives a statement that commits some time, stops it, and fails when the server does not answer. */
  async #endSoon(): Promise<void> {
    const ending = this.#ending
    if (!ending) return
    const isOver = () => ending !== this.#ending
    if (ending.grace > 0) await succeedsWithin(systemClock, ending.grace, ending.work)
    const { connectionId } = this.#facts ?? {}
    if (connectionId !== undefined && !isOver())
      await cancelUntilIdle('target', this.#connection, connectionId, ending.work, abortTimeout)
    if (!isOver()) this.#fail(this.#signal.reason)
  }

  readonly #fail = (reason: unknown) => {
    this.#failure ??= { reason }
    this.#silence.stop()
    this.#interrupt(reason)
  }

  /** Waits until the server answers or the call is interrupted. */
  #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#failure) throw this.#failure.reason
      const late = () => this.#ending === undefined && this.#fail(this.#signal.reason)
      const timer = this.#signal.aborted ? setTimeout(late, abortTimeout) : undefined
      this.#interrupt = reject
      this.#silence.start()
      // Runs before the caller can send the next statement.
      const settle = () => {
        clearTimeout(timer)
        this.#silence.stop()
        this.#work = undefined
        this.#ending = undefined
      }
      const fail = (error: unknown) => {
        if (isConnectionLost(error)) this.#fail(error)
        reject(error)
      }
      this.#work = work().finally(settle).then(resolve, fail)
    })
  }

  async #release(last: readonly string[]): Promise<void> {
    this.#signal.removeEventListener('abort', this.#abort)
    const isIdle = !this.#work && !this.#load && !this.#failure
    const isReset = await succeedsWithin(systemClock, abortTimeout, isIdle ? this.#reset(last) : this.#cancel())
    if (isReset && isIdle) this.#connection.release()
    else close(this.#connection)
    this.#connection.off('error', this.#fail)
  }

  async #reset(last: readonly string[]): Promise<void> {
    const statements = ['rollback', ...last, ...(this.#restore ? [this.#restore] : [])]
    for (const statement of statements) await runStatement(this.#connection, statement)
  }

  /** Stops the running statement. The server then finds the connection closed, and rolls back. */
  async #cancel(): Promise<void> {
    const { connectionId } = this.#facts ?? {}
    if (connectionId === undefined || (!this.#work && !this.#load)) return
    if (this.#load) await runBeside('target', this.#connection, `kill ${connectionId}`, abortTimeout)
    else await cancelUntilIdle('target', this.#connection, connectionId, this.#work as Promise<unknown>, abortTimeout)
  }
}

function connectionFailure(cause: unknown): JobError {
  const attempt = new JobError('target', 'The connection attempt failed.', { cause, ...passing(cause) })
  return new JobError('target', `Failed to initialize pool: ${attempt.message}`, { cause: attempt })
}

/** Closes a connection at once, whatever the server still sends. */
function close(connection: MysqlConnection): void {
  connection.destroy()
  connection.stream.destroy()
}

function ignore(): void {}

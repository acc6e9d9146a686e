import QueryStream from 'pg-query-stream'
import { JobError, type Query, type Row } from '../index.js'
import { cancelOnServer } from './_postgres-cancel.js'
import type { Field, TypeNames } from './_postgres-types.js'

/** The part of pg's `PoolClient` that is called; it also is asked where the server is when a query has to be cancelled. */
export interface PostgresClient {
  query(query: string | object): unknown
  release(destroy?: boolean): void
  getTypeParser(dataTypeID: number, format: 'text'): (raw: string) => unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
}

/** Rows as they came, with what the server says of their fields. */
interface Fetched {
  readonly rows: readonly Row[]
  readonly fields: readonly Field[]
}

/** The cursor inside a `QueryStream`: it fetches a batch at a time, without a stream's work for every row. */
interface Cursor {
  read(count: number, callback: (error: unknown, rows?: Row[], result?: { fields: Field[] }) => void): void
  close(callback: () => void): void
  on(event: 'error', listener: (error: unknown) => void): void
}

/** How long the server may take to let go of a query, in milliseconds, before its connection is closed instead. */
const grace = 1000

const rawText = { rowMode: 'array', types: { getTypeParser: () => (raw: string) => raw } } as const

/** One query on one connection, in a transaction of its own, until the connection is released. */
export class Session {
  readonly #client: PostgresClient
  readonly #signal: AbortSignal
  readonly #statementTimeout: number | undefined
  #cursor: Cursor | undefined
  /** What the server is at; settles when it answers. */
  #work: Promise<unknown> | undefined
  /** Fails whoever waits for the server. */
  #interrupt: (reason: unknown) => void = ignore
  /** What came between two fetches, first of all: the next one fails with it. */
  #failure: unknown
  #isCommitted = false
  #released: Promise<void> | undefined

  constructor(client: PostgresClient, signal: AbortSignal, statementTimeout: number | undefined) {
    this.#client = client
    this.#signal = signal
    this.#statementTimeout = statementTimeout
    client.on('error', this.#stop)
    signal.addEventListener('abort', this.#abort)
  }

  /** Begins the transaction, with settings that hold in it alone, and the query, whose types it makes known to `types`. */
  async begin({ text, values }: Query, settings: string, types: TypeNames): Promise<void> {
    await this.#ask(async () => this.#client.query(`begin; ${settings}`))
    await this.#ask(() => types.learn(this.#client, text))
    const stream = new QueryStream(text, [...values], rawText)
    this.#client.query(stream)
    this.#cursor = stream.cursor as Cursor
    this.#cursor.on('error', this.#fail)
  }

  /** The next rows: fewer than `count` when there are no more, and then the transaction is committed. */
  async fetch(count: number): Promise<Fetched> {
    const fetched = await this.#ask(() => this.#read(count))
    if (fetched.rows.length < count) {
      await this.#ask(async () => this.#client.query('commit'))
      this.#isCommitted = true
      await this.release()
    }
    return fetched
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
    this.#interrupt(reason)
  }

  #read(count: number): Promise<Fetched> {
    return new Promise((resolve, reject) => {
      this.#cursor?.read(count, (error, rows = [], result) => {
        if (error) reject(error)
        else resolve({ rows, fields: result?.fields ?? [] })
      })
    })
  }

  /** Lets the server work until it answers, or is interrupted. */
  #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      this.#signal.throwIfAborted()
      if (this.#failure !== undefined) throw this.#failure
      this.#interrupt = reject
      const timer = this.#startTimer()
      this.#work = work()
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer)
          this.#work = undefined
        })
    })
  }

  #startTimer(): NodeJS.Timeout | undefined {
    const timeout = this.#statementTimeout
    if (timeout === undefined) return undefined
    return setTimeout(
      () => this.#stop(new JobError('datasource', `The server gave no answer within ${timeout} ms.`)),
      timeout,
    )
  }

  async #release(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#abort)
    const isAtRest = await succeedsWithin(grace, this.#reset())
    this.#client.release(!isAtRest)
    this.#client.off('error', this.#stop)
  }

  async #reset(): Promise<void> {
    if (this.#work) await Promise.all([this.#work, cancelOnServer(this.#client, grace)])
    this.#cursor?.close(ignore)
    if (!this.#isCommitted) await this.#client.query('rollback')
  }
}

function ignore(): void {}

function succeedsWithin(timeout: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeout, false)
    work
      .then(
        () => resolve(true),
        () => resolve(false),
      )
      .finally(() => clearTimeout(timer))
  })
}

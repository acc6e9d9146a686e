import { type BigIntStats, statSync } from 'node:fs'
import { type Clock, JobError } from '../index.js'
import { Connection, isBusy, type SqliteDatabase } from './_sqlite-connection.js'
import { openFile } from './_sqlite-open.js'
import { migrate } from './_sqlite-schema.js'

/** How long a call waits for a lock that another connection holds, in milliseconds. */
const lockPatience = 10_000

/** How long to wait before the next try at a lock, in milliseconds: doubles from the first to the last. */
const delays = { first: 5, last: 200 }

/** A lock that is held for less is everyday work of others, in milliseconds. */
const shortestOutage = 1000

/** When the lock was found to be held elsewhere, first and last, and what the driver said. */
interface Locked {
  readonly from: number
  readonly to: number
  readonly error?: unknown
}

const never: Locked = { from: Number.NEGATIVE_INFINITY, to: Number.NEGATIVE_INFINITY }

/** Where the database is, and whose time is waited in. */
export interface AccessOptions {
  readonly path: string | undefined
  readonly database: SqliteDatabase | undefined
  readonly clock: Clock
}

type Identity = Pick<BigIntStats, 'dev' | 'ino'>

/** What tells a file from any other that there is. */
function identityOf(path: string): Identity | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })
}

/** The way to a database: opens it at the first call, and waits for locks without holding up the process. */
export class SqliteAccess {
  readonly #path: string
  /** The caller's database, which stays open. */
  readonly #given: SqliteDatabase | undefined
  readonly #clock: Clock
  /** For messages. */
  readonly #name: string
  #opening: Promise<Connection> | undefined
  #closing: Promise<void> | undefined
  /** Until the next try at a lock: all who want it wait together, as every try may hold up the process. */
  #pause: Promise<void> | undefined
  #delay = delays.first
  /** What tells the file that is open from another one of that path; `undefined` for a database that was given. */
  #file: Identity | undefined
  #locked = never

  constructor({ path, database, clock }: AccessOptions) {
    this.#path = path ?? ''
    this.#given = database
    this.#clock = clock
    this.#name = path === undefined ? 'SQLite storage' : `SQLite storage \`${path}\``
  }

  /** Asks the database at once: who reads need not wait for who writes. */
  read<Answer>(ask: (connection: Connection) => Answer): Promise<Answer> {
    return this.#use(ask, false)
  }

  /** The same for what looks again and again, which is told no news of the file itself: the next call is. */
  poll<Answer>(ask: (connection: Connection) => Answer): Promise<Answer> {
    return this.#use(ask, false, false)
  }

  /** Asks the database when its lock may be had. */
  async write<Answer>(ask: (connection: Connection) => Answer): Promise<Answer> {
    const answer = await this.#use(ask, true)
    this.#delay = delays.first
    return answer
  }

  /** When an outage began that ends now: a time in which another connection held the lock, and nobody could write. */
  endOutage(now: number): number | undefined {
    const { from, to } = this.#locked
    this.#locked = never
    return to - from >= shortestOutage && now - to <= lockPatience ? from : undefined
  }

  /** Closes what was opened here. What waits for a lock gives up. */
  close(): Promise<void> {
    this.#closing ??= this.#close(this.#opening)
    return this.#closing
  }

  /** Asks again and again while another connection holds the lock. */
  async #use<Answer>(ask: (connection: Connection) => Answer, needsLock: boolean, checks = true): Promise<Answer> {
    const start = performance.now()
    let waited = 0
    for (let mayPass = !needsLock; ; mayPass = false) {
      try {
        const connection = await this.#open()
        if (checks) this.#checkFile(connection)
        if (mayPass || !this.#pause) return ask(connection)
      } catch (error) {
        if (!isBusy(error)) throw this.#failure(error)
        this.#noteLock(error)
      }
      if (waited >= lockPatience || performance.now() - start >= lockPatience) throw this.#lockedOut()
      waited += this.#delay
      await this.#pause
    }
  }

  async #open(): Promise<Connection> {
    this.#opening ??= this.#closing ? undefined : this.#openOnce()
    const opening = this.#opening
    try {
      const connection = await opening
      if (connection && !this.#closing) return connection
    } catch (error) {
      // A failed opening is not kept: the next call tries again.
      if (this.#opening === opening) this.#opening = undefined
      throw error
    }
    throw new JobError('storage', `The ${this.#name} is closed.`)
  }

  async #openOnce(): Promise<Connection> {
    const database = this.#given ?? (await this.#openFile())
    try {
      this.#file = this.#given ? undefined : identityOf(this.#path)
      const connection = new Connection(database)
      migrate(connection)
      return connection
    } catch (error) {
      if (!this.#given) database.close()
      throw this.#notOpened(error)
    }
  }

  async #openFile(): Promise<SqliteDatabase> {
    try {
      return await openFile(this.#path)
    } catch (error) {
      throw this.#notOpened(error)
    }
  }

  /**
   * Lets go of a file that was deleted or replaced while it was open: whoever opens the path now has another one, and would run
   * what runs here. The next call opens what is there then.
   */
  #checkFile(connection: Connection): void {
    if (!this.#file) return
    const there = identityOf(this.#path)
    if (there?.dev === this.#file.dev && there.ino === this.#file.ino) return
    this.#opening = undefined
    this.#file = undefined
    connection.close()
    throw new JobError('storage', `The file of the ${this.#name} was deleted or replaced while it was open.`, {
      isTransient: true,
    })
  }

  async #close(opening: Promise<Connection> | undefined): Promise<void> {
    const connection = await opening?.catch(() => undefined)
    if (!connection || this.#given) return
    try {
      connection.close()
    } catch (error) {
      throw this.#failure(error)
    }
  }

  #noteLock(error: unknown): void {
    const now = this.#clock.now()
    this.#locked = { from: now - this.#locked.to > lockPatience ? now : this.#locked.from, to: now, error }
    this.#pause ??= this.#nextPause()
  }

  /** Processes that wait for one lock do not come back all at once. */
  async #nextPause(): Promise<void> {
    const delay = this.#delay * (0.5 + Math.random() / 2)
    this.#delay = Math.min(this.#delay * 2, delays.last)
    await new Promise<void>((resolve) => this.#clock.setTimer(delay, resolve))
    this.#pause = undefined
  }

  #notOpened(cause: unknown): unknown {
    return isBusy(cause) ? cause : new JobError('storage', `Could not open the ${this.#name}.`, { cause })
  }

  #failure(cause: unknown): JobError {
    return JobError.isInstance(cause) ? cause : new JobError('storage', `The ${this.#name} failed.`, { cause })
  }

  #lockedOut(): JobError {
    const cause = this.#locked.error
    return new JobError('storage', `The ${this.#name} is locked by another connection.`, { cause })
  }
}

import { type Clock, JobError } from '../../../adapter.js'
import {
  type FileIdentity,
  goneError,
  identityOf,
  isBusy,
  isSameFile,
  logEndings,
  type SqliteDatabase,
} from '../client/index.js'
import { Connection } from './connection.js'
import { migrate } from './migrations.js'
import { openFile } from './open-file.js'

/** How long a call waits for a lock that another connection holds, in milliseconds. */
const lockTimeout = 10_000

/** How long to wait before the next attempt at a lock, in milliseconds. Doubles from the first to the last. */
const delays = { first: 5, last: 200 }

/** Locks that are held for less time count as normal operation, in milliseconds. */
const shortestOutage = 1000

/** When the lock was first and last seen held by another connection, with the error of the driver. */
interface Locked {
  readonly from: number
  readonly to: number
  readonly error?: unknown
}

const neverLocked: Locked = { from: Number.NEGATIVE_INFINITY, to: Number.NEGATIVE_INFINITY }

/** The options of a {@link SqliteAccess}. */
export interface AccessOptions {
  readonly path: string | undefined
  readonly database: SqliteDatabase | undefined
  readonly clock: Clock
}

/** The endings of the files of an open database. */
const endings = ['', ...logEndings] as const

/** Access to a database. Opens it at the first call, and waits for locks without blocking the process. */
export class SqliteAccess {
  readonly #path: string
  /** The database of the caller, which stays open. */
  readonly #callersDatabase: SqliteDatabase | undefined
  readonly #clock: Clock
  /** For messages. */
  readonly #name: string
  #opening: Promise<Connection> | undefined
  #closing: Promise<void> | undefined
  /**
   * Resolves before the next attempt at a lock. All callers wait for it together, because each attempt may block the
   * process.
   */
  #pause: Promise<void> | undefined
  #delay = delays.first
  /** Identify the open files, to detect others at their paths. None for a database of the caller. */
  #files: readonly (FileIdentity | undefined)[] = []
  #locked = neverLocked

  constructor({ path, database, clock }: AccessOptions) {
    this.#path = path ?? ''
    this.#callersDatabase = database
    this.#clock = clock
    this.#name = path === undefined ? 'SQLite storage' : `SQLite storage \`${path}\``
  }

  /** Reads from the database at once, without waiting for writers. */
  read<Answer>(use: (connection: Connection) => Answer): Promise<Answer> {
    return this.#use(use, false)
  }

  /** The same for polling. It does not check the file, so that the next call reports a deleted one. */
  poll<Answer>(use: (connection: Connection) => Answer): Promise<Answer> {
    return this.#use(use, false, false)
  }

  /** Writes to the database when its lock is free. */
  async write<Answer>(use: (connection: Connection) => Answer): Promise<Answer> {
    const answer = await this.#use(use, true)
    this.#delay = delays.first
    return answer
  }

  /**
   * The start of an outage that ends now: a time in which another connection held the lock and nothing could be
   * written.
   */
  endOutage(now: number): number | undefined {
    const { from, to } = this.#locked
    this.#locked = neverLocked
    return to - from >= shortestOutage && now - to <= lockTimeout ? from : undefined
  }

  /** Closes the database that headgate opened. Calls that wait for a lock fail. */
  close(): Promise<void> {
    this.#closing ??= this.#close(this.#opening)
    return this.#closing
  }

  /** Repeats the call while another connection holds the lock. */
  async #use<Answer>(use: (connection: Connection) => Answer, needsLock: boolean, checks = true): Promise<Answer> {
    const start = performance.now()
    let waited = 0
    for (let skipsLock = !needsLock; ; skipsLock = false) {
      try {
        const connection = await this.#open()
        if (checks) this.#checkFile(connection)
        if (skipsLock || !this.#pause) return use(connection)
      } catch (error) {
        if (!isBusy(error)) throw this.#failure(error)
        this.#noteLock(error)
      }
      if (waited >= lockTimeout || performance.now() - start >= lockTimeout) throw this.#lockedOut()
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
      // A failed open is not cached: the next call tries again.
      if (this.#opening === opening) this.#opening = undefined
      throw error
    }
    throw new JobError('storage', `The ${this.#name} is closed.`)
  }

  async #openOnce(): Promise<Connection> {
    const database = this.#callersDatabase ?? (await this.#openFile())
    try {
      const connection = new Connection(database)
      migrate(connection)
      this.#files = this.#callersDatabase ? [] : endings.map((ending) => identityOf(this.#path + ending))
      return connection
    } catch (error) {
      if (!this.#callersDatabase) database.close()
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
   * Closes a database of which a file was deleted or replaced while it was open. Another process that opens the path
   * gets another file and would run the same jobs. The next call opens the file that is current then.
   */
  #checkFile(connection: Connection): void {
    for (const [index, file] of this.#files.entries()) {
      const path = this.#path + endings[index]
      const current = file && identityOf(path)
      if (isSameFile(current, file)) continue
      this.#opening = undefined
      this.#files = []
      // Its changes would overwrite those of whoever has made the new file.
      connection.close({ keepsChanges: current === undefined })
      throw goneError('storage', path)
    }
  }

  async #close(opening: Promise<Connection> | undefined): Promise<void> {
    const connection = await opening?.catch(() => undefined)
    if (!connection || this.#callersDatabase) return
    try {
      connection.close()
    } catch (error) {
      throw this.#failure(error)
    }
  }

  #noteLock(error: unknown): void {
    const now = this.#clock.now()
    this.#locked = { from: now - this.#locked.to > lockTimeout ? now : this.#locked.from, to: now, error }
    this.#pause ??= this.#nextPause()
  }

  /** A random delay keeps waiting processes from retrying all at once. */
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

import { EventLoopTurns, JobError } from '../../../adapter.js'
import { isLater } from '../../shared/index.js'
import { type FileConnection, failure, isBusy, LockPatience, type OpenFile, type SqliteFile } from '../client/index.js'

/** How long writing blocks the event loop, in milliseconds. */
const longestTurn = 8

/** What every connection that writes is set to. A commit is on disk, also when the power fails. */
const settings = 'pragma busy_timeout = 0; pragma synchronous = full; pragma foreign_keys = on'

/** The options of a {@link WriteSession}. */
export interface WriteOptions {
  readonly signal: AbortSignal
  readonly lockTimeout: number
  /** Whether a missing file is created. */
  readonly creates: boolean
}

/** The sessions of this process that may have a transaction open, by what they write. */
const open = new Map<string, Set<WriteSession>>()

/**
 * A connection of a target's own, with one transaction at a time. The transaction holds the lock of the file, so that nobody else writes. It
 * therefore ends when a later execution of its job, in the same process, needs the lock.
 */
export class WriteSession {
  readonly #file: OpenFile
  readonly #patience: LockPatience
  readonly #turns = new EventLoopTurns({ longest: longestTurn })
  #isInTransaction = false
  #isClosed = false
  /** The error of every later call. */
  #lost: JobError | undefined
  #leave: () => void = () => undefined
  /** The execution that writes, and the error for its end. */
  #writer: { readonly executionId: string; lost(): JobError } | undefined

  private constructor(file: OpenFile, patience: LockPatience) {
    this.#file = file
    this.#patience = patience
  }

  static async open(file: SqliteFile, { signal, lockTimeout, creates }: WriteOptions): Promise<WriteSession> {
    signal.throwIfAborted()
    const patience = new LockPatience('target', file.path, lockTimeout, signal)
    const opened = await patience.attempt(async () => {
      const found = await file.open(false, creates)
      try {
        found.connection.exec(settings)
        return found
      } catch (error) {
        found.connection.close()
        throw error
      }
    })
    return new WriteSession(opened, patience)
  }

  get connection(): FileConnection {
    return this.#file.connection
  }

  get isInTransaction(): boolean {
    return this.#isInTransaction
  }

  /** Whether the session can write. */
  get isSound(): boolean {
    return !this.#isClosed && this.#lost === undefined
  }

  /** Ends the transactions of earlier executions that write the same in this process, and is ended by later ones. */
  enter(place: string, executionId: string, lost: () => JobError): void {
    const others = open.get(place) ?? new Set()
    open.set(place, others)
    WriteSession.evict(place, executionId)
    this.#writer = { executionId, lost }
    others.add(this)
    this.#leave = () => {
      others.delete(this)
      if (others.size === 0) open.delete(place)
    }
  }

  /** Ends the transactions of executions that write the same in this process, unless they are later than the given one. */
  static evict(place: string, executionId: string): void {
    for (const session of open.get(place) ?? []) {
      const writer = session.#writer
      if (!writer || isLater(writer.executionId, executionId)) continue
      session.#lost = writer.lost()
      session.rollback()
    }
  }

  /** Begins a transaction, once no other connection writes. */
  async begin(): Promise<void> {
    await this.turn()
    await this.#patience.attempt(() => this.connection.exec('begin immediate'))
    this.#isInTransaction = true
    this.check()
    this.#file.noteLog()
    this.#checkFiles()
  }

  /**
   * Commits. In other modes than WAL, it waits for those who read. Throws when the file is not the one at its path any more, before or after:
   * nobody would find what was committed.
   */
  async commit(): Promise<void> {
    this.check()
    await this.#patience.attempt(() => {
      this.check()
      this.#checkFiles()
      this.connection.exec('commit')
    })
    this.#isInTransaction = false
    this.#checkFiles()
  }

  /** Ends the session. Throws when the file is not the one at its path any more. */
  end(): void {
    this.#file.checkLog()
    this.close()
    this.#file.check()
  }

  /** Rolls back, if a transaction is open. */
  rollback(): void {
    if (!this.#isInTransaction) return
    this.#isInTransaction = false
    try {
      this.connection.exec('rollback')
    } catch (error) {
      // After some failures, such as a full disk, SQLite has rolled back already.
      if (isBusy(error)) throw error
    }
  }

  /** Runs `work` in a transaction of its own. */
  async transaction<Answer>(work: () => Answer): Promise<Answer> {
    await this.begin()
    try {
      const answer = work()
      await this.commit()
      return answer
    } catch (error) {
      this.rollback()
      throw error
    }
  }

  /** Reads once nobody keeps others from reading. */
  read<Answer>(work: () => Answer): Promise<Answer> {
    return this.#patience.attempt(work)
  }

  /** Throws when the session was ended. */
  check(): void {
    if (this.#lost) throw this.#lost
    if (this.#isClosed) throw new JobError('target', 'The connection to the file is closed.')
  }

  /** Yields to the event loop when it has been blocked for long. */
  async turn(): Promise<void> {
    const turn = this.#turns.pass()
    if (turn) await turn
    this.check()
  }

  #checkFiles(): void {
    this.#file.check()
    this.#file.checkLog()
  }

  /** Rolls back and closes the connection. */
  close(): void {
    if (this.#isClosed) return
    this.#leave()
    this.rollback()
    this.#isClosed = true
    this.connection.close()
  }
}

/** The error of what failed with a table. */
export function tableFailure(what: string, table: string, cause: unknown, place: object = {}): JobError {
  return failure('target', `Could not ${what} \`${table}\``, cause, place)
}

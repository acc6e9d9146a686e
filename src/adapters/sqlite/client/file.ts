import { realpathSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { invalid, JobError, type JobErrorCode } from '../../../adapter.js'
import { checkOneOption } from '../../shared/index.js'
import { FileConnection } from './connection.js'
import { createWith, type Driver, driverOf, loadDriver, openWith, pathOf, type SqliteDatabase } from './driver.js'
import { failure } from './errors.js'

/** What names a file: its path, or a database that has it open. */
export interface FileOptions {
  readonly path?: string
  readonly database?: SqliteDatabase
}

/** A file of SQLite, which each read and each write opens anew. */
export class SqliteFile {
  readonly path: string
  readonly #code: JobErrorCode
  readonly #driver: Driver | undefined

  /** Throws `invalid_options` unless one of the options names a file. */
  constructor(code: JobErrorCode, options: FileOptions) {
    const { path, database } = options
    checkOneOption(options, ['path', 'database'])
    if (path === ':memory:') throw invalid('path', 'a file: a database in memory has one connection only', path)
    this.#code = code
    this.#driver = database && driverOf(database)
    this.path = path === undefined ? pathOf(database as SqliteDatabase) : resolve(path)
    if (this.path === '')
      throw invalid('database', 'a database with a file: one in memory has one connection only', database)
  }

  get exists(): boolean {
    return identityOf(this.path) !== undefined
  }

  /** Opens the file to read, or to write too. Throws an error that names the path when there is none, unless it `creates` one. */
  async open(isReadOnly: boolean, creates = false): Promise<OpenFile> {
    const driver = this.#driver ?? (await loadDriver(this.#code))
    try {
      if (creates && !identityOf(this.path)) createWith(driver, this.path).close()
      const identity = identityOf(this.path)
      if (!identity) throw new JobError(this.#code, `There is no file \`${this.path}\`.`)
      const connection = new FileConnection(driver, openWith(driver, this.path, isReadOnly))
      return new OpenFile(this.path, this.#code, identity, connection)
    } catch (error) {
      throw failure(this.#code, `Could not open the file \`${this.path}\``, error)
    }
  }
}

/** Identifies a file: where its path leads, and which file is there. */
export interface FileIdentity {
  readonly path: string
  readonly dev: bigint
  readonly ino: bigint
}

/** The file that a path leads to now. SQLite follows links, and looks for the log beside the file that it finds. */
export function identityOf(path: string): FileIdentity | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (!found) return undefined
  try {
    return { path: realpathSync.native(path), dev: found.dev, ino: found.ino }
  } catch {
    return undefined
  }
}

export function isSameFile(one: FileIdentity | undefined, other: FileIdentity | undefined): boolean {
  return one?.path === other?.path && one?.dev === other?.dev && one?.ino === other?.ino
}

/** The error when a file is not the one that was opened. */
export function goneError(code: JobErrorCode, path: string): JobError {
  return new JobError(code, `The file \`${path}\` was deleted or replaced while it was open.`, { isTransient: true })
}

/** The endings of the files that hold what WAL has committed, until it is in the file itself. */
export const logEndings = ['-wal', '-shm'] as const

/** A file that is open. */
export class OpenFile {
  readonly connection: FileConnection
  readonly path: string
  readonly #code: JobErrorCode
  readonly #identity: FileIdentity
  /** The files of the log, by their paths. */
  readonly #log = new Map<string, FileIdentity>()

  constructor(path: string, code: JobErrorCode, identity: FileIdentity, connection: FileConnection) {
    this.path = path
    this.#code = code
    this.#identity = identity
    this.connection = connection
  }

  /** Notes the files of the log. Call it in a transaction that writes, when they are there and stay. */
  noteLog(): void {
    for (const ending of logEndings) {
      const path = this.#identity.path + ending
      const identity = this.#log.has(path) ? undefined : identityOf(path)
      if (identity) this.#log.set(path, identity)
    }
  }

  /** Throws a transient error when another file has come to the path, or none. */
  check(): void {
    if (!isSameFile(identityOf(this.path), this.#identity)) throw goneError(this.#code, this.path)
  }

  /** The same for the files of the log, which go when the last connection closes. */
  checkLog(): void {
    for (const [path, identity] of this.#log) {
      if (!isSameFile(identityOf(path), identity)) throw goneError(this.#code, path)
    }
  }
}

import { type BigIntStats, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { invalid, JobError, type JobErrorCode } from '../../../adapter.js'
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
    if ((path === undefined) === (database === undefined)) {
      throw invalid('options', 'an object with either `path` or `database`', options)
    }
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

type Identity = Pick<BigIntStats, 'dev' | 'ino'>

/** Identifies a file. */
function identityOf(path: string): Identity | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })
}

/** A file that is open. */
export class OpenFile {
  readonly connection: FileConnection
  readonly path: string
  readonly #code: JobErrorCode
  readonly #identity: Identity

  constructor(path: string, code: JobErrorCode, identity: Identity, connection: FileConnection) {
    this.path = path
    this.#code = code
    this.#identity = identity
    this.connection = connection
  }

  /** Throws a transient error when another file has come to the path, or none. */
  check(): void {
    const now = identityOf(this.path)
    if (now?.dev === this.#identity.dev && now.ino === this.#identity.ino) return
    throw new JobError(this.#code, `The file \`${this.path}\` was deleted or replaced while it was open.`, {
      isTransient: true,
    })
  }
}

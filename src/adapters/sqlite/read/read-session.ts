import { EventLoopTurns, invalid, JobError, type Query, RecordBatch } from '../../../adapter.js'
import { placeholderHint } from '../../shared/index.js'
import {
  failure,
  LockPatience,
  type OpenFile,
  type PreparedStatement,
  type ResultColumn,
  type SqliteFile,
  type StoredValue,
  storedOf,
} from '../client/index.js'
import { checkTexts, faultsOf, type TextFaults, textsQuery } from './check-texts.js'
import { BatchColumns, columnsOf } from './columns.js'
import { boundValues } from './values.js'

/** How long reading blocks the event loop, in milliseconds. What the job does with a batch comes on top. */
const longestTurn = 8

/** The connection writes nothing, and waits for no lock by itself. */
const settings = 'pragma query_only = on; pragma busy_timeout = 0'

/** How many rows are read between two looks at the clock. */
const rowsPerLook = 16

/** What to do with a parameter that is not filled. */
const parameterHint = ' Write `{{params.name}}` in their place, and give `params` to the start.'

/** A character that replaces what is not valid UTF-8. */
const replacement = '\ufffd'

/** The rows of a statement that is being read. */
interface OpenRows {
  readonly iterator: Iterator<unknown[]>
  readonly columns: BatchColumns
  readonly names: readonly string[]
  readonly query: Query
  /** Whether replaced characters in texts were found to be a part of them. */
  isChecked: boolean
}

/** A transaction on a connection of its own. One statement at a time gives rows. */
export class ReadSession {
  readonly #source: SqliteFile
  #file: OpenFile
  readonly #signal: AbortSignal
  readonly #patience: LockPatience
  readonly #faults: TextFaults
  readonly #turns = new EventLoopTurns({ longest: longestTurn })
  #rows: OpenRows | undefined
  #isAtEnd = false
  #failure: { readonly error: unknown } | undefined

  private constructor(
    source: SqliteFile,
    file: OpenFile,
    signal: AbortSignal,
    patience: LockPatience,
    faults: TextFaults,
  ) {
    this.#source = source
    this.#file = file
    this.#signal = signal
    this.#patience = patience
    this.#faults = faults
  }

  /** Opens the file to read, and begins a transaction. It sees what was committed before. */
  static async open(file: SqliteFile, signal: AbortSignal, lockTimeout: number): Promise<ReadSession> {
    signal.throwIfAborted()
    const patience = new LockPatience('datasource', file.path, lockTimeout, signal)
    let session: ReadSession | undefined
    try {
      const opened = await patience.attempt(() => openToRead(file))
      session = new ReadSession(file, opened.file, signal, patience, opened.faults)
      await session.#begin()
      return session
    } catch (error) {
      session?.release()
      throw failure('datasource', `Could not read the file \`${file.path}\``, error)
    }
  }

  /** The first read of a transaction takes its snapshot, and waits for locks. Later ones wait for none. */
  async #begin(): Promise<void> {
    const { connection } = this.#file
    await this.#patience.attempt(() => {
      connection.exec('begin')
      try {
        connection.all('select 1 from sqlite_schema limit 1')
      } catch (error) {
        connection.exec('rollback')
        throw error
      }
    })
  }

  /** Commits the transaction, and begins the next one. */
  async renew(): Promise<void> {
    this.#file.check()
    // libsql keeps the snapshot until its statements are garbage-collected.
    if (this.#file.connection.driver.kind === 'libsql') await this.#reopen()
    else this.#file.connection.exec('commit')
    await this.#begin()
  }

  async #reopen(): Promise<void> {
    this.release()
    this.#file = (await this.#patience.attempt(() => openToRead(this.#source))).file
  }

  /**
   * The columns of a query. Throws `invalid_options` for what is not one statement that only reads, or has parameters without values. Each
   * is asked as a part of another statement, too, in which only such ones may stand.
   */
  describe(query: Query): readonly ResultColumn[] {
    const { text } = query
    const { columns } = this.#prepare(text)
    if (columns.length === 0 || !this.#isReading(text))
      throw invalid('query', 'one statement that gives rows and only reads, such as `select`', text)
    this.#checkFilled(query)
    return columns
  }

  /** SQLite reads a parameter without a value as null, so that a query may find nothing. */
  #checkFilled({ text, values }: Query): void {
    // The program of the statement names each parameter, by its number from 1.
    const program = this.#prepare(`explain ${text}`).all(boundValues(values))
    const unfilled = program.some(([, opcode, number]) => opcode === 'Variable' && Number(number) > values.length)
    if (!unfilled) return
    throw new JobError(
      'invalid_options',
      `The query has parameters without values.${placeholderHint({ text, values }) || parameterHint}`,
    )
  }

  #isReading(text: string): boolean {
    try {
      this.#prepare(`select 1 from (\n${bareStatement(text)}\n) q`)
      return true
    } catch {
      return false
    }
  }

  #prepare(sql: string): PreparedStatement {
    return this.#file.connection.prepare(sql)
  }

  /** All rows of a query with a small result. */
  all({ text, values }: Query): StoredValue[][] {
    return this.#prepare(text).all(boundValues(values))
  }

  /** The rows of a query, one after the other, with turns of the event loop in between. */
  async *scan({ text, values }: Query): AsyncGenerator<StoredValue[]> {
    const { connection } = this.#file
    const rows = this.#prepare(text).iterate(boundValues(values))
    try {
      for (let next = rows.next(); !next.done; next = rows.next()) {
        yield next.value.map(storedOf)
        await this.#turn()
      }
    } finally {
      connection.end(rows)
    }
  }

  /** Counts the rows of a query. Unlike `count(*)`, it does not block the event loop. */
  async count(query: Query): Promise<number> {
    let count = 0
    const rows = this.#prepare(`select 1 from (\n${bareStatement(query.text)}\n) q`).iterate(boundValues(query.values))
    try {
      while (!rows.next().done) if (++count % 128 === 0) await this.#turn()
    } finally {
      this.#file.connection.end(rows)
    }
    return count
  }

  /** Opens a query. Throws `datasource` when a text of it is one that the driver would change. */
  async open(query: Query): Promise<void> {
    this.#close()
    const statement = this.#prepare(query.text)
    const names = statement.columns.map(({ name }) => name)
    const columns = new BatchColumns(columnsOf(statement.columns))
    await this.#checkTexts(query, names, this.#faults)
    const iterator = statement.iterate(boundValues(query.values))
    this.#rows = { iterator, columns, names, query, isChecked: this.#faults.utf8 }
    this.#isAtEnd = false
  }

  /** The next rows: at most `count`, and about `bytes`. `undefined` when there are no more. */
  async fetch(count: number, bytes: number): Promise<RecordBatch | undefined> {
    await this.#turn()
    const open = this.#rows as OpenRows
    const rows: StoredValue[][] = []
    const large = new Set<number>()
    let hasReplacement = false
    let size = 0
    while (rows.length < count && size < bytes) {
      const row = this.#next(open.iterator, rows.length > 0)
      if (!row) break
      for (let index = 0; index < row.length; index++) {
        const value = row[index] as StoredValue
        if (typeof value === 'bigint') {
          row[index] = storedOf(value)
          if (typeof row[index] === 'bigint') large.add(index)
        } else if (typeof value === 'string' && value.includes(replacement)) hasReplacement = true
      }
      if (bytes !== Number.POSITIVE_INFINITY) size += sizeOf(row)
      rows.push(row)
      if (rows.length % rowsPerLook === 0) await this.#turn()
    }
    if (hasReplacement) await this.#checkReplaced(open)
    if (this.#isAtEnd) this.#close()
    this.#file.check()
    return rows.length === 0 ? undefined : RecordBatch.fromRows(open.columns.with(large), rows)
  }

  /** The next row; `undefined` at the end. An error comes after the rows before it. */
  #next(rows: Iterator<unknown[]>, hasRows: boolean): StoredValue[] | undefined {
    if (this.#failure) throw this.#failure.error
    try {
      const next = rows.next()
      if (!next.done) return next.value as StoredValue[]
      this.#isAtEnd = true
    } catch (error) {
      if (!hasRows) throw error
      this.#failure = { error }
    }
    return undefined
  }

  /** Whether the last row of the open query was fetched. */
  get isAtEnd(): boolean {
    return this.#isAtEnd
  }

  /** A replaced character may be one that the text has. Once per query, the bytes tell. */
  async #checkReplaced(open: OpenRows): Promise<void> {
    if (open.isChecked) return
    open.isChecked = true
    await this.#checkTexts(open.query, open.names, { nul: false, utf8: true })
  }

  async #checkTexts({ text, values }: Query, names: readonly string[], faults: TextFaults): Promise<void> {
    if (!faults.nul && !faults.utf8) return
    const query = textsQuery({ text: bareStatement(text), values }, names, faults)
    const driver = this.#file.connection.driver.kind === 'node' ? 'node:sqlite' : this.#file.connection.driver.kind
    for await (const row of this.scan(query)) checkTexts(row, names, faults, driver)
  }

  /** Yields to the event loop when it has been blocked for long. */
  async #turn(): Promise<void> {
    this.#signal.throwIfAborted()
    const turn = this.#turns.pass()
    if (!turn) return
    await turn
    this.#signal.throwIfAborted()
  }

  #close(): void {
    if (this.#rows) this.#file.connection.end(this.#rows.iterator)
    this.#rows = undefined
  }

  /** Ends the transaction and closes the connection. */
  release(): void {
    this.#rows = undefined
    this.#file.connection.close()
  }
}

async function openToRead(source: SqliteFile): Promise<{ file: OpenFile; faults: TextFaults }> {
  const file = await source.open(true)
  try {
    file.connection.exec(settings)
    return { file, faults: faultsOf(file.connection) }
  } catch (error) {
    file.connection.close()
    throw error
  }
}

/** The approximate size of a row in bytes. */
function sizeOf(row: readonly StoredValue[]): number {
  let size = 0
  for (const value of row)
    size += typeof value === 'string' ? value.length : value instanceof Uint8Array ? value.byteLength : 8
  return size
}

/** A statement without the semicolon at its end. Its own last line may be a comment. */
export function bareStatement(text: string): string {
  return text.replace(/;\s*$/, '')
}

/** The error of a failed query, as the job reports it. */
export function queryFailure(cause: unknown): JobError {
  return failure('datasource', 'The query failed', cause)
}

import type { Column, OpenContext, RecordBatch, WriteContext } from '../../../adapter.js'
import { failure, type PostgresPool, WriteSession } from '../client/index.js'
import {
  CopyRows,
  createTable,
  findTable,
  type Guard,
  type Locks,
  type RowGroup,
  raiseToRows,
  type Table,
  type TableRef,
  type TableShape,
} from '../table/index.js'
import { CopyConnection } from './copy-connection.js'
import { EmptiedCheck } from './emptied-check.js'
import type { Fence } from './fence.js'
import type { LoadStrategy } from './load.js'
import { refusedRow, refusesAll } from './savepoint.js'

/** How long ending a statement on the server may take, in milliseconds. */
const terminateTimeout = 1000

/** What a target has open for one execution. */
export interface TargetTools {
  readonly pool: PostgresPool
  /** The session of all statements but COPY. */
  readonly session: WriteSession
  /** The session of each connection that copies records: one, or two that alternate. */
  readonly sessions: readonly WriteSession[]
  readonly ref: TableRef
  readonly fence: Fence
  readonly locks: Locks
  readonly context: OpenContext
  readonly shape: TableShape
  /** Ends the pool, if it belongs to the target. */
  end(): Promise<void>
}

/** How records are loaded into the table. */
interface Loading {
  /** The table, as SQL. */
  readonly sql: string
  readonly rows: CopyRows
  /** Detects that the table was altered. */
  readonly guard: Guard | undefined
  /** One for each connection. */
  readonly loads: readonly LoadStrategy[]
}

/** What a writer does with the table. */
export interface LoadPlan {
  /** The key columns of an upsert. */
  readonly key?: readonly string[]
  /** Returns the strategy of one connection. */
  load(table: Table): LoadStrategy
  /** Throws `target` when the table does not support the plan, before anything is loaded. */
  check?(table: Table): Promise<void>
  /** Throws `target` when rows with only these columns cannot be loaded. */
  accept?(names: readonly string[]): void
}

/** Copies the batches of one execution over its connections, and explains why one failed. */
export class TableCopy {
  readonly #tools: TargetTools
  readonly #plan: LoadPlan
  readonly #connections: readonly CopyConnection[]
  /** Undefined until the table exists. */
  #loading: Loading | undefined
  /** The index of the connection that gets records. */
  #index = 0
  #refusesAll = false

  constructor(tools: TargetTools, plan: LoadPlan, emptiedCheck = new EmptiedCheck()) {
    const { sessions, fence, ref, context } = tools
    const dropWarning = `A trigger drops records that are appended to \`${ref.title}\`. \`written\` still counts them.`
    const onRowsDropped = () => context.warn?.(dropWarning)
    this.#tools = tools
    this.#plan = plan
    this.#connections = sessions.map((session) => new CopyConnection(session, fence, emptiedCheck, onRowsDropped))
  }

  /** Whether the table exists. */
  get hasTable(): boolean {
    return this.#loading !== undefined
  }

  /** Prepares to load the table that was found. Throws `target` when it does not support that. */
  async prepare(table: Table): Promise<void> {
    this.#loading = await this.#loadingOf(table)
  }

  /** Creates the table for these columns of records. Calls `onCreated` before it is loaded. */
  async create(columns: readonly Column[], onCreated: (table: Table) => Promise<void>): Promise<void> {
    const { session, ref, locks, shape } = this.#tools
    await locks.transaction(session, () => createTable(session, ref, columns, shape))
    const table = (await findTable(session, ref)) as Table
    const loading = await this.#loadingOf(table)
    await onCreated(table)
    this.#loading = loading
  }

  async #loadingOf(table: Table): Promise<Loading> {
    const { session, sessions, locks, shape } = this.#tools
    const loads = sessions.map(() => this.#plan.load(table))
    await locks.transaction(session, async () => {
      await loads[0]?.check(session)
      await this.#plan.check?.(table)
    })
    return { sql: table.sql, loads, rows: new CopyRows(table, shape.columns, this.#plan.key), guard: table.guard }
  }

  /** A table that does not exist yet needs the types of the columns, so it takes no encoded rows. */
  acceptsEncoded(format: string, columns: readonly Column[]): boolean {
    return this.#loading?.rows.acceptsEncoded(format, columns) ?? false
  }

  /** Whether no record can be written any more. */
  get isBroken(): boolean {
    return this.#refusesAll || !this.#connection.session.isSound
  }

  /** Writes a batch. Returns its rows. */
  async write(batch: RecordBatch, { idempotencyKey }: WriteContext, connection: CopyConnection): Promise<RowGroup[]> {
    const { toleratesFailures } = this.#tools.context
    const load = this.#loadOf(connection) as LoadStrategy
    const groups = await this.#groupsOf(batch, load, connection)
    if (toleratesFailures) await connection.writeWhole(groups, load, idempotencyKey)
    else await connection.write(groups, load, idempotencyKey)
    return groups
  }

  /**
   * Encodes a batch. When the columns of the table have changed, or all rows have the same wrong columns, no single
   * record is at fault.
   */
  async #groupsOf(batch: RecordBatch, { takesMarks }: LoadStrategy, connection: CopyConnection): Promise<RowGroup[]> {
    const { rows, guard } = this.#loading as Loading
    try {
      const groups = rows.groupsOf(batch, takesMarks)
      for (const { names } of groups) this.#plan.accept?.(names)
      return groups
    } catch (error) {
      await connection.checkTable(guard)
      this.#refusesAll ||= batch.isRaw
      throw error
    }
  }

  /** Removes all rows of the table, in the transaction of the next rows. A table that does not exist has none. */
  async truncate(): Promise<void> {
    if (!this.#loading) return
    const { sql } = this.#loading
    const { toleratesFailures = false } = this.#tools.context
    await this.attempt('truncate', (connection) =>
      connection.truncate(sql, this.#loadOf(connection) as LoadStrategy, toleratesFailures),
    )
  }

  /** Commits the written records together with the checkpoint. The next batch goes to the next connection. */
  async flush(checkpoint: unknown): Promise<void> {
    const connection = this.#connection
    const load = this.#loadOf(connection)
    this.#index = (this.#index + 1) % this.#connections.length
    await this.attempt('write to', () => connection.flush(checkpoint, load), connection)
  }

  /** Raises the sequences of these columns to the values that were written. */
  async raiseSequences(columns: ReadonlySet<string>): Promise<void> {
    if (columns.size === 0) return
    const { session, ref, locks } = this.#tools
    const raise = () => locks.transaction(session, () => raiseToRows(session, ref, columns))
    await this.attempt('raise the sequences of', raise, this.#connections[0])
  }

  /** Releases the connections. Then runs `last`, which cleans up. */
  async close(last?: () => Promise<void>): Promise<void> {
    const sessions = this.#connections.map(({ session }) => session)
    const cleanup = this.#loading?.loads[0]?.cleanup
    await Promise.all(sessions.map((session) => session.release(cleanup)))
    if (sessions.some(({ isStuck }) => isStuck)) await this.#terminate()
    try {
      await this.attempt('clean up', async () => last?.())
    } finally {
      await this.#tools.end()
    }
  }

  /** Runs `action` on a connection. Throws its error as a `target` error that says why it failed. */
  async attempt<Answer>(
    what: string,
    action: (connection: CopyConnection) => Promise<Answer>,
    connection = this.#connection,
  ): Promise<Answer> {
    try {
      return await action(connection)
    } catch (error) {
      const { ref, fence, locks } = this.#tools
      this.#refusesAll ||= refusesAll(error)
      const refused = refusedRow(error, this.#loading?.loads[0]?.copied ?? ref.name)
      const { session } = connection
      const explained = await fence.explain(error, session, this.#loading?.guard)
      const cause = await locks.explain(explained, session)
      const place = refused === undefined ? {} : connection.placeOf(refused)
      throw failure('target', `Could not ${what} \`${ref.title}\``, cause, place)
    }
  }

  get #connection(): CopyConnection {
    return this.#connections[this.#index] as CopyConnection
  }

  #loadOf(connection: CopyConnection): LoadStrategy | undefined {
    return this.#loading?.loads[this.#connections.indexOf(connection)]
  }

  /** Ends what the server still runs for this execution. Never rejects. */
  async #terminate(): Promise<void> {
    const { pool, fence } = this.#tools
    const other = WriteSession.open(pool, AbortSignal.timeout(terminateTimeout))
    const terminated = other.then((opened) => fence.terminate(opened).finally(() => opened.release()))
    await Promise.allSettled([terminated])
  }
}

import {
  type Column,
  checkOptions,
  invalid,
  type OpenContext,
  type RecordBatch,
  type Rule,
  rule,
  type Target,
  type TargetWriter,
} from '../index.js'
import { Fence } from './_postgres-fence.js'
import { Insert, type Load, Upsert } from './_postgres-load.js'
import { calm, failure, openPool, type PostgresClient, type PostgresPool } from './_postgres-pool.js'
import { CopyRows, type Layout } from './_postgres-rows.js'
import { Session } from './_postgres-session.js'
import { findTable, parseTableName, sqlOf, type Table, type TableName } from './_postgres-table.js'

export type { PostgresClient, PostgresPool, TableName }

/** Which table, and how it is written. */
export interface PostgresTargetOptions {
  /** A pool of pg, which stays open; a running job takes one connection of it. Instead of `connectionString`. */
  pool?: PostgresPool
  /** Where the server is, such as `postgres://user@host/database`: for one connection while a job runs. */
  connectionString?: string
  /** The table: `name`, `schema.name`, or an object with both for names that have a dot. It must exist. */
  table: string | TableName
  /** `insert`, the default, adds every record. `upsert` changes the row that has the record's key, and adds it if there is none. */
  mode?: 'insert' | 'upsert'
  /** The columns of the table that `upsert` tells rows by: exactly those of a primary key or of another unique index. */
  key?: string | readonly string[]
  /**
   * Which of the records' columns go to which of the table's, such as `{ id: 'user_id' }`: all others are left out.
   * Default: each to the one of its own name.
   */
  columns?: Readonly<Record<string, string>>
  /** The table that holds checkpoints, which is made when it is missing. Default: `headgate_checkpoint` in the table's schema. */
  checkpoints?: string | TableName
}

const tableRule: Rule = {
  accepts: (value) =>
    typeof value === 'string'
      ? /^[^."]+(\.[^."]+)?$/.test(value)
      : rule.text.accepts((value as TableName | null)?.name),
  expected: '`name`, `schema.name` or an object with `name`',
}

const columnsRule: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && areNames(Object.values(value)),
  expected: "an object with names of the table's columns, each of them once",
}

const keyRule: Rule = {
  accepts: (value) => areNames([value].flat()),
  expected: 'the name of a column, or an array of such names',
}

const rules = {
  pool: rule.optional(rule.having('connect')),
  connectionString: rule.optional(rule.text),
  table: tableRule,
  mode: rule.optional(rule.oneOf('insert', 'upsert')),
  key: rule.optional(keyRule),
  columns: rule.optional(columnsRule),
  checkpoints: rule.optional(tableRule),
}

/**
 * A target that adds records to a table of Postgres with COPY, or merges them on a key. Exactly once: the job's checkpoint
 * is kept beside the table, in one transaction with the records, and only the last execution of a job can commit.
 *
 * Throws `invalid_options`. Opening and writing throw `target`, with the driver's error as `cause`, and `lease_lost` when a
 * later execution has taken over.
 */
export function postgresTarget(options: PostgresTargetOptions): Target {
  checkOptions('options', options, rules)
  const { pool, connectionString, mode, key } = options
  if ((mode === 'upsert') !== (key !== undefined))
    throw invalid('key', 'there with the mode `upsert`, and only then', key)
  if ((pool === undefined) === (connectionString === undefined)) {
    throw invalid('options', 'an object with either `pool` or `connectionString`', options)
  }
  return {
    kind: 'postgres',
    strategy: 'append',
    async open(context) {
      if (pool) return open(pool, async () => {}, options, context)
      const own = openPool(connectionString as string)
      return open(own, () => own.end(), options, context)
    },
  }
}

/** Whether these are names, each of them once. */
function areNames(names: unknown[]): boolean {
  return names.length > 0 && names.every(rule.text.accepts) && new Set(names).size === names.length
}

async function open(
  pool: PostgresPool,
  end: () => Promise<void>,
  options: PostgresTargetOptions,
  context: OpenContext,
): Promise<TargetWriter> {
  calm(pool)
  const { checkpoints = 'headgate_checkpoint', key, columns } = options
  const wanted = parseTableName(options.table)
  let session: Session | undefined
  try {
    session = await Session.open(pool, context.signal)
    const table = await findTable(session, wanted)
    const load = key === undefined ? new Insert(table) : new Upsert(table, [key].flat())
    await load.check(session)
    const fence = new Fence(table, parseTableName(checkpoints), context)
    const checkpoint = await fence.takeOver(session)
    const rows = new CopyRows(table, columns)
    return new PostgresWriter({ session, table, rows, load, fence, checkpoint, end })
  } catch (error) {
    await session?.release()
    await end()
    throw failure(`open the table ${sqlOf(wanted)}`, error)
  }
}

/** What a writer works with. */
interface Opened {
  readonly session: Session
  readonly table: Table
  readonly rows: CopyRows
  readonly load: Load
  readonly fence: Fence
  readonly checkpoint: unknown
  end(): Promise<void>
}

class PostgresWriter implements TargetWriter {
  readonly checkpoint: unknown
  readonly #opened: Opened
  #isBegun = false
  /** Format and columns of the COPY that is under way. */
  #copied: string | undefined

  constructor(opened: Opened) {
    this.checkpoint = opened.checkpoint
    this.#opened = opened
  }

  takesEncoded(format: string, columns: readonly Column[]): boolean {
    return this.#opened.rows.takesEncoded(format, columns)
  }

  async write(batch: RecordBatch): Promise<void> {
    await this.#attempt(async () => {
      const { session, rows, fence } = this.#opened
      const layout = rows.layoutOf(batch)
      if (!this.#isBegun) fence.begin(session)
      this.#isBegun = true
      await this.#copyTo(layout)
      for (const piece of layout.pieces(batch)) await session.writeCopy(piece)
    })
  }

  async flush(checkpoint: unknown): Promise<void> {
    await this.#attempt(async () => {
      const { session, fence } = this.#opened
      await this.#endCopy()
      await fence.keep(session, checkpoint)
      if (this.#isBegun) await session.query('commit')
      this.#isBegun = false
    })
  }

  async commit(): Promise<void> {
    await this.#close()
  }

  async abort(): Promise<void> {
    await this.#close()
  }

  /** Goes on with the COPY to these columns, or begins one. */
  async #copyTo({ names, isBinary }: Layout): Promise<void> {
    const copied = [isBinary, ...names].join('\0')
    if (this.#copied === copied) return
    await this.#endCopy()
    const { session, load } = this.#opened
    await load.start(session, names, isBinary)
    this.#copied = copied
  }

  async #endCopy(): Promise<void> {
    if (this.#copied === undefined) return
    const { session, load } = this.#opened
    await load.end(session)
    this.#copied = undefined
  }

  async #close(): Promise<void> {
    const { session, load, end } = this.#opened
    await session.release(load.farewell)
    await end()
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      const { table, fence } = this.#opened
      throw failure(`write to \`${table.title}\``, fence.explain(error))
    }
  }
}

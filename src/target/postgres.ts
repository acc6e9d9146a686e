import { type Column, JobError, type OpenContext, type RecordBatch, type Target, type TargetWriter } from '../index.js'
import { createTable } from './_postgres-create.js'
import { Fence } from './_postgres-fence.js'
import { Insert, type Load, Upsert } from './_postgres-load.js'
import { checkTargetOptions, type PostgresTargetOptions } from './_postgres-options.js'
import { calm, failure, openPool, type PostgresClient, type PostgresPool } from './_postgres-pool.js'
import { type Beginning, Replacement } from './_postgres-replace.js'
import { CopyRows, type Layout } from './_postgres-rows.js'
import { inSavepoint, refusedPlace, refusesAll } from './_postgres-savepoint.js'
import { Session } from './_postgres-session.js'
import {
  findPlace,
  findTable,
  type Place,
  parseTableName,
  sqlOf,
  type Table,
  type TableName,
} from './_postgres-table.js'
import { defaultMaxShrink } from './_shrink.js'

export type { PostgresClient, PostgresPool, PostgresTargetOptions, TableName }

/**
 * A target that adds records to a table of Postgres with COPY, merges them on a key, or replaces the table. Exactly once: the job's checkpoint
 * is kept beside the table, in one transaction with the records, and only the last execution of a job can commit.
 *
 * Throws `invalid_options`. Opening and writing throw `target`, with the driver's error as `cause`, and `lease_lost` when a
 * later execution has taken over.
 */
export function postgresTarget(options: PostgresTargetOptions): Target {
  checkTargetOptions(options)
  const { pool, connectionString, strategy = 'append' } = options
  return {
    kind: 'postgres',
    strategy,
    isAtomic: true,
    async open(context) {
      if (pool) return open(pool, async () => {}, options, context)
      const own = openPool(connectionString as string)
      return open(own, () => own.end(), options, context)
    },
  }
}

/** How records get into the table. */
interface Loading {
  readonly rows: CopyRows
  readonly load: Load
}

/** What a writer works with. */
interface Opened extends Beginning {
  readonly pool: PostgresPool
  readonly session: Session
  readonly place: Place
  /** Missing as long as the table is. */
  readonly loading: Loading | undefined
  readonly fence: Fence
  readonly replacement: Replacement | undefined
  readonly isResumable: boolean
  readonly toleratesFailures: boolean
  /** Makes the table. */
  create(batch: RecordBatch): Promise<Loading>
  end(): Promise<void>
}

async function open(
  pool: PostgresPool,
  end: () => Promise<void>,
  options: PostgresTargetOptions,
  context: OpenContext,
): Promise<TargetWriter> {
  calm(pool)
  const wanted = parseTableName(options.table)
  let session: Session | undefined
  try {
    session = await Session.open(pool, context.signal)
    return new PostgresWriter({ ...(await prepare(session, pool, wanted, options, context)), end })
  } catch (error) {
    await session?.release()
    await end()
    throw failure(`open the table ${sqlOf(wanted)}`, error)
  }
}

async function prepare(
  session: Session,
  pool: PostgresPool,
  wanted: TableName,
  options: PostgresTargetOptions,
  context: OpenContext,
): Promise<Omit<Opened, 'end'>> {
  const { checkpoints = 'headgate_checkpoint', key = [], mode, columns, strategy } = options
  const { swap = 'rows', maxShrink = defaultMaxShrink, lockTimeout = 5_000 } = options
  const table = await findTable(session, wanted)
  if (!table && !options.createTable) {
    throw new JobError('target', `Expected a table ${sqlOf(wanted)} to write to, found none.`)
  }
  const place = table ?? (await findPlace(session, wanted))
  const fence = new Fence(place, parseTableName(checkpoints), context)
  const tools = { pool, session, fence, context }
  const beside = new Replacement(place, { swap, maxShrink, lockTimeout }, tools)
  const replacement = strategy === 'replace' ? beside : undefined
  const loadingOf = async (table: Table) => {
    const load =
      mode === 'upsert' ? new Upsert(table, [key].flat()) : new Insert(replacement?.stagingOf(table) ?? table)
    await load.check(session)
    await replacement?.check(table)
    return { load, rows: new CopyRows(table, columns) }
  }
  const create = async (batch: RecordBatch) => {
    await createTable(session, place, batch.columns, options)
    const made = (await findTable(session, place)) as Table
    const loading = await loadingOf(made)
    await replacement?.stage(made)
    return loading
  }
  const loading = table && (await loadingOf(table))
  const kept = await fence.takeOver(session)
  const isBeside = replacement !== undefined || Replacement.hasKept(kept)
  const beginning = isBeside ? await beside.begin(replacement && table, kept) : appendTo(table, kept, context)
  const { isResumable, toleratesFailures = false } = context
  const opened = { pool, session, place, loading, fence, replacement, isResumable, toleratesFailures, create }
  return { ...opened, ...beginning }
}

/** What a checkpoint counts on is gone with the table. */
function appendTo(table: Table | undefined, checkpoint: unknown, { isResumed }: OpenContext): Beginning {
  return table ? { checkpoint } : { mustRestart: isResumed || checkpoint !== undefined }
}

class PostgresWriter implements TargetWriter {
  readonly checkpoint?: unknown
  readonly mustRestart?: boolean
  readonly #opened: Opened
  #loading: Loading | undefined
  #isBegun = false
  #refusesAll = false
  /** Format and columns of the COPY that is under way. */
  #copied: string | undefined

  constructor(opened: Opened) {
    this.checkpoint = opened.checkpoint
    this.mustRestart = opened.mustRestart ?? false
    this.#opened = opened
    this.#loading = opened.loading
  }

  /** Rows of a table that is yet to be made have to say their types. */
  takesEncoded(format: string, columns: readonly Column[]): boolean {
    return this.#loading?.rows.takesEncoded(format, columns) ?? false
  }

  async write(batch: RecordBatch): Promise<void> {
    await this.#attempt('write to', async () => {
      const { session, replacement, toleratesFailures } = this.#opened
      this.#loading ??= await this.#opened.create(batch)
      const { load, rows } = this.#loading
      const layout = rows.layoutOf(batch)
      if (toleratesFailures) await this.#writeWhole(batch, load, layout)
      else {
        await this.#begin()
        await this.#copyTo(load, layout)
        for (const piece of layout.pieces(batch)) await session.writeCopy(piece)
      }
      replacement?.count(batch.length)
    })
  }

  get isBroken(): boolean {
    return this.#refusesAll || !this.#opened.session.isSound
  }

  async flush(checkpoint: unknown): Promise<void> {
    await this.#attempt('write to', async () => {
      const { session, fence, replacement } = this.#opened
      await this.#endCopy()
      await fence.keep(session, replacement ? replacement.keptOf(checkpoint) : checkpoint)
      if (this.#isBegun) await session.query('commit')
      this.#isBegun = false
    })
  }

  async commit(): Promise<void> {
    await this.#attempt('replace', async () => this.#opened.replacement?.swap())
    await this.#close()
  }

  async abort(reason: unknown): Promise<void> {
    const { replacement, isResumable } = this.#opened
    const isLost = JobError.isInstance(reason) && reason.code === 'lease_lost'
    await this.#close(replacement && !isResumable && !isLost ? () => replacement.discard() : undefined)
  }

  async #begin(): Promise<void> {
    if (this.#isBegun) return
    const { session, fence, toleratesFailures } = this.#opened
    try {
      fence.begin(session)
      // What is checked at the commit only would fail all that is in it.
      if (toleratesFailures) await session.query('set constraints all immediate')
    } catch (error) {
      if (session.isSound) await session.query('rollback')
      throw error
    }
    this.#isBegun = true
  }

  /** Writes a batch, or nothing of it. Encodes it first: what cannot be encoded is refused before anything is sent. */
  async #writeWhole(batch: RecordBatch, load: Load, { names, isBinary, pieces }: Layout): Promise<void> {
    const { session } = this.#opened
    const encoded = [...pieces(batch)]
    await this.#begin()
    await inSavepoint(session, load, async () => {
      await load.start(session, names, isBinary)
      for (const piece of encoded) await session.writeCopy(piece)
      await load.end(session)
      await load.clear(session)
    })
  }

  /** Goes on with the COPY to these columns, or begins one. */
  async #copyTo(load: Load, { names, isBinary }: Layout): Promise<void> {
    const copied = [isBinary, ...names].join('\0')
    if (this.#copied === copied) return
    await this.#endCopy()
    await load.start(this.#opened.session, names, isBinary)
    this.#copied = copied
  }

  async #endCopy(): Promise<void> {
    if (this.#copied === undefined) return
    await this.#loading?.load.end(this.#opened.session)
    this.#copied = undefined
  }

  async #close(last?: () => Promise<void>): Promise<void> {
    const { session, end } = this.#opened
    await session.release(this.#loading?.load.farewell)
    try {
      await this.#attempt('take away what was staged for', async () => last?.())
    } finally {
      await end()
    }
  }

  async #attempt(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      const { place, fence } = this.#opened
      this.#refusesAll ||= refusesAll(error)
      const refused = this.#loading && refusedPlace(error, this.#loading.load.copied)
      throw failure(`${what} \`${place.title}\``, fence.explain(error), refused)
    }
  }
}

import { type Column, JobError, type OpenContext, type RecordBatch, type Target, type TargetWriter } from '../index.js'
import { connectionsOf } from '../postgres/connections.js'
import { failure } from '../postgres/errors.js'
import { sqlOf, type TableName } from '../postgres/identifiers.js'
import { handleErrors, openPool, type PostgresClient, type PostgresPool } from '../postgres/pool.js'
import { AppendedTable } from './_postgres-append.js'
import { createTable } from './_postgres-create.js'
import { Fence } from './_postgres-fence.js'
import { Lane } from './_postgres-lane.js'
import { Insert, type Load } from './_postgres-load.js'
import { checkTargetOptions, type PostgresTargetOptions } from './_postgres-options.js'
import { type Beginning, Replacement } from './_postgres-replace.js'
import { CopyRows } from './_postgres-rows.js'
import { refusedPlace, refusesAll } from './_postgres-savepoint.js'
import { raiseToRows } from './_postgres-sequences.js'
import { Session } from './_postgres-session.js'
import { findPlace, findTable, type Place, parseTableName, type Table } from './_postgres-table.js'
import { Upsert } from './_postgres-upsert.js'
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
  const { pool, connectionString, connections = 1, strategy = 'append' } = options
  return {
    kind: 'postgres',
    strategy,
    isAtomic: true,
    takesParts: true,
    // A pool of its own is as large as one execution needs.
    needs: (context) => (pool ? connectionsOf(pool).need(lanesOf(options, context)) : []),
    async open(context) {
      if (pool) return open(pool, async () => {}, options, context)
      const own = openPool(connectionString as string, connections)
      return open(own, () => own.end(), options, context)
    },
  }
}

/** How records get into the table. */
interface Loading {
  readonly rows: CopyRows
  /** One for each lane. */
  readonly loads: readonly Load[]
}

/** What a writer works with. */
interface Opened extends Beginning {
  /** One, or two that take turns. */
  readonly lanes: readonly Lane[]
  readonly place: Place
  /** Missing as long as the table is. */
  readonly loading: Loading | undefined
  readonly fence: Fence
  readonly replacement: Replacement | undefined
  readonly appended: AppendedTable
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
  handleErrors(pool)
  const wanted = parseTableName(options.table)
  const sessions: Session[] = []
  try {
    for (let index = 0; index < lanesOf(options, context); index++)
      sessions.push(await Session.open(pool, context.signal, options.silenceTimeout))
    return new PostgresWriter({ ...(await prepare(sessions, pool, wanted, options, context)), end })
  } catch (error) {
    await Promise.all(sessions.map((session) => session.release()))
    await end()
    throw failure('target', `Could not open the table ${sqlOf(wanted)}`, error)
  }
}

/** Records that are put aside, and a table that is replaced, are the matter of one transaction after the other. */
function lanesOf(
  { connections = 1, strategy }: PostgresTargetOptions,
  { toleratesFailures }: Pick<OpenContext, 'toleratesFailures'>,
): number {
  return strategy === 'replace' || toleratesFailures ? 1 : connections
}

async function prepare(
  sessions: readonly Session[],
  pool: PostgresPool,
  wanted: TableName,
  options: PostgresTargetOptions,
  context: OpenContext,
): Promise<Omit<Opened, 'end'>> {
  const { checkpoints = 'headgate_checkpoint', key = [], mode, columns, strategy } = options
  const { swap = 'rows', maxShrink = defaultMaxShrink, lockTimeout = 5_000 } = options
  const session = sessions[0] as Session
  const table = await findTable(session, wanted)
  if (!table && !options.createTable) {
    throw new JobError('target', `Expected a table ${sqlOf(wanted)} to write to, found none.`)
  }
  const place = table ?? (await findPlace(session, wanted))
  const fence = new Fence(place, parseTableName(checkpoints), context)
  const tools = { pool, session, fence, context }
  const beside = new Replacement(place, { swap, maxShrink, lockTimeout }, tools)
  const replacement = strategy === 'replace' ? beside : undefined
  const appended = new AppendedTable(session, fence, context)
  const loadingOf = async (table: Table) => {
    const loads = sessions.map(() =>
      mode === 'upsert' ? new Upsert(table, [key].flat()) : new Insert(replacement?.stagingOf(table) ?? table),
    )
    await loads[0]?.check(session)
    await replacement?.check(table)
    return { loads, rows: new CopyRows(table, columns, mode === 'upsert' ? [key].flat() : []) }
  }
  const create = async (batch: RecordBatch) => {
    await createTable(session, place, batch.columns, options)
    const made = (await findTable(session, place)) as Table
    const loading = await loadingOf(made)
    await (replacement ? replacement.stage(made) : appended.identify(made))
    return loading
  }
  const loading = table && (await loadingOf(table))
  const kept = await fence.takeOver(session)
  if (table && !replacement) await appended.identify(table)
  const isBeside = replacement !== undefined || Replacement.hasKept(kept)
  const beginning = isBeside ? await beside.begin(replacement && table, kept) : appended.begin(table, kept)
  const { isResumable, toleratesFailures = false } = context
  const lanes = sessions.map((session) => new Lane(session, fence))
  return { lanes, place, loading, fence, replacement, appended, isResumable, toleratesFailures, create, ...beginning }
}

class PostgresWriter implements TargetWriter {
  readonly checkpoint?: unknown
  readonly mustRestart?: boolean
  readonly takesMeanwhile: boolean
  readonly #opened: Opened
  #loading: Loading | undefined
  /** The lane that takes records. */
  #turn = 0
  #refusesAll = false
  /** The columns that records had. */
  readonly #written = new Set<string>()

  constructor(opened: Opened) {
    this.checkpoint = opened.checkpoint
    this.mustRestart = opened.mustRestart ?? false
    this.takesMeanwhile = opened.lanes.length > 1
    this.#opened = opened
    this.#loading = opened.loading
  }

  /** Rows of a table that is yet to be made have to say their types. */
  takesEncoded(format: string, columns: readonly Column[]): boolean {
    return this.#loading?.rows.takesEncoded(format, columns) ?? false
  }

  async write(batch: RecordBatch): Promise<void> {
    const lane = this.#lane
    const turn = this.#turn
    await this.#attempt(
      'write to',
      async () => {
        const { replacement, toleratesFailures } = this.#opened
        this.#loading ??= await this.#opened.create(batch)
        const { loads, rows } = this.#loading
        const load = loads[turn] as Load
        const parts = rows.partsOf(batch, load.takesMarks)
        for (const { names } of parts) replacement?.accept(names)
        if (toleratesFailures) await lane.writeWhole(parts, load)
        else await lane.write(parts, load)
        replacement?.count(parts)
        for (const name of parts.flatMap(({ names }) => names)) this.#written.add(name)
      },
      lane,
    )
  }

  get isBroken(): boolean {
    return this.#refusesAll || !this.#lane.session.isSound
  }

  async flush(checkpoint: unknown): Promise<void> {
    const lane = this.#lane
    this.#turn = (this.#turn + 1) % this.#opened.lanes.length
    await this.#attempt(
      'write to',
      async () => {
        const { replacement, appended } = this.#opened
        await lane.flush((replacement ?? appended).keptOf(checkpoint))
      },
      lane,
    )
  }

  isReset(): Promise<boolean> {
    return this.#opened.appended.isReset()
  }

  async commit(): Promise<void> {
    const { replacement, lanes, place } = this.#opened
    await this.#attempt('replace', async () => replacement?.swap())
    const [first] = lanes
    const written = replacement?.columns ?? this.#written
    if (first && written.size > 0)
      await this.#attempt('raise the sequences of', () => raiseToRows(first.session, place, written))
    await this.#close()
  }

  async abort(reason: unknown): Promise<void> {
    const { replacement, isResumable } = this.#opened
    const isLost = JobError.isInstance(reason) && reason.code === 'lease_lost'
    await this.#close(replacement && !isResumable && !isLost ? () => replacement.discard() : undefined)
  }

  get #lane(): Lane {
    return this.#opened.lanes[this.#turn] as Lane
  }

  async #close(last?: () => Promise<void>): Promise<void> {
    const { lanes, end } = this.#opened
    const farewell = this.#loading?.loads[0]?.farewell
    await Promise.all(lanes.map(({ session }) => session.release(farewell)))
    try {
      await this.#attempt('take away what was staged for', async () => last?.())
    } finally {
      await end()
    }
  }

  async #attempt(what: string, action: () => Promise<void>, lane = this.#lane): Promise<void> {
    try {
      await action()
    } catch (error) {
      const { place, fence } = this.#opened
      this.#refusesAll ||= refusesAll(error)
      const refused = refusedPlace(error, this.#loading?.loads[0]?.copied ?? place.name)
      throw failure('target', `Could not ${what} \`${place.title}\``, fence.explain(error), {
        ...(refused !== undefined && { recordIndex: lane.placeInBatch(refused) }),
      })
    }
  }
}

import { setTimeout } from 'node:timers/promises'
import { isTransient, JobError, type OpenContext, rule } from '../index.js'
import { isName, sqlOf } from '../postgres/identifiers.js'
import type { PostgresPool } from '../postgres/pool.js'
import type { Fence } from './_postgres-fence.js'
import { RenameSwap } from './_postgres-rename.js'
import type { Part } from './_postgres-rows.js'
import { Session } from './_postgres-session.js'
import { hasSameShape, RowsSwap, raiseSequences, type Swap } from './_postgres-swap.js'
import type { Place, Table } from './_postgres-table.js'
import { fewestInPlaceOf, shrinkError } from './_shrink.js'

/** How the table is replaced. */
export interface ReplaceOptions {
  readonly swap: 'rows' | 'rename'
  readonly maxShrink: number
  readonly lockTimeout: number
}

/** What a replacement works with. */
interface Tools {
  readonly pool: PostgresPool
  readonly session: Session
  readonly fence: Fence
  readonly context: OpenContext
}

/** Where the writing begins. */
export interface Beginning {
  readonly checkpoint?: unknown
  readonly mustRestart?: boolean
}

/** What is kept as the checkpoint: it counts the rows that were staged by then. */
interface Kept {
  readonly staged: number
  /** The columns that records had so far. */
  readonly columns?: readonly string[]
  readonly checkpoint: unknown
}

/** How often the lock is asked for. */
const maxTries = 10

/** How long a connection may take to take the staging table away after a failure, in milliseconds. */
const grace = 1000

/** The SQLSTATE of a lock that was not to be had in time. */
const lockNotAvailable = '55P03'

/** How the table is stored, for the staging table. */
const storageQuery = `
  select concat(' using ' || quote_ident(amname), ' with (' || (
      select string_agg(option, ', ') from (
        select unnest(c.reloptions) as option union all select 'toast.' || unnest(toast.reloptions)) as options
    ) || ')', ' tablespace ' || quote_ident(spcname)) as storage
  from pg_class c left join pg_tablespace s on s.oid = c.reltablespace left join pg_am a on a.oid = c.relam
    left join pg_class toast on toast.oid = c.reltoastrelid
  where c.oid = $1::regclass and c.relkind = 'r'`

/** The checks of the table: \`like\` would take one that is not valid for one that is. Comments on them come with it. */
const checksQuery = `
  select concat(format('alter table %s add constraint %I %s', $2::text, conname, pg_get_constraintdef(oid)),
    format('; comment on constraint %I on %s is %L', conname, $2::text, obj_description(oid, 'pg_constraint'))) as statement
  from pg_constraint where conrelid = $1::regclass and contype = 'c' order by conname`

/** Indexes and constraints that an execution before has made for its swap. */
const preparedQuery = `
  select format('alter table %s drop constraint %I', $1::text, conname) as statement from pg_constraint
  where conrelid = $1::regclass and contype in ('p', 'u', 'x', 'f')
  union all
  select format('drop index %s', indexrelid::regclass) from pg_index
  where indrelid = $1::regclass and indexrelid not in (select conindid from pg_constraint where contype in ('p', 'u', 'x'))`

/**
 * Loads rows beside a table and puts them in the place of the old ones in one step. What is beside is a table of the job's own, in
 * which its later executions go on, and which they take away when they begin anew.
 */
export class Replacement {
  /** The staging table. */
  readonly #staging: string
  readonly #stagingName: string
  readonly #place: Place
  readonly #options: ReplaceOptions
  readonly #tools: Tools
  #table: Table | undefined
  #staged = 0
  #swap: Swap | undefined
  /** The columns that were written to last. */
  #names: readonly string[] = []
  /** The columns that records had so far. */
  readonly #columns = new Set<string>()

  constructor(place: Place, options: ReplaceOptions, tools: Tools) {
    const { schema, name } = place
    this.#stagingName = `${startOf(name)}_headgate_${tools.fence.mark}`
    this.#staging = sqlOf({ schema, name: this.#stagingName })
    this.#place = place
    this.#options = options
    this.#tools = tools
  }

  /** Whether what is kept is of a replacement: the job may append by now. */
  static hasKept(kept: unknown): boolean {
    return Object.hasOwn(Object(kept), 'staged')
  }

  /** What rows are written to instead of the table. */
  stagingOf(table: Table): Table {
    return { ...table, name: this.#stagingName, sql: this.#staging, guard: undefined }
  }

  /** Throws `target` when the table cannot be swapped as the options say. */
  async check(table: Table): Promise<void> {
    this.#swap = this.#swapOf(table)
    await this.#swap.check(this.#tools.session)
  }

  /** Goes on with what an execution before has staged, if the job does and there is a table, and takes it away if not. */
  async begin(table: Table | undefined, kept: unknown): Promise<Beginning> {
    const { session, context } = this.#tools
    const { staged, columns = [], checkpoint } = Object(kept) as Partial<Kept>
    if (staged !== undefined && !rule.whole(0).accepts(staged)) throw damagedKept('staged', 'a whole number from 0 up')
    if (!Array.isArray(columns) || !columns.every(isName)) throw damagedKept('columns', 'an array of names')
    if (
      table &&
      context.isResumed &&
      checkpoint &&
      staged !== undefined &&
      (await hasSameShape(session, table.sql, this.#staging))
    ) {
      this.#table = table
      this.#staged = staged
      for (const name of columns) this.#columns.add(name)
      return { checkpoint }
    }
    await this.#sweep(session)
    if (table) await this.stage(table)
    return { mustRestart: context.isResumed }
  }

  /** Makes the staging table. */
  async stage(table: Table): Promise<void> {
    const { session } = this.#tools
    const [found] = await session.query(storageQuery, [table.sql])
    const checks = await session.query(checksQuery, [table.sql, this.#staging])
    await this.#transaction(async () => {
      await session.query(
        `set local default_tablespace to ''; create table ${this.#staging} (like ${table.sql} including all excluding indexes excluding constraints) ${found?.storage ?? ''}`,
      )
      for (const { statement } of checks) await session.query(String(statement))
      await session.query(raiseSequences, [this.#staging, table.sql])
    })
    this.#table = table
  }

  /** Throws `target` when rows cannot be swapped that have these columns alone. */
  accept(names: readonly string[]): void {
    if (names !== this.#names) this.#swap?.accept(names)
    this.#names = names
  }

  /** These rows were given to the staging table. */
  count(parts: readonly Part[]): void {
    for (const { length, names } of parts) {
      this.#staged += length
      for (const name of names) this.#columns.add(name)
    }
  }

  /** The columns that records had, also those of executions before. */
  get columns(): ReadonlySet<string> {
    return this.#columns
  }

  /** What the fence is to keep. */
  keptOf(checkpoint: unknown): Kept {
    return { staged: this.#staged, columns: [...this.#columns], checkpoint }
  }

  /** Swaps. Throws when that fails: the table is then as it was. */
  async swap(): Promise<void> {
    const { session, context } = this.#tools
    // Nothing was read, so that there is no table yet.
    if (!this.#table) return
    try {
      await this.#checkCounts(this.#table)
      await this.#swapPrepared(this.#swapOf(this.#table))
    } catch (error) {
      // Whoever went on from here would come to the same end. What another execution has taken over stays.
      if (!isTransient(error) && !context.signal.aborted) await this.#sweep(session).catch(() => undefined)
      throw error
    }
  }

  /** Takes the staging table away, on another connection: the one that failed may be of no use. */
  async discard(): Promise<void> {
    const { pool } = this.#tools
    const session = await Session.open(pool, AbortSignal.timeout(grace))
    try {
      await this.#sweep(session)
    } finally {
      await session.release('rollback')
    }
  }

  #swapOf(table: Table): Swap {
    return this.#options.swap === 'rows'
      ? new RowsSwap(table, this.#staging, this.#columns)
      : new RenameSwap(table, this.#staging, this.#tools.fence.mark)
  }

  async #sweep(session: Session): Promise<void> {
    await this.#transaction(async () => {
      await session.query(`drop table if exists ${this.#staging}`)
      await this.#tools.fence.keep(session, null)
    }, session)
  }

  async #checkCounts(table: Table): Promise<void> {
    const { maxShrink } = this.#options
    const old = maxShrink === 1 ? '0' : `(select count(*) from ${table.sql})::text`
    const counts = `select (select count(*) from ${this.#staging})::text as staged, ${old} as old`
    const [found] = await this.#transaction(() => this.#tools.session.query(counts))
    const [staged, before] = [Number(found?.staged), Number(found?.old)]
    if (staged !== this.#staged) {
      const message = `Expected ${this.#staged} rows in ${this.#staging}, found ${staged}: \`${table.title}\` stays as it is.`
      throw new JobError('target', message)
    }
    if (staged < fewestInPlaceOf(before, maxShrink)) throw shrinkError(table.title, before, staged, maxShrink)
  }

  async #swapPrepared(swap: Swap): Promise<void> {
    const { session, context } = this.#tools
    const prepared = (await session.query(preparedQuery, [this.#staging])).map(({ statement }) => String(statement))
    for (const statement of [...prepared, ...(await swap.preparations(session))]) {
      await this.#patiently(() => session.query(statement))
    }
    await this.#patiently(async () => {
      context.signal.throwIfAborted()
      await swap.swap(session)
      await session.query(`drop table if exists ${this.#staging}`)
      await this.#tools.fence.keep(session, null)
    })
  }

  /**
   * Does `work` in a transaction, again while it does not get its locks. Everybody who comes after one that waits for a lock
   * waits too, so it waits for a short time only, and not again before as long a pause.
   */
  async #patiently(work: () => Promise<unknown>): Promise<void> {
    const { session, context } = this.#tools
    const { lockTimeout } = this.#options
    for (let tries = 1; ; tries++) {
      try {
        return await this.#transaction(async () => {
          await session.query(`set local lock_timeout to ${lockTimeout}`)
          await work()
        })
      } catch (error) {
        if (Object(error).code !== lockNotAvailable) throw error
        if (tries === maxTries) throw this.#lockError(error)
      }
      await setTimeout(lockTimeout, undefined, { signal: context.signal })
    }
  }

  async #transaction<Answer>(work: () => Promise<Answer>, session = this.#tools.session): Promise<Answer> {
    try {
      this.#tools.fence.begin(session)
      const answer = await work()
      await session.query('commit')
      return answer
    } catch (error) {
      // A connection of no use has rolled back itself.
      await session.query('rollback').catch(() => undefined)
      throw this.#tools.fence.explain(error)
    }
  }

  #lockError(cause: unknown): JobError {
    const { lockTimeout } = this.#options
    const message = `Could not lock what the swap of \`${this.#place.title}\` needs: ${maxTries} tries of ${lockTimeout} ms each were in vain.`
    return new JobError('target', `${message} The old rows stay.`, { cause })
  }
}

/** As much of a name as leaves room for what comes after it: a name has up to 63 bytes. */
function startOf(name: string): string {
  let start = name
  while (Buffer.byteLength(start) > 40) start = [...start].slice(0, -1).join('')
  return start
}

function damagedKept(field: string, expected: string): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint in the target was damaged. Expected \`${field}\` to be ${expected}: delete the job's row in the table of checkpoints, and run the job once with \`resume: 'restart'\`.`,
  )
}

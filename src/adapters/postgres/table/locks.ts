import { JobError } from '../../../adapter.js'
import { dollarQuoted, type ResultRow, sqlOf, type TableName, type WriteSession } from '../client/index.js'

/** How many times a swap tries to get its locks. */
export const maxTries = 10

/** The largest `lock_timeout` of Postgres, in milliseconds. */
const longest = 2 ** 31 - 1

/** How many sessions an error names. */
const maxNamed = 3

/** The keys of the advisory locks of headgate. */
export const advisory = {
  create: `hashtextextended('headgate_create', 0)`,
  checkpoint: `hashtextextended('headgate_checkpoint', 0)`,
}

/** The lock modes, strongest first. */
const modes = `array['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock',
  'RowExclusiveLock', 'RowShareLock', 'AccessShareLock']`

/**
 * Other sessions that hold locks on these tables, their partitions or tables that they refer to, or the advisory
 * locks of headgate. A role sees only what its privileges allow.
 */
const holdersQuery = (tables: readonly string[], read: string | null) => `
  with named (oid) as (select to_regclass(name)::oid from unnest(array[${tables.map(dollarQuoted).join(', ')}]) name),
    tables (oid) as (
      select oid from named
      union select confrelid from named join pg_constraint on conrelid = named.oid and contype = 'f'
      union select relid from named, pg_partition_tree(named.oid)),
    held as (
      select distinct on (pid) pid, mode, relation::regclass::text as relation, array_position(${modes}, mode) as rank
      from pg_locks where granted and pid is distinct from pg_backend_pid() and mode = any(${modes})
        and (mode <> 'AccessShareLock' or relation = to_regclass(${read === null ? 'null' : dollarQuoted(read)}))
        and database = (select oid from pg_database where datname = current_database())
        and (relation in (select oid from tables)
          or locktype = 'advisory' and objsubid = 1 and (classid::int8 << 32 | objid::int8) in (${Object.values(advisory).join(', ')}))
      order by pid, rank)
  select pid, mode, relation, application_name as application, state, left(query, 100) as query,
    to_char(query_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since
  from held left join pg_stat_activity using (pid) order by rank, xact_start limit ${maxNamed}`

/** Limits how long a job waits for locks on its table, and reports which sessions hold them. */
export class Locks {
  /** How long one attempt of a swap waits, in milliseconds. */
  readonly attemptTimeout: number
  readonly #title: string
  readonly #tables: string[]
  #read: string | null = null

  constructor(table: TableName, lockTimeout: number) {
    this.attemptTimeout = lockTimeout
    this.#title = [table.schema, table.name].filter((part) => part !== undefined).join('.')
    this.#tables = [sqlOf(table)]
  }

  /** Also reports sessions that hold locks on this table, given as SQL. */
  watch(table: string): void {
    this.#tables.push(table)
  }

  /** Also reports sessions that read the table, from now on: what waits next shares it with no reader. */
  watchReaders(): void {
    this.#read = this.#tables[0] as string
  }

  /** How long everything except a swap waits, in milliseconds. */
  get #totalTimeout(): number {
    return Math.min(this.attemptTimeout * maxTries, longest)
  }

  /**
   * The statements that begin a transaction. It sees concurrent commits, so that its first checks see the current
   * state. No timeout of the role applies, and locks have the timeout of headgate.
   */
  begin({ liftTimeouts }: WriteSession, timeout = this.#totalTimeout): string {
    return `begin isolation level read committed; ${liftTimeouts}; set local lock_timeout to ${timeout}`
  }

  /** Runs `work` in its own transaction. */
  transaction<Answer>(session: WriteSession, work: () => Promise<Answer>): Promise<Answer> {
    return session.transaction(this.begin(session), work)
  }

  /** Explains a lock timeout. Other errors stay as they are. */
  async explain(error: unknown, session: WriteSession): Promise<unknown> {
    if (!isLockTimeout(error)) return error
    const holders = await session.inquire(holdersQuery(this.#tables, this.#read)).catch(() => [])
    const timedOut = `Could not get a lock on \`${this.#title}\`, or on what it needs, within ${this.#totalTimeout} ms.`
    const found = holders.map(described).join('; ') || 'no session that still holds one'
    return new JobError('target', `${timedOut} Found ${found}.`, { cause: error, isTransient: true })
  }
}

/** Whether the error is a lock timeout. */
export function isLockTimeout(error: unknown): boolean {
  return Object(error).code === '55P03'
}

function described({ pid, mode, relation, application, state, since, query }: ResultRow): string {
  const session = pid === null ? 'a prepared transaction' : `pid ${pid}`
  const facts = [application, state, since && `since ${since}`, startOf(query)].filter(Boolean).join(', ')
  return `${session}${facts && ` (${facts})`} with ${mode} on ${relation ?? 'what headgate creates'}`
}

/** The start of a statement, up to its first value, which may be private. */
function startOf(query: unknown): string {
  const [start = ''] = /^(?:[a-z_][\w.]*\s*|"[^"]*"\s*)*/i.exec(String(query ?? '')) ?? []
  return start.trim() && `\`${start.trim()}\``
}

import { type ResetExecutions, resetSuffix } from '../../shared/index.js'
import { dollarQuoted, quoted, type ResultRow, type WriteSession } from '../client/index.js'
import { advisory, type TableRef } from '../table/index.js'

/** A regular expression of Postgres for `begun` in the text of a checkpoint. */
export const begunPattern = [
  '"begun"\\s*:\\s*[{]\\s*"scheme"\\s*:\\s*"(?:[^"\\\\]|\\\\.)*"\\s*,',
  '\\s*(?:"hasRows"\\s*:\\s*true\\s*,\\s*)?"partitions"\\s*:\\s*[[][0-9,\\s]*[]]\\s*[}]',
].join('')

/** Overrides settings of the role or the database that would change what values mean. */
export const settings = `set local DateStyle to 'ISO'; set local TimeZone to 'UTC'; set local IntervalStyle to 'iso_8601';
  set local array_nulls to on; set local xmloption to content; set local transform_null_equals to off`

/** Identifies a table: by its title, unless a name contains a dot. */
export function namesOf({ title, schema, name }: TableRef): string[] {
  return title.split('.').length === 2 ? [title] : [schema, name]
}

/** Keys as values of a statement. */
export function hexOf(keys: readonly Buffer[]): string[] {
  return keys.map((key) => key.toString('hex'))
}

/** SQL for a subquery of such keys. */
export function decodedKeys(value: string): string {
  return `select decode(name, 'hex') from unnest(${value}::text[]) name`
}

/** The advisory lock of the transactions of a writer. */
export function lockOf(key: Buffer): string {
  return String(key.readBigInt64BE())
}

/** The statement that ends other sessions of the role that hold one of these advisory locks. */
export function terminateHolders(locks: readonly string[], condition: string): string {
  const lock = '(classid::int8 << 32 | objid::int8)::text'
  return `select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and objsubid = 1 and ${lock} = any('{${locks.join(',')}}') and granted
    and datname = current_database() and usename = current_user and pid <> pg_backend_pid() and ${condition}`
}

/** SQL for the execution of a row that may not write any more. */
export function disowned(execution: string): string {
  return `case when right(${execution}, ${resetSuffix.length}) = '${resetSuffix}' then ${execution} else ${execution} || '${resetSuffix}' end`
}

/** SQL for a checkpoint with what partitions have told in the stored one, which has a text of that pattern. */
export function withBegunOf(stored: string, checkpoint: string, pattern: string): string {
  const begun = `substring(${stored}::text from ${pattern}::text)`
  return `coalesce(left(${checkpoint}::text, -1) || ',' || ${begun} || '}', ${checkpoint}::text)::json`
}

/** Lets a reset bound the rows of partitions: one that another clock has begun would keep all later executions from it. */
export async function boundPartitions(
  session: WriteSession,
  checkpoints: string,
  rows: readonly ResultRow[],
  executions: ResetExecutions,
): Promise<void> {
  for (const { key, execution } of rows) {
    const [before, after] = [String(execution), executions.afterPartition(String(execution))]
    if (after.startsWith(before)) continue
    await session.query(`update ${checkpoints} set execution = $2 where key = decode($1, 'hex')`, [key, after])
  }
}

/** Creates the checkpoint table when it is missing. Only then does the role need the privilege. */
export async function ensureCheckpoints(session: WriteSession, table: string): Promise<void> {
  const [found] = await session.query(`select to_regclass(${dollarQuoted(table)})::text as name`)
  if (!found?.name) await session.query(createCheckpoints(table))
}

/** The statements that create the checkpoint table, given as SQL. */
function createCheckpoints(table: string): string {
  return `select pg_advisory_xact_lock(${advisory.checkpoint}); create table if not exists ${table} (
    key bytea primary key, type text not null, id text not null, target text not null,
    execution text collate ${quoted('C')} not null, checkpoint json, changed_at timestamptz not null default now()
  ) with (fillfactor = 50)`
}

/** The checkpoint in a row. `undefined` without one. */
export async function keptIn(session: WriteSession, checkpoints: string, key: Buffer): Promise<unknown> {
  const [row] = await session.query(`select checkpoint::text from ${checkpoints} where key = $1`, [key])
  return typeof row?.checkpoint === 'string' ? JSON.parse(row.checkpoint) : undefined
}

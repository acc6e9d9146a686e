import { JobError, type OpenContext } from '../../../adapter.js'
import { emptiedWarning, markedRows } from '../../shared/index.js'
import { dollarQuoted, type WriteSession } from '../client/index.js'
import type { TableRef } from '../table/index.js'

/**
 * SQL for whether the checkpoint of a row has a mark other than the known one, which is hexadecimal. A position may be text that the server
 * stores and no JSON function reads, so the condition takes the checkpoint as text, in which a quote within a value is escaped.
 */
export function isMarkedSince(known: string): string {
  const isMarked = `coalesce(checkpoint::text, '') ~ '"emptiedBy"[[:space:]]*:'`
  return known === '' ? isMarked : `${isMarked} and checkpoint::text !~ '"mark"[[:space:]]*:[[:space:]]*"${known}"'`
}

/**
 * Locks the rows of other jobs that may have written to a table, to a partition of it, or to a table that it is a partition of. A table is
 * known by its name, or by its oid when it was renamed. No JSON function reads what the rows hold, which may be text that it refuses.
 */
const othersQuery = (checkpoints: string, table: string) => `
  with recursive parents (oid) as (
    select to_regclass(${dollarQuoted(table)})::oid
    union
    select inhparent from parents join pg_inherits on inhrelid = parents.oid
  ),
  children (oid) as (
    select to_regclass(${dollarQuoted(table)})::oid
    union
    select inhrelid from children join pg_inherits on inhparent = children.oid
  ),
  tables as (
    select '"table"[[:space:]]*:[[:space:]]*"' || c.oid || '"' as pattern, nspname::text || '.' || relname::text as title
    from pg_class c
      join pg_namespace n on n.oid = relnamespace
    where c.oid in (select oid from parents union select oid from children)
  )
  select encode(key, 'hex') as key, type, id, checkpoint::text
  from ${checkpoints}
  where (type, id) is distinct from ($1, $2)
    and checkpoint is not null
    and exists (select from tables where title = target or checkpoint::text ~ pattern)
  order by key
  for update`

/** Throws `target` when the role cannot see the checkpoints of other jobs, which could not notice that their rows are removed. */
export async function refuseHidden(session: WriteSession, checkpoints: string, { title }: TableRef): Promise<void> {
  const [found] = await session.query('select row_security_active(to_regclass($1)::oid) as is_hidden', [checkpoints])
  if (found?.is_hidden !== true) return
  throw new JobError(
    'target',
    `Row-level security hides the checkpoints in ${checkpoints} of other jobs that append to \`${title}\`, which could not notice that ` +
      `their rows are removed. Grant the role \`bypassrls\`, or disable row-level security on ${checkpoints}.`,
  )
}

/**
 * In the transaction that removes all rows of a table, once it has locked that against writers, lets the other jobs that append to it know.
 * None of them commits anything until it has started from the beginning. Warns of them. Throws `target` when the role cannot see their
 * checkpoints.
 */
export async function markEmptied(
  session: WriteSession,
  checkpoints: string,
  table: TableRef,
  { type, id, warn }: Pick<OpenContext, 'type' | 'id' | 'warn'>,
): Promise<void> {
  await refuseHidden(session, checkpoints, table)
  const others = await session.query(othersQuery(checkpoints, table.sql), [type, id])
  const marked = markedRows(
    others.map(({ key, type, id, checkpoint }) => ({ key, type, id, checkpoint })),
    { type, id },
  )
  if (marked.length === 0) return
  await session.query(
    `update ${checkpoints} kept set checkpoint = marked.checkpoint::json
      from unnest($1::text[], $2::text[]) marked (key, checkpoint) where kept.key = decode(marked.key, 'hex')`,
    [marked.map(({ key }) => key), marked.map(({ checkpoint }) => checkpoint)],
  )
  warn?.(
    emptiedWarning(
      marked.map(({ job }) => job),
      table.title,
    ),
  )
}

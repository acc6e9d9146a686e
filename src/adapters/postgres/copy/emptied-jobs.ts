import { JobError, type OpenContext } from '../../../adapter.js'
import { countsOnRows, emptiedWarning, markedRows } from '../../shared/index.js'
import { dollarQuoted, type ResultRow, type WriteSession } from '../client/index.js'
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
 * The rows of other jobs that may have written to a table, to a partition of it, or to a table that it is a partition of. A table is
 * known by its name, or by its oid when it was renamed. No JSON function reads what the rows hold, which may be text that it refuses. The tables
 * are found once, and not again for each row.
 */
const othersQuery = (checkpoints: string, table: string, isOwn = 'false', oids = parentsAndChildren) => `
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
  tables as materialized (
    select '"table"[[:space:]]*:[[:space:]]*"' || c.oid || '"' as pattern, nspname::text || '.' || relname::text as title
    from pg_class c
      join pg_namespace n on n.oid = relnamespace
    where c.oid in (${oids})
  )
  select encode(key, 'hex') as key, type, id, checkpoint::text
  from ${checkpoints}
  where ${isOwn} or (
    (type, id) is distinct from ($1, $2)
    and checkpoint is not null
    and exists (select from tables where title = target or checkpoint::text ~ pattern)
  )
  order by key`

const parentsAndChildren = 'select oid from parents union select oid from children'

/** Whether row-level security hides the checkpoints of other jobs. */
async function isHidden(session: WriteSession, checkpoints: string): Promise<boolean> {
  const [found] = await session.query('select row_security_active(to_regclass($1)::oid) as is_hidden', [checkpoints])
  return found?.is_hidden === true
}

/** Throws `target` when the role cannot see the checkpoints of other jobs, which could not notice that their rows are removed. */
export async function refuseHidden(session: WriteSession, checkpoints: string, { title }: TableRef): Promise<void> {
  if (!(await isHidden(session, checkpoints))) return
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
  const others = await session.query(`${othersQuery(checkpoints, table.sql)} for update`, [type, id])
  const marked = markedRows(others.map(rowOf), { type, id })
  await storeMarks(session, checkpoints, marked)
  if (marked.length > 0) warn?.(emptiedWarning(jobsOf(marked), table.title))
}

/** What is known of a job that may find a table empty: also the key of its row, when that is to be marked. */
type Finder = Pick<OpenContext, 'type' | 'id' | 'executionId' | 'ifReset' | 'warn'> & {
  readonly own: Buffer | undefined
}

/**
 * Before a job writes to a table that it finds empty, which then shows no more that it was: lets the other jobs know that have written to it.
 * Marks the own row too, when it is given, so that no other job does so later. Returns what that holds then, also when others have marked it.
 * Jobs that write to a table of which this one is a partition may have rows elsewhere.
 */
export async function markFoundEmpty(
  session: WriteSession,
  checkpoints: string,
  table: TableRef,
  { type, id, executionId, ifReset, warn, own }: Finder,
): Promise<unknown> {
  if (await isHidden(session, checkpoints)) return
  const ownKey = own?.toString('hex')
  const isOwn = own && `key = decode('${ownKey}', 'hex') and execution = $3`
  const query = othersQuery(checkpoints, table.sql, isOwn, 'select oid from children')
  const values = [type, id, ...(own ? [executionId] : [])]
  const ownOf = (rows: readonly { readonly key?: unknown; readonly checkpoint?: unknown }[]) => {
    const row = rows.find(({ key }) => key === ownKey)
    return row && JSON.parse(String(row.checkpoint))
  }
  const mayMatter = (rows: readonly ResultRow[]) =>
    rows.some(({ key, checkpoint }) => key !== ownKey && countsOnRows(JSON.parse(String(checkpoint))))
  const isEmpty = `select not exists (select from ${table.sql}) as is_empty`
  const found = await session.query(query, values)
  if (!mayMatter(found) || (await session.query(isEmpty))[0]?.is_empty !== true) return ownOf(found)
  // A job that removes rows locks the table first, too.
  await session.query(`lock table ${table.sql} in access share mode`)
  const rows = await session.query(`${query} for update`, values)
  // No other job that counts on rows commits any from now on, and what it has committed is seen.
  if (!mayMatter(rows) || (await session.query(isEmpty))[0]?.is_empty !== true) return ownOf(rows)
  const marked = markedRows(rows.map(rowOf), { type, id, isFound: true })
  await storeMarks(session, checkpoints, marked)
  const others = marked.filter(({ key }) => key !== ownKey)
  // A table that a consumer empties is no surprise.
  if (ifReset !== 'continue') warn?.(emptiedWarning(jobsOf(others), table.title, true))
  return ownOf([...marked, ...rows])
}

type Marked = ReturnType<typeof markedRows>

async function storeMarks(session: WriteSession, checkpoints: string, marked: Marked): Promise<void> {
  if (marked.length === 0) return
  await session.query(
    `update ${checkpoints} kept set checkpoint = marked.checkpoint::json
      from unnest($1::text[], $2::text[]) marked (key, checkpoint) where kept.key = decode(marked.key, 'hex')`,
    [marked.map(({ key }) => key), marked.map(({ checkpoint }) => checkpoint)],
  )
}

const rowOf = ({ key, type, id, checkpoint }: ResultRow) => ({ key, type, id, checkpoint })

const jobsOf = (marked: Marked) => marked.map(({ job }) => job)

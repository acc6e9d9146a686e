import { randomBytes } from 'node:crypto'
import { JobError, type OpenContext } from '../../../adapter.js'
import { dollarQuoted, type WriteSession } from '../client/index.js'
import type { TableRef } from '../table/index.js'
import { type KeptRows, mayHaveRows } from './begun-partitions.js'
import { damagedKept } from './damaged-kept.js'

/** How many jobs a warning names. */
const maxNamed = 10

/** The job that has removed the rows of another one, in the checkpoint of that. `mark` identifies the removal. */
export interface EmptiedBy {
  readonly type: string
  readonly id: string
  readonly mark: string
}

/** The checkpoint of a job or a partition, as the one who removes its rows reads it. */
interface Kept extends KeptRows {
  /** The job that has removed all rows since. Only in the checkpoint of a job, where it holds for the partitions, too. */
  readonly emptiedBy?: EmptiedBy
  /** Only in the checkpoint of a partition. Earlier versions did not store it. */
  readonly partition?: number
  /** A text in the checkpoint of a partition. */
  readonly scheme?: unknown
}

const markPattern = /^[0-9a-f]{64}$/

/** The mark of a checkpoint whose rows another job has removed. Empty without one. Throws `checkpoint` for a damaged one. */
export function emptiedMarkOf(kept: unknown): string {
  const { emptiedBy } = Object(kept) as { emptiedBy?: unknown }
  if (emptiedBy === undefined) return ''
  const { type, id, mark } = Object(emptiedBy) as Partial<EmptiedBy>
  if (typeof type === 'string' && typeof id === 'string' && markPattern.test(String(mark))) return String(mark)
  throw damagedKept(
    'emptiedBy',
    'the job that has removed the records: its `type`, its `id`, and a `mark` of 64 hexadecimal digits',
  )
}

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
 * Whether a checkpoint counts on rows of the table, so that their removal matters to its job. That of a partition does not say so, but
 * the one of its job. A job that replaces loads a table of its own. A job that is marked has written nothing since.
 */
function countsOnRows(kept: unknown): kept is object {
  if (typeof kept !== 'object' || kept === null || Array.isArray(kept)) return false
  const { partition, scheme, emptiedBy } = kept as Kept
  const isPartition = partition !== undefined || typeof scheme === 'string'
  return !isPartition && emptiedBy === undefined && !Object.hasOwn(kept, 'staged') && mayHaveRows(kept)
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
  const emptiedBy: EmptiedBy = { type, id, mark: randomBytes(32).toString('hex') }
  const marked = others.flatMap(({ key, type, id, checkpoint }) => {
    const kept: unknown = JSON.parse(String(checkpoint))
    return countsOnRows(kept)
      ? [{ key, job: `[${type}/${id}]`, checkpoint: JSON.stringify({ ...kept, emptiedBy }) }]
      : []
  })
  if (marked.length === 0) return
  await session.query(
    `update ${checkpoints} kept set checkpoint = marked.checkpoint::json
      from unnest($1::text[], $2::text[]) marked (key, checkpoint) where kept.key = decode(marked.key, 'hex')`,
    [marked.map(({ key }) => key), marked.map(({ checkpoint }) => checkpoint)],
  )
  warn?.(warningOf([...new Set(marked.map(({ job }) => job))].sort(), table))
}

function warningOf(jobs: readonly string[], { title }: TableRef): string {
  const others = jobs.length > maxNamed ? ` and ${jobs.length - maxNamed} more` : ''
  return (
    `The job removes the rows of ${jobs.length} other ${jobs.length === 1 ? 'job' : 'jobs'} that ${jobs.length === 1 ? 'appends' : 'append'} ` +
    `to \`${title}\`: ${jobs.slice(0, maxNamed).join(', ')}${others}. What their next runs do depends on \`ifTargetReset\`.`
  )
}

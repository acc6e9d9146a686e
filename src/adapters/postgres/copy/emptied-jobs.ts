import { JobError, type OpenContext } from '../../../adapter.js'
import { dollarQuoted, type WriteSession } from '../client/index.js'
import type { TableRef } from '../table/index.js'

/** How many jobs a warning names. */
const maxNamed = 10

/** The job that has removed the rows of another one, in the checkpoint of that. `mark` identifies the execution. */
export interface EmptiedBy {
  readonly type: string
  readonly id: string
  readonly mark: string
}

/** The mark of a checkpoint whose rows another job has removed. Empty without one. */
export function emptiedMarkOf(kept: unknown): string {
  const { mark } = Object(Object(kept).emptiedBy) as Partial<EmptiedBy>
  return /^[0-9a-f]{64}$/.test(String(mark)) ? String(mark) : ''
}

/** SQL for whether the checkpoint with this key has a mark other than the known one. Both are hexadecimal. */
export function isMarkedSince(checkpoints: string, key: string, known: string): string {
  return `exists (select from ${checkpoints} where key = decode('${key}', 'hex')
    and checkpoint->'emptiedBy' is not null and checkpoint->'emptiedBy'->>'mark' is distinct from '${known}')`
}

/**
 * Marks the checkpoints of other jobs that append to a table, to a partition of it, or to a table that it is a partition of. A table is
 * known by its name, or by its oid when it was renamed. A job that replaces loads a table of its own, and is left out.
 */
const markQuery = (checkpoints: string, table: string) => `
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
    select c.oid::text as oid, nspname::text || '.' || relname::text as title
    from pg_class c
      join pg_namespace n on n.oid = relnamespace
    where c.oid in (select oid from parents union select oid from children)
  ),
  marked as (
    update ${checkpoints}
    set checkpoint = (left(rtrim(checkpoint::text), -1) || ',"emptiedBy":' || $3 || '}')::json
    where (type, id) is distinct from ($1, $2)
      and checkpoint->'relation' is not null
      and checkpoint->'emptiedBy' is null
      and exists (select from tables where title = target or oid = checkpoint->'relation'->>'table')
    returning type, id
  )
  select distinct type, id from marked order by type, id`

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
 * In the transaction that removes all rows of a table, lets the other jobs that append to it know, so that their next runs do not go on as
 * if their rows were there. Warns of them. Throws `target` when the role cannot see their checkpoints.
 */
export async function markEmptied(
  session: WriteSession,
  checkpoints: string,
  table: TableRef,
  { type, id, mark, warn }: EmptiedBy & { readonly warn: OpenContext['warn'] | undefined },
): Promise<void> {
  await refuseHidden(session, checkpoints, table)
  const by = JSON.stringify({ type, id, mark } satisfies EmptiedBy)
  const marked = await session.query(markQuery(checkpoints, table.sql), [type, id, by])
  if (marked.length === 0) return
  const jobs = marked.slice(0, maxNamed).map((job) => `[${job.type}/${job.id}]`)
  const others = marked.length > maxNamed ? ` and ${marked.length - maxNamed} more` : ''
  warn?.(
    `The job removes the rows of ${marked.length} other ${marked.length === 1 ? 'job' : 'jobs'} that ${marked.length === 1 ? 'appends' : 'append'} ` +
      `to \`${table.title}\`: ${jobs.join(', ')}${others}. What their next runs do depends on \`ifTargetReset\`.`,
  )
}

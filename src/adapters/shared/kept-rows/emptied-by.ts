import { randomBytes } from 'node:crypto'
import { JobError } from '../../../adapter.js'
import { type KeptRows, mayHaveRows } from './begun-partitions.js'
import { damagedKept, parseKept } from './damaged-kept.js'

/** How many jobs a warning names. */
const maxNamed = 10

/** The job that has removed the rows of another one, in the checkpoint of that. `mark` identifies the removal. */
export interface EmptiedBy {
  readonly type: string
  readonly id: string
  readonly mark: string
  /** Whether the job found the table empty, and others have removed the rows. */
  readonly isFound?: true
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
 * Whether a checkpoint counts on rows of the table, so that their removal matters to its job. That of a partition does not say so, but
 * the one of its job. A job that replaces loads a table of its own. A job that is marked has written nothing since.
 */
export function countsOnRows(kept: unknown): kept is object {
  if (typeof kept !== 'object' || kept === null || Array.isArray(kept)) return false
  const { partition, scheme, emptiedBy } = kept as Kept
  const isPartition = partition !== undefined || typeof scheme === 'string'
  return !isPartition && emptiedBy === undefined && !Object.hasOwn(kept, 'staged') && mayHaveRows(kept)
}

/** The warning of a job that removes the rows of other jobs from the table with that title, or has found them removed. */
export function emptiedWarning(found: readonly string[], title: string, isFound = false): string {
  const jobs = [...new Set(found)].sort()
  const isOne = jobs.length === 1
  const count = `${jobs.length} other ${isOne ? 'job' : 'jobs'}`
  const names =
    jobs.slice(0, maxNamed).join(', ') + (jobs.length > maxNamed ? ` and ${jobs.length - maxNamed} more` : '')
  const what = isFound
    ? `\`${title}\` is empty, though ${count} ${isOne ? 'has' : 'have'} written to it`
    : `The job removes the rows of ${count} that ${isOne ? 'appends' : 'append'} to \`${title}\``
  return `${what}: ${names}. What their next runs do depends on \`ifTargetReset\`.`
}

/** The error for a job whose rows in the table with that title another job has removed, or has found removed. */
export function emptiedByOther(title: string, { type, id, isFound }: EmptiedBy): JobError {
  const what = isFound
    ? `Job [${type}/${id}] has found \`${title}\` empty and has written to it since, so the records of this job are gone.`
    : `Job [${type}/${id}] has removed the records of this job from \`${title}\`, to which both write.`
  return new JobError(
    'target',
    `${what} Call \`reset\`, or set \`ifTargetReset: 'restart'\`, to load them again, or set 'continue' to load only what is new.`,
  )
}

/** The row of a job in the table of checkpoints. */
interface JobRow<Key> {
  readonly key: Key
  readonly type: unknown
  readonly id: unknown
  /** The text of the checkpoint. */
  readonly checkpoint: unknown
}

/**
 * Marks the rows of jobs that count on rows of a table which the given job removes. Leaves the others out. Throws `checkpoint` for a damaged
 * one, which may count on rows or not.
 */
export function markedRows<Key>(
  rows: readonly JobRow<Key>[],
  { type, id, isFound }: Omit<EmptiedBy, 'mark'>,
): { readonly key: Key; readonly job: string; readonly checkpoint: string }[] {
  const emptiedBy: EmptiedBy = { type, id, mark: randomBytes(32).toString('hex'), ...(isFound && { isFound }) }
  return rows.flatMap((row) => {
    const kept = parseKept(row.checkpoint, row)
    return countsOnRows(kept)
      ? [{ key: row.key, job: `[${row.type}/${row.id}]`, checkpoint: JSON.stringify({ ...kept, emptiedBy }) }]
      : []
  })
}

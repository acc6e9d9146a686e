import { JobError } from '../../core/base/index.js'
import type { JobParams } from '../../core/model/index.js'
import {
  type Column,
  type IngestionDetail,
  nothingRead,
  ownValue,
  type Partition,
  type PartitionPlan,
  type ReadBatch,
  type ReadRange,
  type RecordBatch,
  type SplitRequest,
} from '../contract/index.js'
import {
  type CompiledQuery,
  compareKeys,
  type IngestionPlan,
  keyKindOf,
  type QueryVariables,
} from '../definition/index.js'
import { keyOf, lastKey } from './key-text.js'

/** The position that an ingestion resumes from: what storage keeps of it, as JSON. */
export interface Checkpoint extends QueryVariables {
  /** The id of the execution that started from the beginning. With `sequence`, it identifies a batch permanently. */
  readonly origin: string
  /** How many batches were read since then. */
  readonly sequence: number
  /** How many of them were repeated for `lookback`, which is no progress. */
  readonly repeats?: number
  /** How many records were written since then, which the target should still hold. Earlier versions did not store it. */
  readonly written?: number
  /** How many records were read since then. Earlier versions stored none of these three. */
  readonly read?: number
  /** How many of them could not be written. */
  readonly failed?: number
  /** How many of them the transform dropped. */
  readonly skipped?: number
  /**
   * Whether a full refresh has yet to begin in the target: a checkpoint of the target with another `origin` does not count, and earlier
   * records are to be removed from a target that has `truncate`.
   */
  readonly refresh?: boolean
  /** Whether ids were out of the order in which the query resumes: no run may resume from here. */
  readonly isUnordered?: boolean
  /** Where a job with a cursor resumes: the `position` of its last durable batch. */
  readonly cursor?: unknown
  /** The result of the target's last `flush`. */
  readonly position?: unknown
  /** The result of the dead-letter target's last `flush`. */
  readonly deadLetters?: unknown
  /** The column of `lastId` and `maxPrimaryKey`, of a job without a cursor. Earlier versions did not store it. */
  readonly pkField?: string
  /** The parameters by which its query selects records. Absent without any. */
  readonly params?: JobParams
  /** The parameters of the start, where the schema of the job has made others of them. */
  readonly startParams?: JobParams
  /** Tells whether the query of the job is another one by now. Absent for a function, and earlier versions did not store it. */
  readonly queryDigest?: string
  /** The id of the scheme that a partition belongs to. */
  readonly scheme?: string
  /** The range of a partition. */
  readonly range?: ReadRange
  /** Whether the partition was read to its end. Earlier versions did not store it. */
  readonly isDone?: boolean
  /** How many values it has, at any depth. Earlier versions did not store it. */
  readonly fields?: number
  /** The values at which partitions without a cursor begin. Each of them resumes from its own checkpoint. */
  readonly bounds?: readonly string[]
}

/** The checkpoint of an ingestion with partitions. */
export interface ParentCheckpoint extends Omit<Checkpoint, 'scheme' | 'range' | 'isDone'> {
  /** The partitions, until all are done. */
  readonly scheme?: PartitionPlan
}

/** A checkpoint that a target stores with the records. */
export interface KeptCheckpoint extends Checkpoint {
  /** The execution that reached it, and its counts, from which earlier versions resume. */
  readonly executionId: string
  readonly detail: IngestionDetail
}

/** The checkpoint of an ingestion with partitions, as a target stores it. */
export type KeptParentCheckpoint = ParentCheckpoint & Pick<KeptCheckpoint, 'executionId' | 'detail'>

type ReadCounts = Pick<Checkpoint, 'read' | 'failed' | 'skipped'>

type CheckpointCounts = ReadCounts & Pick<Checkpoint, 'written'>

type Counted = CheckpointCounts & Pick<Checkpoint, 'origin' | 'sequence'>

/** The checkpoint of a run that starts from the beginning, or from the start of its partition. */
export function initialCheckpoint(origin: string): Omit<Checkpoint, 'scheme' | 'range'>
export function initialCheckpoint(origin: string, partition: Partition | undefined): Checkpoint
export function initialCheckpoint(origin: string, partition?: Partition): Checkpoint {
  if (!partition) return { origin, sequence: 0 }
  const { scheme, position, range } = partition
  return { origin, sequence: 0, scheme, range, ...(position !== undefined && { cursor: position }) }
}

/** How many records a checkpoint counts on. If it does not store that, each batch counts as one. */
export function writtenBy({ written, sequence }: Pick<Checkpoint, 'written' | 'sequence'>): number {
  return written ?? sequence
}

/** The counts of a checkpoint after more records. */
export function addedTo(before: Counted, settled: IngestionDetail): Required<CheckpointCounts> {
  return {
    read: (before.read ?? 0) + settled.read,
    written: writtenBy(before) + settled.written,
    failed: (before.failed ?? 0) + settled.failed,
    skipped: (before.skipped ?? 0) + settled.skipped,
  }
}

/** The records between two checkpoints. None where the later one belongs to another run from the beginning, or has no counts. */
export function countsBetween(before: Counted, after: Counted): IngestionDetail {
  if (after.origin !== before.origin || after.sequence <= before.sequence || after.read === undefined)
    return nothingRead
  return countsSince(before, after)
}

/** The records that were counted since `before`. */
export function countsSince(before: ReadCounts, after: ReadCounts): IngestionDetail {
  const since = (name: keyof ReadCounts) => Math.max(0, (after[name] ?? 0) - (before[name] ?? 0))
  const [read, failed, skipped] = [since('read'), since('failed'), since('skipped')]
  return { read, written: read - failed - skipped, failed, skipped }
}

/** The checkpoint after one more batch. */
export function advance(
  before: Checkpoint,
  read: ReadBatch,
  time: number,
  pkField: string | undefined,
  needs: CompiledQuery['needs'],
): Checkpoint {
  const { batch, position } = read
  const lastId = pkField === undefined ? undefined : lastKey(read, pkField)
  const maxPrimaryKey =
    pkField !== undefined && needs.maxPrimaryKey
      ? largest(before, batch, pkField, needs.maxPrimaryKey === 'offered')
      : undefined
  return {
    ...before,
    sequence: before.sequence + 1,
    lastRecordTimestamp: new Date(time).toISOString(),
    ...(lastId !== undefined && { lastId }),
    ...(maxPrimaryKey !== undefined && { maxPrimaryKey }),
    ...(needs.lastRecord && { lastRecord: batch.lastRow.map(scalarOf) }),
    ...(position !== undefined && { cursor: position }),
  }
}

/** The checkpoint after a batch that repeats earlier records: everything about the last record stays. */
export function repeat(before: Checkpoint, time: number): Checkpoint {
  const { sequence, repeats = 0 } = before
  const lastRecordTimestamp = new Date(time).toISOString()
  return { ...before, sequence: sequence + 1, repeats: repeats + 1, lastRecordTimestamp }
}

function largest(before: Checkpoint, batch: RecordBatch, pkField: string, isOffered: boolean): string | undefined {
  const column = batch.columns[batch.indexOf(pkField)] as Column
  let found = before.maxPrimaryKey
  for (const value of batch.valuesOf(pkField)) {
    const text = keyOf(value, { name: pkField })
    if (text === undefined) continue
    const kind = keyKindOf(column, value)
    const order = compareKeys(text, found ?? text, kind)
    // A query function may never use it.
    if (order === undefined && !isOffered) throw incomparable(pkField, text)
    if (found === undefined || (order ?? (text > found ? 1 : 0)) > 0) found = text
  }
  return found
}

function incomparable(pkField: string, text: string): JobError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text
  return new JobError(
    'datasource',
    `Expected the values of \`pkField\` (\`${pkField}\`) to be numbers, uuids or times that compare as on the server, as the query asks for max_primary_key, got \`${shown}\`: ask for last_id with \`order by ${pkField}\`, or read by \`cursor\`.`,
  )
}

/** The JSON form of a value: text of dates and big integers, null of values that are not scalar. */
function scalarOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  return typeof value === 'object' ? null : (value ?? null)
}

/** The fields of a checkpoint that a query may use. */
export function variablesOf({
  lastId,
  maxPrimaryKey,
  lastRecordTimestamp,
  lastRecord,
}: QueryVariables): QueryVariables {
  return {
    ...(lastId !== undefined && { lastId }),
    ...(maxPrimaryKey !== undefined && { maxPrimaryKey }),
    ...(lastRecordTimestamp !== undefined && { lastRecordTimestamp }),
    ...(lastRecord !== undefined && { lastRecord }),
  }
}

/** A checkpoint of a run from the beginning, with the parameters that select its records. */
export function withSelection<Given extends Checkpoint | ParentCheckpoint>(
  { params: _, startParams: __, ...checkpoint }: Given,
  { selection, startParams }: Pick<IngestionPlan, 'selection' | 'startParams'>,
): Given {
  const selected = { ...(selection && { params: selection }), ...(startParams && { startParams }) }
  return { ...checkpoint, ...selected } as Given
}

/** A checkpoint with the digest of the query: of a run from the beginning, or of one that has ended. */
export function withQuery<Given extends Partial<Checkpoint | ParentCheckpoint>>(
  checkpoint: Given,
  { query: { digest } }: Pick<IngestionPlan, 'query'>,
): Given {
  return digest === undefined ? checkpoint : { ...checkpoint, queryDigest: digest }
}

/** Throws `checkpoint` when a checkpoint was made with other parameters: a run would miss the earlier records of its own selection. */
export function checkSelection(
  { params = {}, sequence, scheme }: Checkpoint | ParentCheckpoint,
  { selection = {}, selectedBy, partition }: Pick<IngestionPlan, 'selection' | 'selectedBy' | 'partition'>,
): void {
  if (partition || (sequence === 0 && scheme === undefined)) return
  const known = [...new Set([...Object.keys(params), ...Object.keys(selection)])].sort()
  // A parameter that the user has taken out of `selectedBy` selects nothing, whatever an earlier definition has stored.
  const names = selectedBy ? known.filter((name) => selectedBy.includes(name)) : known
  // One that is null selects what one that is absent does, as in a section of a template.
  const others = names.filter(
    (name) => JSON.stringify(ownValue(params, name) ?? null) !== JSON.stringify(ownValue(selection, name) ?? null),
  )
  if (others.length === 0) return
  const shown = others.map((name) => `\`params.${name}\``).join(', ')
  throw new JobError(
    'checkpoint',
    `The checkpoint was made with other values of ${shown}, by which the query selects records, so that a run would miss records: start the job with the same values, define a job for each, leave the name out of \`selectedBy\` if it does not select records, or ${remedy}`,
  )
}

/** The remedy when a checkpoint no longer fits the job. */
export const remedy =
  'start the job with `fullRefresh: true` (`?full_refresh=true`), call `reset`, or give it another id.'

/** Where a job with a cursor resumes. Throws `invalid_options` when its checkpoint was made without one. */
export function cursorPosition({ sequence, cursor }: Pick<Checkpoint, 'sequence' | 'cursor'>): unknown {
  if (sequence === 0 || cursor !== undefined) return cursor
  throw new JobError('invalid_options', `The checkpoint was made without \`cursor\`: ${remedy}`)
}

/** Throws `invalid_options` when the checkpoint has partitions, and the job has none any more. */
export function checkUnpartitioned({
  scheme,
  bounds,
}: Pick<Checkpoint, 'bounds'> & { readonly scheme?: unknown }): void {
  if (scheme !== undefined) {
    throw new JobError(
      'invalid_options',
      `The job has unfinished partitions: let it complete with \`partitions\`, ${remedy}`,
    )
  }
  if (bounds !== undefined) throw boundsFailure()
}

/** Throws `invalid_options` when a job with these partitions cannot resume from the checkpoint. */
export function checkSplit(
  checkpoint: ParentCheckpoint,
  { cursor, isResumable }: Pick<IngestionPlan, 'cursor' | 'isResumable'>,
  split: SplitRequest,
): void {
  const { scheme, sequence, bounds } = checkpoint
  if (scheme) return
  if (cursor) cursorPosition(checkpoint)
  else if (isResumable && sequence > 0 && String(bounds) !== String(split)) throw boundsFailure()
}

function boundsFailure(): JobError {
  return new JobError(
    'invalid_options',
    `The checkpoint belongs to other \`partitions\`, each of which resumes from its own checkpoint: use the same \`partitions\`, ${remedy}`,
  )
}

import { JobError } from '../core/errors.js'
import { keyOf, lastKey } from './_key-text.js'
import { compareKeys, keyKindOf } from './_keys.js'
import type { Plan } from './_plan.js'
import type { Column, RecordBatch } from './batch.js'
import type { ReadRange } from './cursor.js'
import type { IngestionDetail } from './detail.js'
import type { QueryVariables } from './job.js'
import type { Cuts, Part, Scheme } from './partitions.js'
import type { CompiledQuery } from './query.js'

/** Where an ingestion goes on: what storage keeps of it, as JSON. */
export interface Checkpoint extends QueryVariables {
  /** The id of the execution that began from the beginning: with `sequence`, it names a batch for good. */
  readonly origin: string
  /** How many batches were read since then. */
  readonly sequence: number
  /** How many records were written since then: what the target should still hold. Earlier versions did not say. */
  readonly written?: number
  /** Whether the ids read by then were out of the order in which the query resumes: no run may resume from here. */
  readonly isUnordered?: boolean
  /** Where a job with a cursor goes on: the `position` of its last durable batch. */
  readonly cursor?: unknown
  /** What the target's last `flush` gave. */
  readonly position?: unknown
  /** What the last `flush` of the target of dead letters gave. */
  readonly deadLetters?: unknown
  /** Of a part: the id of the scheme that it was cut by. */
  readonly scheme?: string
  /** Of a part: its range. */
  readonly range?: ReadRange
  /** Of an ingestion that was cut without a cursor: the values that its parts begin at, as each goes on by itself. */
  readonly bounds?: readonly string[]
}

/** The checkpoint of an ingestion in parts. */
export interface WholeCheckpoint extends Omit<Checkpoint, 'scheme' | 'range'> {
  /** How it was cut, until all parts are done. */
  readonly scheme?: Scheme
}

/** A checkpoint as a target keeps it that keeps one itself: storage may not have heard of what was counted by then. */
export interface KeptCheckpoint extends Checkpoint {
  /** The execution that reached it. */
  readonly executionId: string
  /** What that execution had counted. */
  readonly detail: IngestionDetail
}

/** The checkpoint of an ingestion in parts, as a target keeps it. */
export type KeptWholeCheckpoint = WholeCheckpoint & Pick<KeptCheckpoint, 'executionId' | 'detail'>

/** The checkpoint of a run that starts from the beginning: of a part, from where that begins. */
export function initialCheckpoint(origin: string): Omit<Checkpoint, 'scheme' | 'range'>
export function initialCheckpoint(origin: string, part: Part | undefined): Checkpoint
export function initialCheckpoint(origin: string, part?: Part): Checkpoint {
  if (!part) return { origin, sequence: 0 }
  const { scheme, position, range } = part
  return { origin, sequence: 0, scheme, range, ...(position !== undefined && { cursor: position }) }
}

/** How many records a checkpoint counts on. Where it does not say, each batch may have been one. */
export function writtenBy({ written, sequence }: Pick<Checkpoint, 'written' | 'sequence'>): number {
  return written ?? sequence
}

/** The checkpoint after one more batch. */
export function advance(
  before: Checkpoint,
  batch: RecordBatch,
  time: number,
  pkField: string | undefined,
  needs: CompiledQuery['needs'],
): Checkpoint {
  const lastId = pkField === undefined ? undefined : lastKey(batch, pkField)
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
    ...(needs.lastRecord && { lastRecord: (batch.rows.at(-1) ?? []).map(scalarOf) }),
    ...(batch.position !== undefined && { cursor: batch.position }),
  }
}

/** The checkpoint after a batch that repeats records from before it: all that tells of the last record stays. */
export function repeat(before: Checkpoint, time: number): Checkpoint {
  return { ...before, sequence: before.sequence + 1, lastRecordTimestamp: new Date(time).toISOString() }
}

function largest(before: Checkpoint, batch: RecordBatch, pkField: string, isOffered: boolean): string | undefined {
  const column = batch.columns[batch.indexOf(pkField)] as Column
  let found = before.maxPrimaryKey
  for (const value of batch.valuesOf(pkField)) {
    const text = keyOf(value, { name: pkField })
    if (text === undefined) continue
    const kind = keyKindOf(column, value)
    const order = compareKeys(text, found ?? text, kind)
    // A query function may never ask for it.
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

/** What JSON keeps of a value: text of dates and big integers, null of what is no scalar. */
function scalarOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  return typeof value === 'object' ? null : (value ?? null)
}

/** The part of a checkpoint that a query may use. */
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

/** What helps when a checkpoint does not fit the job any more. */
export const remedy = "run the job once with `resume: 'restart'`, or give it another id."

/** Where a job with a cursor goes on. Throws `invalid_options` when it had none before. */
export function cursorPosition({ sequence, cursor }: Pick<Checkpoint, 'sequence' | 'cursor'>): unknown {
  if (sequence === 0 || cursor !== undefined) return cursor
  throw new JobError('invalid_options', `The checkpoint was made without \`cursor\`: ${remedy}`)
}

/** Throws `invalid_options` when a checkpoint is one of parts, and the job is not cut any more. */
export function checkUncut({ scheme, bounds }: Pick<Checkpoint, 'bounds'> & { readonly scheme?: unknown }): void {
  if (scheme !== undefined) {
    throw new JobError(
      'invalid_options',
      `The job was cut into parts of which not all are done: let it come to its end with \`partitions\`, ${remedy}`,
    )
  }
  if (bounds !== undefined) throw boundsFailure()
}

/** Throws `invalid_options` when a checkpoint is none that a job can go on from that is cut so. */
export function checkCuts(
  checkpoint: WholeCheckpoint,
  { cursor, isResumable }: Pick<Plan, 'cursor' | 'isResumable'>,
  cuts: Cuts,
): void {
  const { scheme, sequence, bounds } = checkpoint
  if (scheme) return
  if (cursor) cursorPosition(checkpoint)
  else if (isResumable && sequence > 0 && String(bounds) !== String(cuts)) throw boundsFailure()
}

function boundsFailure(): JobError {
  return new JobError(
    'invalid_options',
    `The checkpoint is one of other \`partitions\`, whose parts each go on by themselves: say the same again, ${remedy}`,
  )
}

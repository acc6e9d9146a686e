import { isRefused, JobError } from '../../core/base/index.js'
import type { Partition, ReadRange } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'
import { type Checkpoint, type ParentCheckpoint, remedy, variablesOf } from './checkpoint.js'
import { damagedField, type Holder } from './stored-checkpoint.js'

/**
 * Throws `checkpoint` unless a checkpoint has everything that a run resumes from. Otherwise records would be read twice or never.
 * Each field is valid on its own at this point.
 */
export function checkResumable(holder: Holder, checkpoint: Checkpoint, plan: IngestionPlan): void {
  const { partition, query, datasource, pkField, cursor } = plan
  if (partition) checkRange(holder, checkpoint, partition)
  if (checkpoint.sequence === 0) {
    if (!partition) checkNotBegun(holder, checkpoint)
    return
  }
  // A run that finds this fails on its own, with a message.
  if (checkpoint.isUnordered) return
  if (!cursor) {
    checkWithoutCursor(checkpoint)
    checkKeyField(checkpoint, plan)
  }
  const isKeyAsked = datasource.capabilities?.resumesAfterId === true && pkField !== undefined
  const missing = isKeyAsked && checkpoint.lastId === undefined ? 'last_id' : query.missingIn(checkpoint)
  if (missing !== undefined) throw missingFailure(holder, missing)
}

/**
 * Throws `checkpoint` when a job has no cursor any more. What the query returns under the name of the cursor may be another column, which
 * nothing tells: only the user knows whether its last value is an id to resume after.
 */
function checkWithoutCursor({ cursor }: Checkpoint): void {
  if (cursor === undefined) return
  const { columns } = Object(Object(cursor).after) as { columns?: unknown }
  const names = Array.isArray(columns) ? columns.map(String) : []
  const made = names.length > 0 ? ` by ${names.map((name) => `\`${name}\``).join(', ')}` : ''
  throw new JobError(
    'checkpoint',
    `The checkpoint was made with a \`cursor\`${made}, and a query without one resumes after \`last_id\`, which may be a value of another column: keep the \`cursor\`, reset the job to the \`lastId\` that it resumes after, ${remedy}`,
  )
}

/** Throws `checkpoint` when the ids of a checkpoint are those of another column. Earlier versions did not store the column. */
function checkKeyField({ pkField: before }: Checkpoint, { pkField, query, datasource }: IngestionPlan): void {
  const { lastId, maxPrimaryKey } = query.needs
  const isUsed = lastId || maxPrimaryKey !== false || datasource.capabilities?.resumesAfterId === true
  if (before === undefined || pkField === undefined || before === pkField || !isUsed) return
  throw new JobError(
    'checkpoint',
    `The checkpoint was made with \`pkField: '${before}'\`, whose ids say nothing about \`${pkField}\`, so records would be read twice or never: use the same \`pkField\`, ${remedy}`,
  )
}

/** The same check for the checkpoint of a job with partitions. */
export function checkParentResumable(
  holder: Holder,
  checkpoint: ParentCheckpoint,
  { cursor: isByCursor }: Pick<IngestionPlan, 'cursor'>,
): void {
  const { sequence, scheme, cursor } = checkpoint
  if (sequence === 0) checkNotBegun(holder, checkpoint)
  if (scheme?.columns) checkSameColumns(scheme.columns, isByCursor?.columns ?? [])
  if (!isByCursor || !scheme) return
  const isSame = (scheme.position === undefined) === (cursor === undefined)
  if (!isSame) throw damagedField(holder, 'checkpoint.scheme.position', 'there exactly where `checkpoint.cursor` is')
}

/** Throws `checkpoint` when the bounds of unfinished partitions are values of other columns than the job divides its records by. */
function checkSameColumns(before: readonly string[], columns: readonly string[]): void {
  if (JSON.stringify(before) === JSON.stringify(columns)) return
  const cursorOf = (names: readonly string[]) =>
    names.length === 0 ? 'without a `cursor`' : `by the \`cursor\` ${names.map((name) => `\`${name}\``).join(', ')}`
  throw new JobError(
    'checkpoint',
    `The job has unfinished partitions that were made ${cursorOf(before)}, and reads ${cursorOf(columns)} now, so records would be read twice or never: let it complete with the cursor that it had, ${remedy}`,
  )
}

/** Throws `checkpoint` when a partition has another range than its scheme. Earlier versions did not store the range. */
export function checkRange(
  holder: Holder,
  { scheme, range }: Checkpoint,
  partition: Pick<Partition, 'scheme' | 'range'>,
): void {
  if (scheme !== partition.scheme || range === undefined || isSameRange(range, partition.range)) return
  throw damagedField(holder, 'checkpoint.range', 'the range that `scheme.bounds` of the job give to the part')
}

export function isSameRange(one: ReadRange | undefined, other: ReadRange): boolean {
  return one?.from === other.from && one?.until === other.until
}

/** Whether two checkpoints of a partition are the same, which storage and the target keep. The counts are not compared. */
export function isSamePosition(one: Checkpoint, other: Checkpoint): boolean {
  const positionOf = ({ scheme, sequence, isDone, cursor, ...checkpoint }: Checkpoint) =>
    JSON.stringify({ ...variablesOf(checkpoint), scheme, sequence, isDone, cursor })
  return positionOf(one) === positionOf(other)
}

/** The error when the datasource rejects the values that a run resumes from. Returns other errors unchanged. */
export function unfitFailure(error: unknown): unknown {
  if (!JobError.isInstance(error) || error.code !== 'invalid_options' || !isRefused(error)) return error
  const message = `The checkpoint was damaged, or does not fit the query: ${remedy}`
  return new JobError('checkpoint', message, { cause: error })
}

function checkNotBegun(holder: Holder, { cursor }: Pick<Checkpoint, 'cursor'>): void {
  if (cursor !== undefined) throw damagedField(holder, 'checkpoint.cursor', 'absent where `sequence` is 0')
}

function missingFailure(holder: Holder, variable: string): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint in ${holder} has no \`${variable}\`, which the job resumes from. It was damaged or made with another query, or the column was null in all records: ${remedy}`,
  )
}

import { adapterFailure, JobError, thrownBy, warnOf } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { Partitioning, SplitRequest } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'
import { checkedPartitioning, damagedField, type ParentCheckpoint, variablesOf } from '../run/index.js'

/** The field of a checkpoint that holds the bounds. */
export const boundsField = 'checkpoint.scheme.bounds'

/** Where and how to split the query of a job. */
interface Split {
  readonly split: SplitRequest
  readonly position: unknown
  readonly before: ParentCheckpoint
}

/** Asks the datasource to split the query of a job. */
export async function splitQuery(
  plan: IngestionPlan,
  context: ExecutionContext,
  { split, position, before }: Split,
): Promise<Partitioning> {
  const { datasource, cursor, query, failures } = plan
  if (!cursor || !datasource.partition) return { bounds: split as readonly string[], release: async () => undefined }
  const { scheme: unfinished, sequence } = before
  const isStart = sequence === 0
  const reading = { ...cursor, position, isStart, limit: Number.POSITIVE_INFINITY, onNullsSkipped: () => undefined }
  try {
    const statement = query.render(variablesOf(before))
    const options = { cursor: reading, split, signal: context.signal }
    const partitioning = await checkedPartitioning(await datasource.partition(statement, options), split)
    return { ...partitioning, release: () => release(partitioning, plan, context) }
  } catch (error) {
    const isDamaged = unfinished && JobError.isInstance(error) && error.code === 'invalid_options'
    const cause = isDamaged
      ? damagedField('storage', boundsField, 'values of the column', { cause: error })
      : thrownBy('datasource', 'partition', error)
    throw new JobError('datasource', failures.datasource, { cause })
  }
}

/** A datasource that cannot release its snapshot fails no job, and hides no failure. */
async function release(partitioning: Partitioning, plan: IngestionPlan, context: ExecutionContext): Promise<void> {
  try {
    await partitioning.release()
  } catch (error) {
    const failure = adapterFailure('datasource', error, 'release', plan.datasource.kind)
    warnOf(context.logger, context, failure, 'could not release its snapshot')
  }
}

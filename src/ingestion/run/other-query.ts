import type { IngestionPlan } from '../definition/index.js'
import type { Checkpoint, ParentCheckpoint } from './checkpoint.js'

/**
 * The warning about a checkpoint that was made with another query than the one of the job, behind whose position it reads on. `undefined`
 * when it was not, or nothing tells: earlier versions did not store the query, and what a function returns may differ for each run.
 */
export function otherQueryWarning(
  { queryDigest, sequence, scheme, cursor }: Checkpoint | ParentCheckpoint,
  plan: Pick<IngestionPlan, 'query' | 'cursor'>,
): string | undefined {
  const { digest } = plan.query
  if (queryDigest === undefined || digest === undefined || queryDigest === digest) return undefined
  // A run whose position is of another kind fails anyway, with a message.
  const isUsable = sequence > 0 ? (cursor === undefined) === (plan.cursor === undefined) : scheme !== undefined
  return isUsable ? message : undefined
}

const message =
  'The `query` of the job has changed since its checkpoint was made. This run reads on behind the last position: what only the new query ' +
  'selects before it is not read. To read that too, start the job with `fullRefresh: true` (`?full_refresh=true`), or call `reset`. Once a ' +
  'run has succeeded, later ones do not warn of this change.'

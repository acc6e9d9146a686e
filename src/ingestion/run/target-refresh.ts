import { isTransient, JobError } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import { keyOf } from '../../core/model/index.js'
import type { RefreshEffect, TargetWriter } from '../contract/index.js'
import { type IngestionPlan, refreshEffectOf } from '../definition/index.js'
import { truncated } from './adapter-answers.js'

const sentences: Record<RefreshEffect, string> = {
  replace: 'It replaces all records of the target at the end.',
  merge: 'It merges all records into the target on their key. Records that the datasource has deleted stay there.',
  truncate: 'It removes all earlier records from the target together with the first commit of new ones.',
}

/** Logs what a full refresh does to the target, before it does it. Throws when the job has another target now, which refuses it. */
export function announceRefresh(plan: IngestionPlan, { logger, ...context }: ExecutionContext): RefreshEffect {
  const effect = stillPossible(plan)
  const { type, id, executionId } = context
  const fields = { ...keyOf(context), executionId, fullRefresh: effect }
  logger.info(fields, `Job [${type}/${id}] begins a full refresh. ${sentences[effect]}`)
  return effect
}

function stillPossible(plan: IngestionPlan): RefreshEffect {
  try {
    return refreshEffectOf(plan)
  } catch (cause) {
    throw new JobError('invalid_options', `The job has yet to do a full refresh that was started before. ${wayBack}`, {
      cause,
    })
  }
}

/** Removes the earlier records of the target. Says how to give the full refresh up when no later run can do that either. */
export async function removeEarlier(writer: TargetWriter | undefined, signal: AbortSignal): Promise<void> {
  try {
    await truncated(writer)
  } catch (cause) {
    if (signal.aborted || isTransient(cause)) throw cause
    throw new JobError('target', `The full refresh could not remove the earlier records. ${wayBack}`, { cause })
  }
}

/** How to get past a full refresh that cannot be done. */
const wayBack =
  'Every later run tries it again. Remove what stands against it. To give it up, call `reset`: with the checkpoint of the last run before it, ' +
  'the next run goes on from there; without one, it begins at the beginning.'

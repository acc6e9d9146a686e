import type { ExecutionContext } from '../../core/execution/index.js'
import { keyOf } from '../../core/model/index.js'
import type { RefreshEffect } from '../contract/index.js'
import { type IngestionPlan, refreshEffectOf } from '../definition/index.js'

const sentences: Record<RefreshEffect, string> = {
  replace: 'It replaces all records of the target at the end.',
  merge: 'It merges all records into the target on their key. Records that the datasource has deleted stay there.',
  truncate: 'It removes all earlier records from the target together with the first commit of new ones.',
}

/** Logs what a full refresh does to the target, before it does it. Throws when the job has another target now, which refuses it. */
export function announceRefresh(plan: IngestionPlan, { logger, ...context }: ExecutionContext): RefreshEffect {
  const effect = refreshEffectOf(plan)
  const { type, id, executionId } = context
  const fields = { ...keyOf(context), executionId, fullRefresh: effect }
  logger.info(fields, `Job [${type}/${id}] begins a full refresh. ${sentences[effect]}`)
  return effect
}

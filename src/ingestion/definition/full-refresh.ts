import { JobError, newExecutionId } from '../../core/base/index.js'
import type { RefreshEffect } from '../contract/index.js'
import type { IngestionPlan } from './plan.js'

/** What decides on a full refresh. */
type Refreshable = Pick<IngestionPlan, 'target' | 'startsOver'>

/** What a full refresh does to the target. Throws `invalid_options` when it would write records twice. */
export function refreshEffectOf({ target, startsOver }: Refreshable): RefreshEffect {
  const { kind, strategy, capabilities } = target
  if (strategy === 'replace') return 'replace'
  const effect = capabilities?.onFullRefresh
  if (effect !== 'merge' && effect !== 'truncate') throw refused(`the target [${kind}] ${appends}`)
  if (effect === 'truncate' && startsOver) throw refused(addsAgain)
  return effect
}

const appends =
  "appends, so it would hold every record twice. Set `onFullRefresh: 'truncate'` of a target with this option, use one that replaces or merges on a key, or empty the target and call `reset`."

const addsAgain = "the job has `resume: 'restart'`, so its next run would add every record again."

function refused(reason: string): JobError {
  return new JobError('invalid_options', `Expected \`fullRefresh\` to be omitted, as ${reason}`)
}

/**
 * The checkpoint that a full refresh begins with. It keeps what is to be done over crashes, so that every later execution does it, until the
 * target has begun. A job that always starts over has none.
 */
export function refreshCheckpoint(id: string, plan: Refreshable, time: number): unknown {
  refreshEffectOf(plan)
  return plan.startsOver ? null : { origin: newExecutionId(id, time), sequence: 0, refresh: true }
}

/** What a job that starts over keeps of a checkpoint: a full refresh that has yet to begin. */
export function pendingRefresh(checkpoint: unknown): unknown {
  return Object(checkpoint ?? {}).refresh === true ? checkpoint : null
}

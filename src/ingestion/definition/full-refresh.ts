import { callTarget, JobError, newExecutionId } from '../../core/base/index.js'
import type { RefreshEffect } from '../contract/index.js'
import { hasAllFields, withFieldCount } from './field-count.js'
import type { IngestionPlan } from './plan.js'

/** What decides on a full refresh. */
type Refreshable = Pick<IngestionPlan, 'target' | 'startsOver'>

/** What a full refresh does to the target. `undefined` when it is refused, as it would write records twice. */
export function allowedRefresh({
  target: { strategy, capabilities },
  startsOver,
}: Refreshable): RefreshEffect | undefined {
  if (strategy === 'replace') return 'replace'
  const effect = capabilities?.onFullRefresh
  return effect === 'merge' || (effect === 'truncate' && !startsOver) ? effect : undefined
}

/** What a full refresh does to the target. Throws `invalid_options` when it would write records twice. */
export function refreshEffectOf(plan: Refreshable): RefreshEffect {
  const effect = allowedRefresh(plan)
  if (effect) return effect
  const { kind, capabilities } = plan.target
  throw refused(capabilities?.onFullRefresh === 'truncate' ? addsAgain : `The target [${kind}] ${appends}`)
}

const appends =
  "appends, so it would hold every record twice. Set `onFullRefresh: 'truncate'` of a target with this option, use one that replaces or merges on a key, or empty the target and call `reset`."

const addsAgain = "The job has `resume: 'restart'`, so its next run would add every record again."

function refused(reason: string): JobError {
  return new JobError('invalid_options', `A full refresh is not possible. ${reason}`)
}

/**
 * Throws `invalid_options` for a full refresh that the target could not do, as far as it can tell without changing anything, and `target`
 * when it could not find out.
 */
export async function checkRefresh({ target }: Pick<Refreshable, 'target'>, signal: AbortSignal): Promise<void> {
  try {
    await callTarget('checkFullRefresh', () => target.checkFullRefresh?.(signal))
  } catch (cause) {
    if (signal.aborted || (JobError.isInstance(cause) && cause.code === 'invalid_options')) throw cause
    const message = `The target [${target.kind}] could not be asked whether it can do a full refresh. Nothing was started.`
    throw new JobError('target', message, { cause })
  }
}

/**
 * The checkpoint that a full refresh begins with. It keeps what is to be done over crashes, so that every later execution does it, until the
 * target has begun. A job that always starts over has none.
 */
export function refreshCheckpoint(id: string, plan: Refreshable, time: number): unknown {
  refreshEffectOf(plan)
  const checkpoint = { origin: newExecutionId(id, time), sequence: 0, refresh: true }
  return plan.startsOver ? null : withFieldCount(checkpoint)
}

/** What a job that starts over keeps of a checkpoint: a full refresh that has yet to begin, or damage that may hide one. */
export function pendingRefresh(checkpoint: unknown): unknown {
  return Object(checkpoint ?? {}).refresh === true || !hasAllFields(checkpoint) ? checkpoint : null
}

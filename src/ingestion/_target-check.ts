import { JobError } from '../core/errors.js'
import type { Plan } from './_plan.js'
import type { TargetWriter } from './target.js'

/** What the target should hold, and what is done when it does not. */
type Expectation = Pick<Plan, 'ifTargetReset'> & { readonly written: number }

/**
 * Compares the checkpoint that a run would resume from with what the target holds. Gives what the run has to do: `continue` from the
 * checkpoint, or `restart`. Throws `target` when the two disagree and the job does not say what to do then.
 */
export async function checkTarget(
  writer: Pick<TargetWriter, 'checkpoint' | 'isReset'>,
  { written, ifTargetReset }: Expectation,
): Promise<'continue' | 'restart'> {
  if (written === 0) return 'continue'
  const isForgotten = writer.checkpoint === null
  const isGone = (await writer.isReset?.()) ?? false
  if (!isForgotten && !isGone) return 'continue'
  // Nothing can be there twice in an empty target, and an inbox that is emptied keeps its checkpoint.
  if (isForgotten && isGone) return 'restart'
  if (ifTargetReset !== 'fail') return ifTargetReset
  throw new JobError('target', isGone ? gone : forgotten)
}

const continuing = "`ifTargetReset: 'continue'` to load only what is new"

const gone = `The target was emptied or made anew since the job wrote to it, so that it lacks the records that the checkpoint counts on. Say \`ifTargetReset: 'restart'\` to load everything again, or ${continuing}.`

const forgotten = `The target holds records but no checkpoint of this job, although storage has one: the checkpoint was deleted, or the job wrote to another target before. Empty the target to load everything again, or say ${continuing}, or 'restart' where writing a record again does no harm.`

import { badAnswer, callTarget, JobError } from '../../core/base/index.js'
import type { OpenTarget } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'
import { checkpointIn } from './adapter-answers.js'

/** What the target should hold, and what happens when it does not. */
type Expectation = Pick<IngestionPlan, 'ifTargetReset'> & { readonly written: number }

/**
 * Compares the checkpoint that a run would resume from with the target. Returns whether to `continue` from the checkpoint or to
 * `restart`. Throws `target` when the two disagree and the job does not define what to do.
 */
export async function checkTarget(
  { writer, resume }: Required<OpenTarget>,
  { written, ifTargetReset }: Expectation,
): Promise<'continue' | 'restart'> {
  if (written === 0) return 'continue'
  const isForgotten = checkpointIn(resume) === null
  if (!isForgotten && ifTargetReset === 'continue') return 'continue'
  const isGone: unknown = (await callTarget('isReset', () => writer.isReset?.())) ?? false
  if (typeof isGone !== 'boolean') throw badAnswer('target', 'isReset() of the target', 'true or false', isGone)
  if (!isForgotten && !isGone) return 'continue'
  // Nothing can be duplicated in an empty target, and an inbox that is emptied keeps its checkpoint.
  if (isForgotten && isGone) return 'restart'
  if (ifTargetReset !== 'fail') return ifTargetReset
  throw new JobError('target', isGone ? gone : forgotten)
}

const continuing = "`ifTargetReset: 'continue'` to load only what is new"

const gone = `The target was emptied or created again after the job wrote to it, so it lacks the records that the checkpoint counts on. To load everything again, start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), or call \`reset\` without a checkpoint. To let each run do so, set \`ifTargetReset: 'restart'\`, or ${continuing}.`

const forgotten = `The target holds records but no checkpoint of this job, although storage has one: the checkpoint was deleted, or the job wrote to another target before. Empty the target to load everything again, or set ${continuing}, or 'restart' if writing a record twice does no harm.`

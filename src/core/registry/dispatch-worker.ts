import { errorMessages, invalid, isMisconfigured, JobError, untilAborted } from '../base/index.js'
import { type ConcurrencyLimits, type DispatchWorker, isWaiting, type WaitingExecution } from '../dispatch/index.js'
import type { CompletionWaiter, ExecutionQueue, Runner } from '../execution/index.js'
import type { Runtime } from '../runtime/index.js'

/** The parts of a registry that its dispatcher uses. */
interface DispatchParts {
  readonly limits: ConcurrencyLimits
  readonly queue: ExecutionQueue
  readonly runner: Runner
  readonly completions: CompletionWaiter
}

/** What a registry gives its dispatcher. A dispatcher may pass on its methods. */
export function dispatchWorker(runtime: Runtime, parts: DispatchParts): DispatchWorker {
  const { clock, lease, logger } = runtime
  const { limits, queue, runner, completions } = parts
  const warn = (error: unknown, message: string) => logger.warn({ error: errorMessages(error) }, message)
  const logError = (error: unknown, message: string) => logger.error({ error: errorMessages(error) }, message)
  /** Passes on a message of the dispatcher, which may be anything. */
  const handled = async (message: unknown, handle: (waiting: WaitingExecution) => Promise<boolean>) => {
    try {
      if (!isWaiting(message)) throw invalid('waiting', 'a queued execution', message)
      return await handle(message)
    } catch (error) {
      warn(error, 'Could not handle a message of the dispatcher.')
      return false
    }
  }
  return {
    limits,
    clock,
    lease,
    run: (message) => handled(message, (waiting) => runner.run(waiting)),
    whenEnded: (message, left) =>
      handled(message, (waiting) =>
        untilAborted(completions.whenEnded(waiting), left).then(
          () => true,
          () => false,
        ),
      ),
    hasLiveBefore: (time) => queue.hasLiveBefore(time),
    warn: (error, message) =>
      (isPermanent(error) ? logError : warn)(
        error,
        typeof message === 'string' ? message : 'The dispatcher gave a warning without a message.',
      ),
  }
}

/** Whether a queue fails until a person changes something, such as a package that is not installed. */
function isPermanent(error: unknown): boolean {
  return isMisconfigured(error) || (JobError.isInstance(error) && error.isTransient === false)
}

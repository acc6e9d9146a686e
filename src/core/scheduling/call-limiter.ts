import PQueue from 'p-queue'
import { errorMessages, isMisconfigured, retry } from '../base/index.js'
import { startsAtOnce } from '../dispatch/index.js'
import type { Job } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'

/** Limits how many calls to storage the schedules make at once, and retries them: thousands of jobs may be due at once. */
export class CallLimiter {
  readonly #runtime: Pick<Runtime, 'clock' | 'logger' | 'lease'>
  readonly #stopped: AbortSignal
  readonly #queue = new PQueue({ concurrency: startsAtOnce })

  constructor(runtime: Pick<Runtime, 'clock' | 'logger' | 'lease'>, stopped: AbortSignal) {
    this.#runtime = runtime
    this.#stopped = stopped
  }

  /** Calls storage once. `undefined` when the scheduler was stopped first. */
  call<Answer>(call: () => Promise<Answer>): Promise<Answer | undefined> {
    return this.#queue.add(async () => (this.#stopped.aborted ? undefined : call()))
  }

  /** Calls storage until it answers. `undefined` when the scheduler was stopped first, or a person has to mend the storage. */
  callUntilAnswered<Answer>({ type, id }: Job, call: () => Promise<Answer>): Promise<Answer | undefined> {
    const { clock, lease, logger } = this.#runtime
    return retry(() => this.call(call), {
      clock,
      lease,
      abandoned: this.#stopped,
      isHopeless: (error) => this.#stopped.aborted || isMisconfigured(error),
      background: true,
      onFailed: (error, delay) =>
        logger.warn(
          { type, id, error: errorMessages(error) },
          `The schedule of job [${type}/${id}] cannot reach storage, retrying in ${delay} ms.`,
        ),
    })
  }
}

import { anySignal, createAbortController } from '../core/abort.js'
import { sleep } from '../core/clock.js'
import { JobError } from '../core/errors.js'
import type { JobContext } from '../core/job.js'
import { isEnded } from '../core/lifecycle.js'
import { warnOf } from '../core/logger.js'
import { partsOf } from '../core/parts.js'
import type { ExecutionRecord } from '../core/storage.js'
import type { Plan } from './_plan.js'
import { IngestionRun } from './_run.js'
import { storedWholeCheckpoint } from './_stored.js'
import { type Part, partIn } from './partitions.js'

/** How often to look whether the whole is still there, in milliseconds. */
const interval = 1000

/** One run of a part of an ingestion, as long as the whole is there, or somebody is to go on with it. */
export class PartRun {
  readonly #plan: Plan
  readonly #context: JobContext
  readonly #n: number
  /** Aborts when the whole is gone. */
  readonly #gone = createAbortController()
  /** Aborts when the part is over. */
  readonly #over = createAbortController()

  constructor(plan: Plan, context: JobContext, n: number) {
    this.#plan = plan
    this.#context = context
    this.#n = n
  }

  /** Runs to the end of the part. Throws `aborted` when the whole has ended, or was cut otherwise since. */
  async run(): Promise<'completed'> {
    const part = this.#partOf(await partsOf(this.#context).whole())
    if (!part) throw gone()
    const watching = this.#watch(part)
    try {
      const signal = anySignal([this.#context.signal, this.#gone.signal])
      return await new IngestionRun({ ...this.#plan, part }, { ...this.#context, signal }).run()
    } finally {
      this.#over.abort()
      await watching
    }
  }

  async #watch({ scheme }: Part): Promise<void> {
    const { clock, logger } = this.#context
    while (!this.#over.signal.aborted && !this.#gone.signal.aborted) {
      await sleep(clock, interval, this.#over.signal)
      try {
        const whole = this.#over.signal.aborted ? undefined : await partsOf(this.#context).whole()
        if (whole && this.#partOf(whole)?.scheme !== scheme) this.#gone.abort(gone())
      } catch (error) {
        warnOf(logger, this.#context, error, 'could not look at the whole that it is a part of')
      }
    }
  }

  /** The part, as the whole was cut; `undefined` when nobody is to go on with that. */
  #partOf(whole: ExecutionRecord | undefined): Part | undefined {
    const { scheme } = storedWholeCheckpoint(whole?.checkpoint) ?? {}
    if (!whole || !scheme || whole.state === 'aborting') return undefined
    const isLeft = whole.isOrphaned === true && this.#plan.isTakenOver
    return isEnded(whole.state) && !isLeft ? undefined : partIn(scheme, this.#n, whole.executionId)
  }
}

function gone(): JobError {
  return new JobError('aborted', 'The job has ended that this is a part of, or was cut otherwise since.')
}

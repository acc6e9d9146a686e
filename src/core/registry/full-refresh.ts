import { alreadyRunning, createAbortController, JobError, jobKey, untilAborted } from '../base/index.js'
import type { LibraryJob } from '../execution/index.js'
import { isLive, type JobKey } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'

/** How long a target may take to say whether it can do a full refresh, in milliseconds. */
const checkTimeout = 10_000

/** Checks full refreshes before they are started: one that can never succeed would fail every later run, until the job is reset. */
export class RefreshChecks {
  readonly #runtime: Pick<Runtime, 'storage' | 'clock'>
  /** The checks that run, by the keys of their jobs. */
  readonly #running = new Map<string, Set<AbortController>>()
  #isClosing = false

  constructor(runtime: Pick<Runtime, 'storage' | 'clock'>) {
    this.#runtime = runtime
  }

  /**
   * The checkpoint that a full refresh of a job begins with. Throws `invalid_options` when the job has no full refresh, or its target cannot do
   * it, `already_running` for a live job, whose target is not asked, and `target` when the target does not answer.
   */
  async checkpointFor(job: LibraryJob): Promise<unknown> {
    const { clock, storage } = this.#runtime
    const checkpoint = refreshCheckpointOf(job, clock.now())
    if (!job.checkRefresh) return checkpoint
    const record = await storage.find(job.type, job.id)
    if (record && isLive(record.state)) throw alreadyRunning(record)
    await this.#check(job, job.checkRefresh)
    return checkpoint
  }

  /** Ends the checks of a job: their starts reject. */
  abort(job: JobKey): void {
    const { type, id } = job
    const aborted = new JobError('aborted', `Job [${type}/${id}] was aborted before it was started.`)
    for (const check of this.#running.get(jobKey({ type, id })) ?? []) check.abort(aborted)
  }

  /** Ends all checks, and begins no more. */
  close(): void {
    this.#isClosing = true
    for (const check of [...this.#running.values()].flatMap((checks) => [...checks])) check.abort(closed())
  }

  async #check(job: LibraryJob, ask: NonNullable<LibraryJob['checkRefresh']>): Promise<void> {
    if (this.#isClosing) throw closed()
    const key = jobKey(job)
    const check = createAbortController()
    const ofJob = this.#running.get(key) ?? new Set()
    this.#running.set(key, ofJob.add(check))
    const timer = this.#runtime.clock.setTimer(checkTimeout, () => check.abort(late()))
    try {
      await untilAborted(ask(check.signal), check.signal)
    } finally {
      timer.cancel()
      ofJob.delete(check)
      if (ofJob.size === 0) this.#running.delete(key)
    }
  }
}

/** The checkpoint that a full refresh of a job begins with. Throws `invalid_options` when the job has no full refresh. */
function refreshCheckpointOf(job: LibraryJob, time: number): unknown {
  if (job.refreshCheckpoint) return job.refreshCheckpoint(time)
  const { type, id } = job
  const reason = `Job [${type}/${id}] is not an ingestion. Call \`reset\` to let it start without a checkpoint.`
  throw new JobError('invalid_options', `A full refresh is not possible. ${reason}`)
}

function closed(): JobError {
  return new JobError('closed', 'The registry is closed.')
}

function late(): JobError {
  const message = `The target did not say within ${checkTimeout} ms whether it can do a full refresh. Nothing was started.`
  return new JobError('target', message, { isTransient: true })
}

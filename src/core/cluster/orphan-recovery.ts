import { errorMessages, jobKey, Poller, type Timer, warnOf } from '../base/index.js'
import type { JobCatalog, PausedJobs, Runner } from '../execution/index.js'
import type { ExecutionRecord } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { pagesOf, type StorageChange } from '../storage/index.js'

/** How many times per lease to poll for orphans. */
const pollsPerLease = 3

/** Maximum random delay before a node polls for a reported orphan, as a share of a lease. */
const spread = 1 / 30

/** Maximum number of lost executions that one poll logs, and that are remembered. */
const maxEntries = 100
const maxLogged = 10_000

/** How long ago an execution may have been lost so that this is logged, in milliseconds. */
const maxAge = 3_600_000

/** Resumes the orphans of all nodes that share the storage. */
export class OrphanRecovery {
  readonly #runtime: Runtime
  readonly #jobs: JobCatalog
  readonly #runner: Runner
  readonly #poller: Poller
  /** Jobs whose last execution may be an orphan that no node has resumed yet. */
  readonly #maybeOrphaned = new Set<string>()
  #timer: Timer | undefined
  /** The orphans whose loss was logged. */
  readonly #logged = new Set<string>()
  /** How many more this poll may log. */
  #entriesLeft = maxEntries

  constructor(runtime: Runtime, jobs: JobCatalog, runner: Runner, paused: PausedJobs) {
    const { clock, lease, logger, events } = runtime
    this.#runtime = runtime
    this.#jobs = jobs
    this.#runner = runner
    this.#poller = new Poller({
      clock,
      interval: lease / pollsPerLease,
      poll: () => this.#recover(),
      onFailed: (error) => logger.warn({ error: errorMessages(error) }, 'Could not poll for orphans.'),
    })
    events.on('storageChange', (change) => this.#handleStorageChange(change))
    paused.onUnpaused(() => this.#poller.nudge())
  }

  start(): void {
    this.#poller.start()
  }

  stop(): void {
    this.#poller.stop()
    this.#timer?.cancel()
  }

  /** An orphan can be resumed soon. */
  #handleStorageChange(change: StorageChange): void {
    const { state } = change
    if (state !== 'error' && state !== 'aborted') {
      if (this.#maybeOrphaned.size > 0) this.#maybeOrphaned.delete(jobKey(change))
    } else if (this.#jobs.forExecution(change)?.resume === 'auto') this.#recoverSoon(jobKey(change))
  }

  /** Nodes wait random times after the same notification, so that most see that another one has resumed, and need not poll. */
  #recoverSoon(key: string): void {
    const { clock, lease } = this.#runtime
    const poll = () => {
      this.#timer = undefined
      if (this.#maybeOrphaned.size > 0) this.#poller.nudge()
    }
    this.#maybeOrphaned.add(key)
    this.#timer ??= clock.setTimer(Math.random() * lease * spread, poll, { background: true })
  }

  async #recover(): Promise<void> {
    this.#maybeOrphaned.clear()
    this.#entriesLeft = maxEntries
    const { storage } = this.#runtime
    for await (const orphans of pagesOf((page) => storage.orphans({ ...page, includePartitions: true }))) {
      for (const orphan of orphans) this.#maybeOrphaned.add(jobKey(orphan))
      // Jobs that another node has resumed in the meantime are skipped.
      for (const orphan of orphans) if (this.#maybeOrphaned.delete(jobKey(orphan))) await this.#takeOver(orphan)
    }
  }

  /** Logs once that a process died. One that closed has handed its executions over. */
  #log(orphan: ExecutionRecord, outcome: 'resumed' | 'refused' | undefined): void {
    const { type, id, partition, executionId, node, count, state, endTime = 0 } = orphan
    const { clock, logger } = this.#runtime
    if (!outcome || state !== 'error' || this.#logged.has(executionId)) return
    if (endTime < clock.now() - maxAge || this.#entriesLeft-- <= 0) return
    for (const oldest of this.#logged) {
      if (this.#logged.size < maxLogged) break
      this.#logged.delete(oldest)
    }
    this.#logged.add(executionId)
    const job = partition === undefined ? `Job [${type}/${id}]` : `Partition ${partition} of job [${type}/${id}]`
    const fields = { type, id, ...(partition !== undefined && { partition }), executionId, node, count }
    const died = `execution [${executionId}], whose process${node === null ? '' : ` [${node}]`} died`
    if (outcome === 'resumed') logger.warn(fields, `${job} resumes ${died}.`)
    // A live parent starts its partitions again.
    else if (partition === undefined) logger.error(fields, `${job} failed and is not resumed: ${died}.`)
  }

  /** One that cannot be resumed does not keep the others from it. */
  async #takeOver(orphan: ExecutionRecord): Promise<void> {
    try {
      this.#log(orphan, await this.#runner.takeOver(orphan))
    } catch (error) {
      warnOf(this.#runtime.logger, orphan, error, 'could not be resumed')
    }
  }
}

import { errorMessages, jobKey, Poller, type Timer, warnOf } from '../base/index.js'
import type { JobCatalog, LocalExecutions, PausedJobs, Runner } from '../execution/index.js'
import type { ExecutionRecord } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { pagesOf, type StorageChange } from '../storage/index.js'
import { LostProcessPoller } from './lost-process-poller.js'
import { LostProcesses } from './lost-processes.js'

/** How many times per lease to poll for orphans. */
const pollsPerLease = 3

/** Maximum random delay before a node polls for a reported orphan, as a share of a lease. */
const spread = 1 / 30

/** The parts of a registry that an {@link OrphanRecovery} uses. */
export interface RecoveryParts {
  readonly jobs: JobCatalog
  readonly executions: LocalExecutions
  readonly runner: Runner
  readonly paused: PausedJobs
}

/** Resumes the orphans of all nodes that share the storage. */
export class OrphanRecovery {
  readonly #runtime: Runtime
  readonly #jobs: JobCatalog
  readonly #runner: Runner
  readonly #poller: Poller
  readonly #lost: LostProcesses
  readonly #observer: LostProcessPoller
  /** Jobs whose last execution may be an orphan that no node has resumed yet. */
  readonly #maybeOrphaned = new Set<string>()
  #timer: Timer | undefined

  constructor(runtime: Runtime, { jobs, executions, runner, paused }: RecoveryParts) {
    const { clock, lease, logger, events } = runtime
    this.#runtime = runtime
    this.#jobs = jobs
    this.#runner = runner
    this.#lost = new LostProcesses(runtime)
    this.#observer = new LostProcessPoller(runtime, jobs, executions, this.#lost)
    this.#poller = new Poller({
      clock,
      interval: lease / pollsPerLease,
      poll: () => this.#recover(),
      onFailed: (error) => logger.warn({ error: errorMessages(error) }, 'Could not poll for orphans.'),
    })
    events.on('storageChange', (change) => this.#handleStorageChange(change))
    paused.onUnpaused(() => this.#poller.nudge())
  }

  /** Resumes orphans from now on. */
  start(): void {
    this.#observer.stop()
    this.#poller.start()
  }

  /** Only logs the executions whose process died, unless it is started. */
  observe(): void {
    this.#observer.start()
  }

  stop(): void {
    this.#observer.stop()
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
    this.#lost.beginPoll()
    const { storage } = this.#runtime
    for await (const orphans of pagesOf((page) => storage.orphans({ ...page, includePartitions: true }))) {
      for (const orphan of orphans) this.#maybeOrphaned.add(jobKey(orphan))
      // Jobs that another node has resumed in the meantime are skipped.
      for (const orphan of orphans) if (this.#maybeOrphaned.delete(jobKey(orphan))) await this.#takeOver(orphan)
    }
  }

  /** One that cannot be resumed does not keep the others from it. */
  async #takeOver(orphan: ExecutionRecord): Promise<void> {
    try {
      this.#lost.log(orphan, await this.#runner.takeOver(orphan))
    } catch (error) {
      warnOf(this.#runtime.logger, orphan, error, 'could not be resumed')
    }
  }
}

import { Poller } from '../base/index.js'
import type { JobCatalog, LocalExecutions } from '../execution/index.js'
import type { Runtime } from '../runtime/index.js'
import type { LostProcesses } from './lost-processes.js'

/** How many orphans one poll reads. */
const pageSize = 100

/**
 * Polls for lost executions, once per lease, in a registry that resumes none: for the log alone. A poll settles the executions whose
 * lease expired, also one that has ended and whose end storage did not accept yet. So it polls for none while this process holds such
 * an execution, nor directly after an outage, when other processes store such ends.
 */
export class LostProcessPoller {
  readonly #runtime: Runtime
  readonly #jobs: JobCatalog
  readonly #executions: LocalExecutions
  readonly #lost: LostProcesses
  readonly #poller: Poller
  /** The last orphan of the page before. One statement per lease reads one page. */
  #searchAfter: string | undefined
  #hasFailed = false

  constructor(runtime: Runtime, jobs: JobCatalog, executions: LocalExecutions, lost: LostProcesses) {
    const { clock, lease } = runtime
    this.#runtime = runtime
    this.#jobs = jobs
    this.#executions = executions
    this.#lost = lost
    this.#poller = new Poller({
      clock,
      interval: lease,
      poll: () => this.#poll(),
      // What the jobs ask storage for is logged.
      onFailed: () => {
        this.#hasFailed = true
      },
    })
  }

  start(): void {
    this.#poller.start()
  }

  stop(): void {
    this.#poller.stop()
  }

  async #poll(): Promise<void> {
    const { storage, lease } = this.#runtime
    if (this.#executions.health.some(({ leaseAge }) => leaseAge >= lease)) return
    if (this.#hasFailed) {
      await storage.isWritable?.()
      this.#hasFailed = false
      return
    }
    const searchAfter = this.#searchAfter
    const { hits, next } = await storage.orphans({ size: pageSize, ...(searchAfter !== undefined && { searchAfter }) })
    this.#searchAfter = next
    this.#lost.beginPoll()
    for (const orphan of hits) if (this.#jobs.forExecution(orphan)) this.#lost.log(orphan, 'refused')
  }
}

import type { ExecutionRecord } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'

/** Maximum number of lost executions that one poll logs, and that are remembered. */
const maxEntries = 100
const maxRemembered = 10_000

/** How long ago an execution may have been lost so that this is logged, in milliseconds. */
const maxAge = 3_600_000

/** Logs the executions whose process died, once each. */
export class LostProcesses {
  readonly #runtime: Pick<Runtime, 'clock' | 'logger'>
  /** The orphans whose loss was logged. */
  readonly #logged = new Set<string>()
  /** How many more this poll may log. */
  #entriesLeft = maxEntries

  constructor(runtime: Pick<Runtime, 'clock' | 'logger'>) {
    this.#runtime = runtime
  }

  /** Called when a poll begins. */
  beginPoll(): void {
    this.#entriesLeft = maxEntries
  }

  /** Logs once that a process died. One that closed has handed its executions over. */
  log(orphan: ExecutionRecord, outcome: 'resumed' | 'refused' | undefined): void {
    const { type, id, partition, executionId, node, count, state, endTime = 0 } = orphan
    const { clock, logger } = this.#runtime
    if (!outcome || state !== 'error' || this.#logged.has(executionId)) return
    if (endTime < clock.now() - maxAge || this.#entriesLeft-- <= 0) return
    this.#remember(executionId)
    const job = partition === undefined ? `Job [${type}/${id}]` : `Partition ${partition} of job [${type}/${id}]`
    const fields = { type, id, ...(partition !== undefined && { partition }), executionId, node, count }
    const died = `execution [${executionId}], whose process${node === null ? '' : ` [${node}]`} died`
    if (outcome === 'resumed') logger.warn(fields, `${job} resumes ${died}.`)
    // A live parent starts its partitions again.
    else if (partition === undefined) logger.error(fields, `${job} failed and is not resumed: ${died}.`)
  }

  #remember(executionId: string): void {
    for (const oldest of this.#logged) {
      if (this.#logged.size < maxRemembered) break
      this.#logged.delete(oldest)
    }
    this.#logged.add(executionId)
  }
}

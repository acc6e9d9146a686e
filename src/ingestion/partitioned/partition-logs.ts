import type { ExecutionContext } from '../../core/execution/index.js'
import type { ExecutionRecord } from '../../core/model/index.js'

/** The length of the time that begins a line. */
const timeLength = new Date(0).toISOString().length

/** Copies the lines that the partitions log to the log of their job, where they are seen. */
export class PartitionLogs {
  readonly #context: Pick<ExecutionContext, 'logFrom'>
  /** The last copied line of each execution. */
  readonly #last = new Map<string, string>()

  constructor(context: Pick<ExecutionContext, 'logFrom'>) {
    this.#context = context
  }

  /** Copies the lines that a partition has logged since the last call. */
  copy(n: number, { executionId, logTail = [] }: ExecutionRecord): void {
    const last = this.#last.get(executionId)
    const later = last === undefined ? logTail : logTail.slice(logTail.lastIndexOf(last) + 1)
    for (const line of later) {
      this.#context.logFrom(Date.parse(line.slice(0, timeLength)), `[partition ${n}]${line.slice(timeLength)}`)
    }
    if (later.length > 0) this.#last.set(executionId, later.at(-1) as string)
  }
}

import { type Clock, type EndClaim, type ExecutionRecord, JobMap, type OpenEnds } from '../../adapter.js'

interface OpenEnd {
  readonly execution: ExecutionRecord
  /** When its claim expires. */
  claimedUntil: number
}

/** The open notifications of a storage in memory, in the order in which the executions ended. */
export class MemoryEnds implements OpenEnds {
  readonly #clock: Clock
  readonly #copy: (execution: ExecutionRecord) => ExecutionRecord
  readonly #open = new Map<string, OpenEnd>()

  constructor(clock: Clock, copy: (execution: ExecutionRecord) => ExecutionRecord) {
    this.#clock = clock
    this.#copy = copy
  }

  async claim({ lease, size, except = [] }: EndClaim): Promise<ExecutionRecord[]> {
    const now = this.#clock.now()
    const left = new JobMap<true>()
    for (const job of except) left.set(job, true)
    const isWanted = ({ claimedUntil, execution: { type, id } }: OpenEnd) =>
      claimedUntil <= now && !left.get({ type, id })
    const free = [...this.#open.values()].filter(isWanted).slice(0, size)
    for (const end of free) end.claimedUntil = now + lease
    return free.map(({ execution }) => this.#copy(execution))
  }

  async settle(executionId: string): Promise<void> {
    const end = this.#open.get(executionId)
    if (end) end.execution.isEndNotified = true
    this.#open.delete(executionId)
  }

  /** Adds an ended execution, if somebody wants to be notified. */
  add(execution: ExecutionRecord): void {
    if (!execution.notifiesEnd) return
    this.#open.set(execution.executionId, { execution, claimedUntil: Number.NEGATIVE_INFINITY })
  }

  /** Removes an execution that retention deletes. */
  delete({ executionId }: ExecutionRecord): void {
    this.#open.delete(executionId)
  }
}

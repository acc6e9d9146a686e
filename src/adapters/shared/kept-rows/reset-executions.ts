import { type CheckpointReset, executionOrder, JobError, newExecutionId, type OpenContext } from '../../../adapter.js'
import { damagedKept } from './damaged-kept.js'
import { isLater, resetSuffix } from './fence-keys.js'

/** How far the clock of a storage may be ahead of that of a registry, in milliseconds. */
const clockTolerance = 5 * 60_000

/** Which executions a reset of a job lets write from then on, and which not. */
export class ResetExecutions {
  readonly #request: Pick<CheckpointReset, 'id' | 'executionId' | 'time' | 'latest'>

  constructor(request: Pick<CheckpointReset, 'id' | 'executionId' | 'time' | 'latest'>) {
    this.#request = request
  }

  /**
   * Whether the execution in the row of the job has begun after the reset, which then changes nothing. One that is later than all that storage
   * knows is none: it comes from a clock that was ahead, or from another storage.
   */
  async refuse(stored: string | undefined): Promise<boolean> {
    const { executionId: last, latest } = this.#request
    if (stored === undefined || (last !== undefined && !isLater(stored, last + resetSuffix))) return false
    if (!latest) return last !== undefined
    const found = await latest()
    return found !== undefined && !isLater(stored, found + resetSuffix)
  }

  /**
   * The execution in the row of the job from then on. No execution writes that is not later, and none that has begun, as the row names it no
   * more. Every execution that begins after the reset is later.
   */
  after(stored: string | undefined): string {
    const { id, executionId: last } = this.#request
    return this.#bounded(withSuffix(stored ?? last ?? newExecutionId(id, 0)), this.#request.time)
  }

  /** The same for the row of a partition, whose executions begin after that of the job, by the clock of the storage. */
  afterPartition(stored: string): string {
    const { time } = this.#request
    return this.#bounded(withSuffix(stored), time === undefined ? undefined : time + clockTolerance)
  }

  #bounded(execution: string, until: number | undefined): string {
    const { id, executionId: last, time } = this.#request
    if (until === undefined || time === undefined) return execution
    const bounds = (at: number) => [newExecutionId(id, Math.max(0, at - 1)), ...(last === undefined ? [] : [last])]
    const isIn = bounds(until).some((bound) => !isLater(execution, withSuffix(bound)))
    if (isIn) return execution
    return withSuffix(bounds(time).reduce((one, other) => (isLater(one, other) ? one : other)))
  }
}

function withSuffix(execution: string): string {
  return execution.endsWith(resetSuffix) ? execution : execution + resetSuffix
}

/** The error for a run that finds a later execution in its row: `lease_lost`, or `checkpoint` where the row names none. */
export function laterExecution(
  { type, id }: Pick<OpenContext, 'type' | 'id'>,
  title: string,
  stored: string,
): JobError {
  const execution = stored.endsWith(resetSuffix) ? stored.slice(0, -resetSuffix.length) : stored
  const order = executionOrder(execution)
  if (order === undefined || execution.slice(0, -order.length) !== id)
    return damagedKept('execution', 'the id of an execution of the job')
  return new JobError(
    'lease_lost',
    `A later execution of job [${type}/${id}] has taken over \`${title}\`. If the job does not run, that execution is from a clock that was ahead, ` +
      'or from another storage: call `reset`.',
  )
}

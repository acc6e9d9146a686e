import { executionOrder, maxPriority, type WaitingExecution } from '../../adapter.js'

/** The data of an execution in BullMQ. */
export interface QueueEntry extends WaitingExecution {
  /** When it got its priority, in epoch milliseconds. */
  readonly since: number
}

/** The name of entries in BullMQ. */
export const entryName = 'execution'

const unreadableName = 'unreadable'

/** The parts of a stored job that BullMQ acts on. */
interface Stored {
  readonly name?: string
  readonly data?: string
  readonly attemptsStarted?: number
  /** The same in BullMQ 5. */
  readonly ats?: string
}

/** The job id of an execution in BullMQ: the unique part of its id, without a colon. */
export function keyOf(executionId: string): string {
  return executionOrder(executionId) ?? executionId
}

/**
 * Parses a job of BullMQ. Returns `undefined` for an invalid one, because other programs and versions can write to
 * the engine.
 */
export function toQueueEntry(
  job: { readonly id?: string | undefined; readonly data: unknown } | undefined,
): QueueEntry | undefined {
  const { type, id, partition, executionId, epoch, priority, datasource, since } = Object(job?.data) as Partial<
    Record<keyof QueueEntry, unknown>
  >
  // An older version named a partition by a type that begins with `_`. Storage has it under another name, and it is added again.
  const isNamed = isText(type) && !type.startsWith('_') && isText(id) && isText(executionId)
  if (!isNamed || executionId.slice(0, id.length) !== id || keyOf(executionId) !== job?.id) return undefined
  if (!isWhole(epoch) || !isWhole(priority) || Math.abs(priority) > maxPriority || !isWhole(since)) return undefined
  if (datasource !== undefined && !isText(datasource)) return undefined
  if (partition !== undefined && !(isWhole(partition) && partition >= 0)) return undefined
  return {
    ...{ type, id, executionId, epoch, priority, since },
    ...(partition !== undefined && { partition }),
    ...(datasource !== undefined && { datasource }),
  }
}

/** Whether a job of BullMQ, which is no valid entry, has the id and name of one. A job that BullMQ cannot read has another name. */
export function mayBeExecution({
  id = '',
  name,
}: {
  readonly id?: string | undefined
  readonly name: string
}): boolean {
  return executionOrder(`x${id}`) === id && (name === entryName || name === unreadableName)
}

/** The execution of an entry. */
export function toWaitingExecution({ since: _, ...waiting }: QueueEntry): WaitingExecution {
  return waiting
}

/**
 * Lets a worker take jobs that BullMQ cannot read, without data, where an error would leave them active. Removes
 * stored fields that make BullMQ repeat or fail a job. `onTaken` is called with each job.
 */
export function claimAnyJob(worker: object, onTaken: (job: object) => void): void {
  const maker = worker as { createJob(stored: Stored, id: string): object }
  const { createJob } = maker
  maker.createJob = (stored, id) => {
    const own = {
      ...stored,
      repeatJobKey: undefined,
      deferredFailure: undefined,
      ...{ rjk: undefined, defa: undefined },
      parentKey: undefined,
      parent: undefined,
    }
    const { attemptsStarted = 0, ats = '0' } = stored
    const unreadable = { name: unreadableName, data: '{}', attemptsStarted, ats }
    const job = attempt(() => createJob.call(worker, own, id)) ?? createJob.call(worker, unreadable, id)
    onTaken(job)
    return job
  }
}

function attempt<Result>(run: () => Result): Result | undefined {
  try {
    return run()
  } catch {
    return undefined
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

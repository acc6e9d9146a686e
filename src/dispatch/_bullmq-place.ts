import { executionOrder, type WaitingExecution } from '../index.js'

/** What BullMQ keeps of an execution. */
export interface Place extends WaitingExecution {
  /** When it came to have that priority, in epoch milliseconds. */
  readonly since: number
}

/** What BullMQ gives of a job, as far as it acts upon it by itself. */
interface Stored {
  readonly name?: string
  readonly data?: string
  readonly attemptsStarted?: number
}

/** What `priority` of a place may be, up and down. */
const maxPriority = 1_000_000

/** What BullMQ knows an execution by: the part of its id that no other has, and that has no colon. */
export function keyOf(executionId: string): string {
  return executionOrder(executionId) ?? executionId
}

/**
 * The place that a job of BullMQ stands for: `undefined` when it is none, as others than this version of headgate can write
 * to the engine.
 */
export function placeOf(
  job: { readonly id?: string | undefined; readonly data: unknown } | undefined,
): Place | undefined {
  const { type, id, executionId, epoch, priority, datasource, since } = Object(job?.data) as Partial<
    Record<keyof Place, unknown>
  >
  const isNamed = isText(type) && isText(id) && isText(executionId)
  if (!isNamed || executionId.slice(0, id.length) !== id || keyOf(executionId) !== job?.id) return undefined
  if (!isWhole(epoch) || !isWhole(priority) || Math.abs(priority) > maxPriority || !isWhole(since)) return undefined
  if (datasource !== undefined && !isText(datasource)) return undefined
  return { type, id, executionId, epoch, priority, since, ...(datasource !== undefined && { datasource }) }
}

/** The execution that has a place. */
export function executionOf({ since: _, ...waiting }: Place): WaitingExecution {
  return waiting
}

/**
 * Lets a worker take jobs that BullMQ cannot read, with no data, in place of an error that leaves them active, and lets it
 * take nothing but jobs: what is stored beside makes BullMQ repeat or fail them.
 */
export function takeAnyJob(worker: object): void {
  const maker = worker as { createJob(stored: Stored, id: string): unknown }
  const { createJob } = maker
  maker.createJob = (stored, id) => {
    const own = {
      ...stored,
      repeatJobKey: undefined,
      deferredFailure: undefined,
      parentKey: undefined,
      parent: undefined,
    }
    try {
      return createJob.call(worker, own, id)
    } catch {
      return createJob.call(worker, { name: 'unreadable', data: '{}', attemptsStarted: own.attemptsStarted ?? 0 }, id)
    }
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

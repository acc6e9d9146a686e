import type { JobStorage } from 'headgate'
import type {
  BeginRequest,
  BeginResult,
  Clock,
  ExecutionRecord,
  LeaseToken,
  PageRequest,
  StorageChange,
} from 'headgate/adapter'

/** What a bug changes of a sound storage. */
export interface Sound {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly maxCount: number | undefined
  /** Calls the storage as if no lease had expired and no execution were too old. */
  early<Answer>(call: () => Answer): Answer
  /** The live execution of that id. Settles nothing. */
  findLive(lease: LeaseToken): Promise<ExecutionRecord | undefined>
}

/** Breaks some methods of a sound storage. */
export type Bug = (sound: Sound) => Partial<JobStorage>

export async function endedRecord(
  storage: JobStorage,
  { executionId }: LeaseToken,
): Promise<ExecutionRecord | undefined> {
  const { hits } = await storage.search({ size: 1000, includePartitions: true })
  return hits.find((hit) => hit.executionId === executionId)
}

export function running(record: ExecutionRecord | undefined): ExecutionRecord | undefined {
  return record && { ...record, state: 'running' }
}

export function without(record: ExecutionRecord, field: keyof ExecutionRecord): ExecutionRecord
export function without(record: ExecutionRecord | undefined, field: keyof ExecutionRecord): ExecutionRecord | undefined
export function without(
  record: ExecutionRecord | undefined,
  field: keyof ExecutionRecord,
): ExecutionRecord | undefined {
  if (!record) return undefined
  const { [field]: _, ...rest } = record
  return rest as ExecutionRecord
}

export function withoutField({ started, execution }: BeginResult, field: keyof ExecutionRecord): BeginResult {
  return { started, execution: started ? without(execution, field) : execution }
}

export function withoutTime({ scheduledFor: _, ...request }: BeginRequest): BeginRequest {
  return request
}

export function withoutSize<Page extends PageRequest>({ size: _, ...page }: Page): Omit<Page, 'size'> {
  return page
}

/** Passes on what `handle` lets pass. */
export function watching(
  { storage }: Sound,
  handle: (change: StorageChange, emit: (change: StorageChange) => void) => unknown,
): Partial<JobStorage> {
  return { watch: (listener) => storage.watch?.((change) => void handle(change, listener)) ?? (() => {}) }
}

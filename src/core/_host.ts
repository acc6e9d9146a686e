import type { BatchEvent } from './batches.js'
import type { Clock } from './clock.js'
import type { Logger } from './logger.js'
import type { Parts } from './parts.js'
import type { Redactor } from './redact.js'
import type { ExecutionRecord, JobStorage } from './storage.js'

/** What executions have of their registry. */
export interface RegistryHost {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly logger: Logger
  /** Hides secrets in what is kept, told and logged. */
  readonly redactor: Redactor
  /** The name of the registry instance. */
  readonly node: string
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** How often progress is saved at most, in milliseconds. */
  readonly progressInterval: number
  /** Aborts when what storage does not take is to be given up. */
  readonly abandoned: AbortSignal
  /** Hears of every change that storage holds. */
  changed(record: ExecutionRecord, change: 'state' | 'progress', cause?: unknown): void
  /** Hears of every batch. */
  batchDone(batch: BatchEvent): void
}

/** What an execution needs of the registry that runs it. */
export interface ExecutionHost extends RegistryHost {
  /** What a running job can do about its parts. */
  partsOf(execution: Pick<ExecutionRecord, 'type' | 'id'>): Parts
}

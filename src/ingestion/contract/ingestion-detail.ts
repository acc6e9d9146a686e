import type { JobStatus } from '../../core/model/index.js'
import type { Consistency } from './cursor.js'
import type { JobRecord } from './record-batch.js'

/** What a full refresh does to the records that the target holds. */
export type RefreshEffect = 'replace' | 'merge' | 'truncate'

/** What an ingestion reports of its speed and its position. All of it is of the current attempt, and as of the last durable record. */
export type IngestionSpeed = {
  /** Which attempt of the execution this is, from 1. Grows with each retry. */
  attempt: number
  /** Records per second, on average since the attempt began to read: with all waits, such as those of `rateLimit`. */
  rowsPerSecond?: number
  /**
   * The size of the batches that were read and written, in bytes as the datasource sent them, before a transform. Only with a datasource
   * that gives encoded rows.
   */
  bytes?: number
  /** The average of `bytes` per second, like `rowsPerSecond`. */
  bytesPerSecond?: number
  /** The value of the first column of the cursor in the last record: ISO 8601 if it is a time, up to 200 characters. */
  position?: string
  /** How many records the execution reads in all. Only with `total`, and once that is known. Grows when more come. */
  total?: number
  /** The part of `total` that is durable in the target, from 0 to 100, with one decimal. */
  percent?: number
  /** How long the rest of `total` takes at `rowsPerSecond`, in milliseconds. */
  eta?: number
  /** How far `position` is behind the clock of the registry, in milliseconds. Only for times with a zone, and dates of JavaScript. */
  lag?: number
}

/**
 * The state of a partition. `queued`: no node runs it, because it waits for a slot, or because its node was lost and another one may
 * resume it.
 */
export type PartitionState = 'queued' | 'running' | 'aborting' | 'aborted' | 'failed' | 'done'

/** A partition of an ingestion, as the job has last seen it. Its texts have up to 100 characters. */
export type PartitionDetail = {
  /** The number of the partition, from 0. */
  number: number
  /** The value of the first column of the cursor, or of `pkField`, that its range begins with: ISO 8601 if it is a time. Absent in the first one. */
  from?: string
  /** The value before which its range ends. Absent in the last one. */
  until?: string
  state: PartitionState
  /** Records that it has read since it started from the beginning, also in earlier executions of the job. */
  read: number
  /** The value of the first column of the cursor in its last durable record: ISO 8601 if it is a time. */
  position?: string
  /** The name of the registry that runs or ran it, or queues it. Absent while any registry may claim it. */
  node?: string
}

/** A record that was set aside, in short. */
export type FailedRecord = {
  /** Unique per failed record: the `key` of its dead letter. */
  key: string
  /** When it failed, by the registry's clock: ISO 8601 in UTC. */
  time: string
  /** What failed: the `schema` or the `transform` of the job, or the `target`. */
  phase: 'schema' | 'transform' | 'target'
  /** The messages of the error and its causes, outermost first, secrets redacted: up to 5, of up to 400 characters. */
  error: string[]
  /**
   * The record as it was read, secrets redacted: up to about 2,000 characters of JSON. The property `…` tells of fields that are left out. Only
   * with `showRecords` of `failures`.
   */
  record?: JobRecord
}

/**
 * The `status.detail` of an ingestion. It counts the records that this execution has read. Each is written, failed or skipped, so
 * that `read` is always the sum of the others.
 */
export type IngestionDetail = Partial<IngestionSpeed> & {
  /** Records read. Equals `count`. */
  read: number
  /** Records that the target holds, as they were read or as the transform changed them. */
  written: number
  /** Records that could not be written and were set aside. */
  failed: number
  /**
   * Records that the transform dropped. As `transformBatch` does not report which record became which, this grows by the number of
   * records that it returned fewer than it received.
   */
  skipped: number
  /** Records that were skipped before reading, because their cursor has a null. Only with `nulls: 'skip'`. */
  withoutCursor?: number
  /** The consistency of one read. Absent when the datasource does not report it. */
  consistency?: Consistency
  /** Whether the execution, or one of its tries, resumed from a checkpoint: its records then come from more than one read. */
  split?: boolean
  /**
   * What a full refresh does to the target. `replace`: all records replace the earlier ones at the end. `merge`: records with the same key
   * replace earlier ones, and others stay. `truncate`: the earlier ones are removed together with the first commit of new ones.
   */
  fullRefresh?: RefreshEffect
  /** The number of partitions, and of those that are done. Only with `partitions`. */
  parts?: { total: number; done: number }
  /**
   * The partitions: how many there are in each state, and up to 100 of them by number. If there are more, those that a node runs and those
   * that stopped come first into the list, then queued ones, then done ones. Only with `partitions`.
   */
  partitions?: { states: { [State in PartitionState]?: number }; list: PartitionDetail[] }
  /** The last of the `failed` records, up to 10, oldest first. Absent when none failed. */
  latestFailures?: FailedRecord[]
  /**
   * What the target has replaced, once it has: how, such as `rename`, `rows` or `file`, how many records it held before and holds now as far
   * as it knows, and when, in ISO 8601 in UTC.
   */
  replaced?: { how: string; before?: number; after?: number; time: string }
}

/** The status of an execution of an ingestion. */
export type IngestionStatus = JobStatus<IngestionDetail> & { type: 'ingestion' }

/** Whether a status is that of an ingestion. Narrows the type, so that its `detail` is an {@link IngestionDetail}. */
export function isIngestion(status: JobStatus): status is IngestionStatus {
  return status.type === 'ingestion'
}

/** Maximum number of failed records in a detail. */
export const maxFailures = 10

export const nothingRead: IngestionDetail = { read: 0, written: 0, failed: 0, skipped: 0 }

/** The counts of `before` plus those of one more batch, with the last failed records of both. */
export function addedUp(before: IngestionDetail, added: IngestionDetail): IngestionDetail {
  const { read, written, failed, skipped, latestFailures } = added
  return {
    ...before,
    read: before.read + read,
    written: before.written + written,
    failed: before.failed + failed,
    skipped: before.skipped + skipped,
    ...(latestFailures && { latestFailures: latestOf(before.latestFailures, latestFailures) }),
  }
}

/** Partitions fail at the same time. */
function latestOf(some: readonly FailedRecord[] = [], others: readonly FailedRecord[]): FailedRecord[] {
  return [...some, ...others]
    .sort((one, other) => (one.time < other.time ? -1 : +(one.time > other.time)))
    .slice(-maxFailures)
}

import type { Consistency } from './cursor.js'

/**
 * What the status of an ingestion tells beside its `count`, as `status.detail`. It counts the records that this execution
 * has read, as `count` does: each is written, failed or skipped, so that `read` is always the sum of the others.
 */
export type IngestionDetail = {
  /** Records that were read: the same as `count`. */
  read: number
  /** Records that the target holds, as themselves or as what the transform made of them. */
  written: number
  /** Records that could not be written, and were put aside. */
  failed: number
  /**
   * Records of which the transform left nothing. As `transformBatch` does not tell which record became which, as many of
   * its records are skipped as it gives fewer than it was given.
   */
  skipped: number
  /** Records that were left out unread, as their cursor has a null: only with `nulls: 'skip'`. */
  withoutCursor?: number
  /** What the records of one read have in common. Absent when the datasource does not say. */
  consistency?: Consistency
  /** Whether the execution, or one of its tries, went on from a checkpoint: its records are then of more than one read. */
  split?: boolean
  /** Of an ingestion in parts: how many there are, and how many are done. */
  parts?: { total: number; done: number }
}

/** The detail of an execution that has read nothing. */
export const nothingRead: IngestionDetail = { read: 0, written: 0, failed: 0, skipped: 0 }

/** The counts before, and those of one more batch. */
export function addedUp(before: IngestionDetail, { read, written, failed, skipped }: IngestionDetail): IngestionDetail {
  return {
    ...before,
    read: before.read + read,
    written: before.written + written,
    failed: before.failed + failed,
    skipped: before.skipped + skipped,
  }
}

import type { Column, JobRecord, RecordBatch } from './batch.js'
import type { ResourceNeed } from './resources.js'

/** What every call to a target is told. */
export interface TargetContext {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The id of the execution in the log. */
  readonly executionId: string
  /** Aborts when writing is to stop. */
  readonly signal: AbortSignal
}

/** What is told when a target is opened. */
export interface OpenContext extends TargetContext {
  /**
   * What the last `flush` of the execution before gave, when the job goes on from its checkpoint: the target is cut back
   * to it. `undefined` when the job starts from the beginning.
   */
  readonly position: unknown
  /** Whether the job goes on from a checkpoint, also one that has no position. */
  readonly isResumed: boolean
  /** Whether a later execution may go on from a checkpoint of this one: then what was flushed must outlive `abort`. */
  readonly isResumable: boolean
  /**
   * Whether the job goes on after a write that was rejected, as its `failures` say: what a target that `isAtomic` must know, if
   * it is to take each write on its own. Default `false`.
   */
  readonly toleratesFailures?: boolean
}

/** What is told with every batch. */
export interface WriteContext extends TargetContext {
  /**
   * The same for the same batch when it comes again after a crash, and never the same for another: what a target that is
   * not idempotent by itself can tell repeats by. A batch that comes again with more records, as the source has grown or
   * `batchSize` was changed, has another key: its records may then be there twice, and none is missing.
   */
  readonly idempotencyKey: string
}

/** Takes the batches of one execution. */
export interface TargetWriter<Item extends object = JobRecord> {
  /**
   * Set when the target could not go on from `position` (what it had written is gone, say) and was opened empty: the job
   * then starts from the beginning too.
   */
  readonly mustRestart?: boolean
  /**
   * The checkpoint of the last `flush` that this job's executions have made durable here, for a target that keeps it in one
   * step with the records: the job then goes on from it, and not from what storage has, which may be older or lost. `null` when it
   * keeps checkpoints and has none of this job.
   */
  readonly checkpoint?: unknown
  /**
   * Tells whether the records are gone that the job has written before: the target is empty, or was made anew. It is called once,
   * before the first batch, when the job resumes from a checkpoint that counts on such records. Without it, the job assumes that they are there.
   */
  isReset?(): Promise<boolean>
  /**
   * Whether it takes batches that hold `encoded` rows of these columns in that format alone, whose values cannot be read. It is
   * asked before the first batch, if at all. Without it, every batch has rows.
   */
  takesEncoded?(format: string, columns: readonly Column[]): boolean
  /**
   * Whether it takes batches while what it took before is being flushed, one flush at a time. The job then goes on meanwhile. A
   * flush that fails takes nothing of what came after it. Default `false`.
   */
  readonly takesMeanwhile?: boolean
  /**
   * Set as soon as the writer can take nothing more, as when its connection is lost: the job then does not look for the
   * record that is to blame. Default `false`.
   */
  readonly isBroken?: boolean
  /**
   * Takes a batch. Without `flush`, the batch is durable when this resolves. When it rejects for one record, the error may name
   * it by a property `recordIndex`: its place in the batch, from 0.
   */
  write(batch: RecordBatch<Item>, context: WriteContext): Promise<void> | void
  /**
   * Makes all that was taken durable, and gives where the target then stands: a JSON value that comes back as `position`
   * on resume. It is called before a checkpoint, every `progressInterval` at most, also while the next batch is long in
   * coming, and before `commit`.
   *
   * `checkpoint` is what the job saves next: a JSON value that only the job understands, or `null` when no execution goes
   * on from this one. A target that keeps it gives it back as `checkpoint` of a later writer.
   */
  flush?(checkpoint: unknown): Promise<unknown>
  /** All records were taken: shows them to the world. Once it has begun, an abort comes too late. */
  commit?(): Promise<void>
  /**
   * The execution stops short, for `reason`: gives back what is held, and takes back what nobody can go on from. When the
   * reason is a `JobError` with the code `lease_lost`, another execution may have gone on already: then it only lets go.
   */
  abort?(reason: unknown): Promise<void>
}

/** Where records go. */
export interface Target<Item extends object = JobRecord> {
  /** What it is, in one word, such as `ndjson-file`: for messages. */
  readonly kind: string
  /**
   * What a new execution does after one that was successful. `append`, the default: it goes on after the checkpoint, where
   * the query says how. `replace`: it starts from the beginning, and `commit` puts the new records in the place of the old.
   */
  readonly strategy?: 'append' | 'replace'
  /**
   * Whether each write of a writer that was opened with `toleratesFailures` is one step: one that is rejected leaves nothing of
   * its batch, and everything of the batches before it, and the writer can go on. Without it, no job with `failures` takes
   * the target. Default `false`.
   */
  readonly isAtomic?: boolean
  /**
   * Whether several executions may write to it at once, each by a writer of its own: without it, no job with `partitions`
   * takes the target. Default `false`.
   */
  readonly takesParts?: boolean
  /**
   * What a writer holds at once of something that executions share. An execution begins when all that its datasource and its
   * targets need is free. Default: nothing.
   *
   * @experimental
   */
  needs?(options: Pick<OpenContext, 'toleratesFailures'>): readonly ResourceNeed[]
  /** Prepares for one execution. */
  open(context: OpenContext): Promise<TargetWriter<Item>> | TargetWriter<Item>
}

/** The simplest target: takes a batch, which is durable when it resolves. Delivery is at least once. */
export type TargetFunction<Item extends object = JobRecord> = (
  batch: RecordBatch<Item>,
  context: WriteContext,
) => Promise<void> | void

import type { JobParams } from '../../core/model/index.js'
import type { Column, JobRecord, RecordBatch } from './record-batch.js'
import type { ResourceNeed } from './shared-resource.js'

/** What every call to a target receives. */
export interface TargetContext {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The number of the partition, for an execution of a partition of the job. It writes at the same time as others. */
  readonly partition?: number
  /** The id of the execution in the log. */
  readonly executionId: string
  /** Aborts when writing must stop. */
  readonly signal: AbortSignal
  /** The parameters of the start: an empty object without any. Absent where nothing is written. */
  readonly params?: JobParams
  /** Keeps a line in the `log` of the job's status, as `log` of a job of one's own does. Absent where nothing is written. */
  log?(text: string): void
}

/** What `open` receives. */
export interface OpenContext extends TargetContext {
  /**
   * The last result of `flush` of the previous execution, when the job resumes from its checkpoint: the target truncates to it.
   * `undefined` when the job starts from the beginning.
   */
  readonly position: unknown
  /** Whether the job resumes from a checkpoint, including one without a position. */
  readonly isResumed: boolean
  /** Whether a later execution may resume from a checkpoint of this one. Flushed records must then survive `abort`. */
  readonly isResumable: boolean
  /**
   * Whether the job continues after a rejected write, because it has `failures`. A target that `writesAtomically` then writes each batch on
   * its own. Default `false`.
   */
  readonly toleratesFailures?: boolean
  /**
   * What the job does when the target has lost all its records. Unless it continues, a target that notices this between two flushes
   * fails. Absent when the records may be removed at any time, as dead letters may.
   */
  readonly ifReset?: 'fail' | 'restart' | 'continue'
  /**
   * For a partition: identifies the partitions that the job was split into at once. The checkpoints of these partitions have it as their
   * `scheme`. A target that finds none of this `scheme`, although it has stored one, must not open: the records would be written twice.
   */
  readonly scheme?: string
  /** Logs a warning that is not a failure, in a whole sentence. Default: none. */
  warn?(message: string): void
}

/** What every `write` receives. */
export interface WriteContext extends TargetContext {
  /**
   * The same when the same batch is written again after a crash, and never the same for another batch. A target that is not
   * idempotent can detect repeats by it. A repeated batch with more records has another key, because the source has grown or
   * `batchSize` was changed: its records may then be duplicated, and none is missing. A job
   * without positions starts over after an error, with other keys.
   */
  readonly idempotencyKey: string
}

/** An open target: its writer, and where the job resumes. */
export interface OpenTarget<Item extends object = JobRecord> {
  readonly writer: TargetWriter<Item>
  /** Where the job resumes. Default `position`. */
  readonly resume?: TargetResumption
}

/**
 * Where a job resumes after its target was opened:
 *
 * - `position`: from the checkpoint in storage. The target stands at its `position`.
 * - `restart`: from the beginning. The target could not resume from `position` and was opened empty, because earlier records are gone
 *   for example.
 * - `{ checkpoint }`: from the checkpoint of the last durable `flush` of this job, for a target that stores checkpoints atomically
 *   with the records. The checkpoint in storage may be older or lost. `null` when the target has none of this job.
 */
export type TargetResumption = 'position' | 'restart' | { readonly checkpoint: unknown }

/** Writes the batches of one execution. */
export interface TargetWriter<Item extends object = JobRecord> {
  /**
   * Whether the records that the job has written before are gone: the target is empty, or was created again. Called once, before the
   * first batch, when the job resumes from a checkpoint that counts on such records. Without it, the job assumes that they exist.
   */
  isReset?(): Promise<boolean>
  /**
   * Whether the target holds no record at all. Called before the first batch of a run that begins from the beginning, when an earlier
   * execution of the job has written: the job warns that the target will hold records twice, unless it is empty. Without it, the job warns.
   *
   * @experimental
   */
  isEmpty?(): Promise<boolean>
  /**
   * Whether the writer accepts batches that hold only encoded rows of these columns in that format, whose values cannot be read.
   * Called before the first batch, if at all. Without it, every batch has rows.
   */
  acceptsEncoded?(format: string, columns: readonly Column[]): boolean
  /**
   * Set when the writer cannot continue, because its connection is lost for example. The job then does not search for a bad
   * record. Default `false`.
   */
  readonly isBroken?: boolean
  /**
   * Writes a batch. Without `flush`, the batch is durable when this resolves. When one record causes a rejection, the error may name
   * it by a property `recordIndex`: its index in the batch, from 0. `recordIndexes` names several. When the record is in an earlier batch, and
   * in errors of `flush` and `commit`, `batchKey` is the `idempotencyKey` of its batch.
   */
  write(batch: RecordBatch<Item>, context: WriteContext): Promise<void> | void
  /**
   * Creates what the first batch would create, such as a table with these columns, and leaves what exists as it is. Called once, before the
   * last flush, when the run has read no record and the datasource knows the columns of its query. Not called when a `schema` or a transform
   * of the job changes the records. Without it, a run that reads nothing creates nothing.
   */
  createEmpty?(columns: readonly Column[]): Promise<void>
  /**
   * Removes all earlier records of the target, once in a full refresh: before the first write, or before the last flush when there is nothing
   * to write. The removal becomes durable together with what is written next, atomically, and is rolled back with it. Of a job with
   * partitions, the writer of the job calls it before any partition begins: earlier writers of partitions cannot write from then on.
   */
  truncate?(): Promise<void>
  /**
   * Makes all written batches durable, and returns the position of the target: a JSON value that comes back as `position` when the job
   * resumes. Called before a checkpoint is saved, at most once per `progressInterval`, also while the next batch is slow to arrive or to
   * be transformed, and before `commit`.
   *
   * `checkpoint` is what the job saves next: a JSON value that only the job interprets, or `null` when no execution resumes from
   * this one. A target that stores it returns it as `resume` of a later `open`.
   */
  flush?(checkpoint: unknown): Promise<unknown>
  /**
   * Publishes the records after the last batch. Once it has begun, an abort comes too late. A target that replaces may return what it has
   * replaced, for the status. Anything else is ignored.
   */
  commit?(): Promise<Replacement | undefined> | Promise<void>
  /** Called when the execution stops early. Releases resources and rolls back what no execution can resume from. */
  abort?(abort: TargetAbort): Promise<void>
}

/** What a target has replaced. */
export interface Replacement {
  /** How, in one word such as `rename`: up to 100 characters. */
  readonly how: string
  /** How many records it held before. Absent when the target does not know. */
  readonly before?: number
  /** How many records it holds now. Absent when the target does not know. */
  readonly after?: number
}

/** Why an execution stops early. */
export interface TargetAbort {
  /** What aborted the execution, or the error that it failed with. */
  readonly reason: unknown
  /** Whether another execution may have resumed already. The writer then only releases its resources. */
  readonly leaseLost: boolean
}

/** What a target can do beside writing. Default: nothing of it. */
export interface TargetCapabilities {
  /**
   * Writes each batch completely or not at all, with a writer that was opened with `toleratesFailures`. A rejected write leaves
   * nothing of its batch and everything before it, and the writer can continue. Without it and `writesIdempotently`, jobs with
   * `failures` are rejected.
   */
  readonly writesAtomically?: boolean
  /**
   * Writes a record that it holds already without another effect, such as an upsert by a key. A rejected write may leave some of its
   * records, and leaves everything before it. The writer can continue, and the job writes all records of the batch again that are not
   * to blame. A record that is set aside may be in the target if its own write was not atomic.
   */
  readonly writesIdempotently?: boolean
  /**
   * Writes for several executions at once, each with a writer of its own. Without it, jobs with `partitions` are rejected.
   */
  readonly writesPartitions?: boolean
  /**
   * Writes while a `flush` is running, one flush at a time. A flush that fails affects none of the batches written after it began.
   * Without it, and in jobs with `failures`, the job waits for each flush before it writes on.
   */
  readonly writesDuringFlush?: boolean
  /**
   * What a full refresh does with the records of earlier runs, for a target that appends. `merge`: a record replaces the earlier one with
   * its key, and other records stay. `truncate`: the writer has `truncate`, which removes them. Without it, full refreshes are refused.
   */
  readonly onFullRefresh?: 'merge' | 'truncate'
}

/** What `resetCheckpoint` receives. */
export interface CheckpointReset extends Pick<TargetContext, 'type' | 'id' | 'signal'> {
  /** The id of the last execution of the job. Absent when storage knows none. */
  readonly executionId?: string
  /** When the job was reset, in epoch milliseconds. */
  readonly time?: number
  /**
   * The id of the last execution that storage knows by now. A target that holds an execution after `executionId` asks for it: where that is
   * after this one too, it comes from a clock that was ahead or from another storage, and does not prevent the reset.
   *
   * @experimental
   */
  latest?(): Promise<string | undefined>
  /** What the next `open` returns as its checkpoint, as `flush` would receive it. `null` removes it. */
  readonly checkpoint: unknown
}

/** Where records go. */
export interface Target<Item extends object = JobRecord> {
  /** The kind of target, in one word such as `ndjson-file`, for messages. */
  readonly kind: string
  /**
   * Texts that must appear in no message and no log, such as the password of a connection. The registry reads them once, and replaces them by
   * `***` in any form, beside what it knows as a secret. Texts of fewer than 6 characters, and those that are a common word, are ignored.
   * Default: none.
   *
   * @experimental
   */
  readonly secrets?: readonly string[]
  /**
   * What a new execution does after a successful one. `append`, the default: it resumes from the checkpoint, where the query says
   * how. `replace`: it starts from the beginning, and `commit` replaces the old records with the new ones.
   */
  readonly strategy?: 'append' | 'replace'
  /** What the target can do beside writing. Default: nothing of it. */
  readonly capabilities?: TargetCapabilities
  /**
   * The columns of the records that the target writes, where its options name them. A run warns of those that none of its records had, as a
   * record may lack some, but a name that all lack is probably wrong. Default: not known.
   *
   * @experimental
   */
  readonly sourceColumns?: readonly string[]
  /**
   * The shared resources that a writer holds at once. An execution begins when everything that its datasource and its targets need
   * is free. Default: none.
   *
   * @experimental
   */
  needs?(options: Pick<OpenContext, 'toleratesFailures'>): readonly ResourceNeed[]
  /** Opens a writer for one execution. */
  open(context: OpenContext): Promise<OpenTarget<Item>> | OpenTarget<Item>
  /**
   * Changes the checkpoint that the target stores of a job, for `registry.reset`, and removes those of its partitions. Writers of earlier
   * executions cannot write from then on. Throws `lease_lost`, and changes nothing, when an execution after `executionId`, and not
   * after `latest`, has opened the target. Without it, the target stores no checkpoints.
   */
  resetCheckpoint?(request: CheckpointReset): Promise<void>
  /**
   * Resolves when a full refresh could do what `onFullRefresh`, or a target that replaces, does to the target. Called before a full refresh is
   * started, also while another job writes: changes nothing, and looks no longer than `signal` allows. Throws `invalid_options` with what stands
   * against it and how to remove it, so that the start is refused, and anything else when it could not find that out. What changes later fails
   * the run. Without it, every full refresh is started that `onFullRefresh` allows.
   *
   * @experimental
   */
  checkFullRefresh?(signal: AbortSignal): Promise<void>
  /** Resolves when the target can be written to: for `registry.ready`. Throws as `open` does, and the signal's reason when it aborts. */
  check?(signal: AbortSignal): Promise<void>
}

/** What a function target receives. */
export interface TargetFunctionContext<Params extends object = JobParams> extends Omit<WriteContext, 'params'> {
  /** The parameters of the start, as the schema `params` of the job returns them. An empty object without any. */
  readonly params: Params
  /**
   * Keeps a line in the `log` of the job's status: the last 100 lines, of up to 1,000 characters with their time, secrets redacted. A line
   * costs next to nothing: it is saved with the next progress.
   */
  log(text: string): void
}

/**
 * The simplest target: receives a batch, which is durable when it returns or, if it returns a promise or another thenable, when that
 * resolves. What it resolves to is ignored, unless it can only mean that its work is not done, such as an `Error` or a generator. Delivery is
 * at least once.
 */
export type TargetFunction<Item extends object = JobRecord, Params extends object = JobParams> = (
  batch: RecordBatch<Item>,
  context: TargetFunctionContext<Params>,
) => unknown

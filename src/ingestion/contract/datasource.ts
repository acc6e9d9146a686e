import type { Consistency, ReadCursor, ReadRange } from './cursor.js'
import type { Partitioning, PartitionOptions } from './partitioning.js'
import type { ReadBatch } from './read-batch.js'
import type { Column, RecordBatch } from './record-batch.js'
import type { ResourceNeed } from './shared-resource.js'

/** A query with bound values: values never appear in the text. */
export interface Query {
  /** The text, with a placeholder for every value. */
  text: string
  /** The values of the placeholders, in order. */
  values: readonly unknown[]
}

/** Options of every read. */
export interface BatchOptions {
  /** Aborts when reading must stop: the read then throws its reason, and is not continued. */
  readonly signal: AbortSignal
  /** Maximum number of records per batch. */
  readonly batchSize: number
  /**
   * Approximate maximum size of a batch in bytes, as the server sends them. A larger record is a batch of its own. Default: no
   * limit.
   */
  readonly batchBytes?: number
  /** Logs a warning that is not a failure, in a whole sentence. Default: none. */
  warn?(message: string): void
  /** Keeps a line in the `log` of the job's status, as `log` of a job of one's own does. Default: none. */
  log?(text: string): void
  /**
   * Called at most once, when the columns of the query are known, also when it returns no records. A target can then create its table
   * although nothing is read. Default: none.
   */
  onColumns?(columns: readonly Column[]): void
  /** Set when the job needs no values between datasource and target: batches may then hold encoded rows. */
  readonly encoded?: EncodedOptions
}

/** Options of `read`. */
export interface ReadOptions extends BatchOptions {
  /** The last id of the checkpoint that the job resumes from. `undefined` when it starts from the beginning. */
  readonly lastId: string | undefined
  /** The range to read, for a partition of a job. Only for a datasource that `readsRanges`. */
  readonly range?: ReadRange
}

/** Options of `readByCursor`. */
export interface CursorReadOptions extends BatchOptions {
  /** The columns to read by, and where to begin and end. */
  readonly cursor: ReadCursor
}

/** Options of `count`: what it counts is the read that would begin with them. */
export interface CountOptions extends Pick<ReadOptions, 'signal' | 'lastId'> {
  /** Whether an estimate is enough, such as that of a planner, which costs next to nothing. */
  readonly isEstimate: boolean
  /** The cursor of the read, if it has one. */
  readonly cursor?: ReadCursor
}

/** Options of `givenPosition`. */
export interface GivenPositionOptions {
  /** Aborts when the check takes too long: it then throws the reason. */
  readonly signal: AbortSignal
  /** The query of the job. Absent when it needs parameters that the reset does not give: the values are then not checked. */
  readonly query?: Query
}

/** Which encoded rows batches may hold. */
export interface EncodedOptions {
  /** Whether the target accepts rows of these columns in that format. Called once, when the columns are known. */
  accepts(format: string, columns: readonly Column[]): boolean
  /** The columns whose values the job still reads. */
  readonly keys: readonly string[]
}

/** What a datasource can do beside reading. Each is a verb of the datasource. Default: nothing of it. */
export interface DatasourceCapabilities {
  /** Rejects jobs without a query. Without it, a query is optional, and its text is empty when there is none. */
  readonly requiresQuery?: boolean
  /** `read` continues after `lastId` on its own. Without it, a job resumes only when its query or its cursor says how. */
  readonly resumesAfterId?: boolean
  /**
   * `read` without a query returns only the records of `options.range`. Without it, jobs with `partitions` need a query or a
   * cursor.
   */
  readonly readsRanges?: boolean
  /**
   * `readByCursor` returns records of these consistencies. With `snapshot`, `partition` returns one too. Without it, jobs that ask
   * for a consistency are rejected, and the status of other jobs reports none.
   */
  readonly keepsConsistency?: readonly Consistency[]
}

/** Where records come from. */
export interface Datasource {
  /** The kind of datasource, in one word such as `postgres`, for messages about a datasource without a name. */
  readonly kind: string
  /**
   * Texts that must appear in no message and no log, such as the password of a connection. The registry reads them once, and replaces them by
   * `***` in any form, beside what it knows as a secret. Texts of fewer than 6 characters, and those that are a common word, are ignored.
   * Default: none.
   *
   * @experimental
   */
  readonly secrets?: readonly string[]
  /** What the datasource can do beside reading. Default: nothing of it. */
  readonly capabilities?: DatasourceCapabilities
  /** The consistency of the records of one read without a cursor. Default: not known. */
  readonly consistency?: Consistency
  /**
   * The shared resources that a read with `parallel` readers holds at once. `partition` holds what one reader does. An execution
   * begins when everything that its datasource and its targets need is free. Default: none.
   *
   * @experimental
   */
  needs?(parallel: number): readonly ResourceNeed[]
  /** The placeholder of the n-th value in the text of a query, with n from 1. Default `$n`. */
  placeholder?(n: number): string
  /**
   * Runs the query and yields its records in batches. Fetches a batch no earlier than the consumer has taken the one before. Batches
   * may be shorter than `batchSize`, never longer, and never empty.
   *
   * When `signal` aborts, it cancels the query on the server, frees its resources, and throws the signal's reason. When the consumer
   * stops iterating, it does the same without an error. Failures are thrown with the original error as `cause`; the job adds an
   * outer error that names the datasource.
   */
  read(query: Query, options: ReadOptions): AsyncIterable<RecordBatch>
  /**
   * Does the same in the order of the columns of `options.cursor`, after its `position`. Every batch after which a later read may
   * resume has a `position`. Without it, jobs with a `cursor` are rejected.
   */
  readByCursor?(query: Query, options: CursorReadOptions): AsyncIterable<ReadBatch>
  /**
   * The position that a `reset` gives, as `readByCursor` takes it, or a promise of it. Throws `invalid_options` for what is no position of a
   * cursor with these columns, and for a value that a column of `options.query` cannot have. Default: any JSON value is accepted as it is.
   *
   * @experimental
   */
  givenPosition?(given: unknown, cursor: Pick<ReadCursor, 'columns' | 'ties'>, options: GivenPositionOptions): unknown
  /**
   * A stored position in the short form that `givenPosition` takes, for people. `undefined` when it has none. Throws nothing. Default: a
   * position is shown as it is stored.
   *
   * @experimental
   */
  shownPosition?(position: unknown, cursor: Pick<ReadCursor, 'columns' | 'ties'>): unknown
  /**
   * Splits a query into ranges of the first column of a cursor, of about equal width or at given bounds, and holds a snapshot for other
   * reads until it is released. Without it, jobs with a `cursor` and `partitions` are rejected.
   */
  partition?(query: Query, options: PartitionOptions): Promise<Partitioning>
  /**
   * How many records a read would return, for the `total` of a job. It runs beside the read of the job, and may take as long. `undefined`
   * when that is not known. Without it, jobs with `total: 'count'` or `'estimate'` are rejected.
   */
  count?(query: Query, options: CountOptions): Promise<number | undefined>
  /** Resolves when the datasource can be read: for `registry.ready`. Throws as `read` does, and the signal's reason when it aborts. */
  check?(signal: AbortSignal): Promise<void>
  /** Closes what the datasource itself opened, and leaves what the caller passed in open. */
  close?(): Promise<void>
}

import type { Column, RecordBatch } from './batch.js'
import type { Consistency, ReadCursor, ReadRange } from './cursor.js'
import type { Partitioning, PartitionOptions } from './partitions.js'
import type { ResourceNeed } from './resources.js'

/** A query as a datasource takes it: values never stand in the text. */
export interface Query {
  /** The text, with a placeholder for every value. */
  text: string
  /** The values of the placeholders, in their order. */
  values: readonly unknown[]
}

/** How to read. */
export interface ReadOptions {
  /** Aborts when reading is to stop: then `read` throws its reason, and the datasource is asked for nothing more. */
  signal: AbortSignal
  /** The most records that a batch holds. */
  batchSize: number
  /**
   * About how many bytes a batch holds at most, as the server sends them: a larger record is a batch of its own. Default: any
   * number.
   */
  batchBytes?: number
  /** The last id of the checkpoint that the job goes on from; `undefined` when it starts from the beginning. */
  lastId: string | undefined
  /** What to read by; `undefined` when the query alone says what comes, and in which order. */
  cursor?: ReadCursor | undefined
  /** Of a part of a job without a cursor: the range that it is to read, as the job's `partitions` say. */
  range?: ReadRange
  /** Tells operators of what is no failure and should not stay as it is, in a whole sentence. Default: nobody is told. */
  warn?(message: string): void
  /** Set when nobody on the way to the target asks for values: then the datasource may leave rows encoded. */
  encoded?: EncodedOptions
}

/** Whether batches may hold `encoded` rows alone. */
export interface EncodedOptions {
  /** Whether the target takes rows of these columns in that format: asked once, when the columns are known. */
  isTaken(format: string, columns: readonly Column[]): boolean
  /** The columns whose values are asked for all the same. */
  readonly keys: readonly string[]
}

/** Where records come from. */
export interface Datasource {
  /** What it is, in one word, such as `postgres`: for messages about a datasource that was given no name. */
  readonly kind: string
  /** Whether a job cannot do without a query. Default `false`. */
  readonly needsQuery?: boolean
  /**
   * Whether reading goes on after `options.lastId` without any help of the query. Default `false`: a job goes on from its
   * checkpoint only when its query says how.
   */
  readonly resumes?: boolean
  /**
   * Whether `read` obeys `options.cursor`: records come in the order of its columns, and every batch after which a later
   * read may go on has a `position`. Default `false`: a job with a cursor is refused.
   */
  readonly readsByCursor?: boolean
  /**
   * Whether `read` without a query obeys `options.range`: records of that range alone. Default `false`: no job with neither
   * query nor cursor is done in parts.
   */
  readonly takesRange?: boolean
  /** What the records of one read without a cursor have in common. Default: not known. */
  readonly consistency?: Consistency
  /**
   * What a read holds at once of something that executions share, with so many readers side by side; `partition` holds what one
   * reader does. An execution begins when all that its datasource and its targets need is free. Default: nothing.
   *
   * @experimental
   */
  needs?(parallel: number): readonly ResourceNeed[]
  /** The placeholder of the n-th value in the text of a query, n from 1. Default `$n`. */
  placeholder?(n: number): string
  /**
   * Runs the query and gives its records in batches, each fetched no earlier than the one before it was taken. Batches
   * may be shorter than `batchSize`, never longer, and never empty.
   *
   * When `signal` aborts, the query is cancelled on the server, what it held is freed, and the iterator throws the
   * signal's reason. When the caller stops iterating, the same is done without an error. Failures are thrown as they are
   * known here, with what lies underneath as `cause`: the job names the datasource on top.
   */
  read(query: Query, options: ReadOptions): AsyncIterable<RecordBatch>
  /**
   * Cuts a query into ranges of the first column of a cursor, about even ones or those of given bounds, and gives what lets
   * reads elsewhere see the same, until it is released. Without it, no job that reads by a cursor is done in parts.
   */
  partition?(query: Query, options: PartitionOptions): Promise<Partitioning>
  /** Gives back what the datasource itself opened. What the caller gave it stays open. */
  close?(): Promise<void>
}

import { priorityRule } from '../core/dispatcher.js'
import { checkOptions, invalid, type Rule, rule } from '../core/options.js'
import { type Resumption, resumptionRules } from '../core/retry-policy.js'
import { type Scheduled, scheduleRules } from '../core/schedule.js'
import type { JobRecord, RecordBatch } from './batch.js'
import { type CursorOptions, cursorRule } from './cursor.js'
import type { Datasource, Query } from './datasource.js'
import { checkFailures, type FailurePolicy } from './failures.js'
import { partitionsRule } from './partitions.js'
import { checkRateLimit, type RateLimit } from './rate-limit.js'
import type { Target, TargetFunction } from './target.js'

/** What a query may say to go on from: absent in the first run. */
export interface QueryVariables {
  /** The last known value of the primary key column. */
  readonly lastId?: string
  /** The largest value of the primary key column: of numbers, uuids, dates and times, compared exactly. */
  readonly maxPrimaryKey?: string
  /** When the last record was processed, ISO 8601 in UTC. */
  readonly lastRecordTimestamp?: string
  /** The raw values of the last record, in the order of the columns. */
  readonly lastRecord?: readonly unknown[]
  /** Of a part: the value that it begins with. Absent in the first one, and without `partitions`. */
  readonly from?: string
  /** Of a part: the value that it ends before. Absent in the last one, and without `partitions`. */
  readonly until?: string
}

/** Makes the query of a run. */
export type QueryFunction = (variables: QueryVariables) => Query

/** What a transform is told. */
export interface TransformContext {
  /** Aborts when the job is to stop. */
  readonly signal: AbortSignal
}

/** What a run does when the target has lost the records that the checkpoint counts on. */
export type IfTargetReset = 'fail' | 'restart' | 'continue'

/** What becomes of a record: another one, several, or none. */
export type Transformed = JobRecord | readonly JobRecord[] | null | undefined

/** A job that streams the records of a query from a datasource into a target. */
export interface IngestionJob<Item extends object = JobRecord> extends Resumption, Scheduled {
  /** Always `ingestion`, which is the default. */
  type?: 'ingestion'
  /** What tells it from other ingestions: any text of 1 to 512 characters. */
  id: string
  /** Where records come from: the name of one of the registry's datasources, or a datasource. */
  datasource: string | Datasource
  /**
   * What to read: a template with sections and values for `last_id`, `max_primary_key`, `last_record_timestamp` and
   * `last_record`, which become bound parameters, or a function. Default: none, for a datasource that needs none.
   */
  query?: string | QueryFunction
  /**
   * What to read by, instead of asking for it in the query: the name of a column, an array of names, or an object. Records
   * come in the ascending order of these columns, and a run goes on after the last of them.
   */
  cursor?: string | readonly string[] | CursorOptions
  /**
   * How many ranges of the first column of `cursor` are read side by side, all as they were at one moment, each on a connection
   * of its own. Batches then come in no order, and `last_id` tells up to where none is missing. Default 1.
   */
  parallel?: number
  /**
   * Into how many parts the job is cut, each of which any registry may do that shares storage and dispatcher: ranges of the
   * first column of `cursor`, all as they were at one moment; or the values that they begin at, beside the first one, for
   * `cursor` or for a query that says {{from}} and {{until}}. What is seen is the whole. Default: not cut.
   */
  partitions?: number | readonly (string | number | bigint)[]
  /** The primary key column: `last_id` is its value in the last durable record. Default: the last column of `cursor`. */
  pkField?: string
  /** The most records that a batch holds. Default 1,000. */
  batchSize?: number
  /**
   * About how many bytes a batch holds at most, as the datasource counts them, so that large records make small batches: one
   * that is larger is a batch of its own. Default 16 MiB.
   */
  batchBytes?: number
  /** The most records to read in one run: for trials. Default: all. */
  records?: number
  /** The most that is written per second. A batch then holds no more than a second's worth. Default: no limit. */
  rateLimit?: RateLimit
  /** What becomes of each record before it is written. Default: it is written as it is. */
  transform?: (record: Item, context: TransformContext) => Transformed | Promise<Transformed>
  /** What becomes of each batch before it is written: instead of `transform`. */
  transformBatch?: (
    batch: RecordBatch<Item>,
    context: TransformContext,
  ) => readonly JobRecord[] | Promise<readonly JobRecord[]>
  /** Where records go: a target, or a function that takes each batch. */
  target: Target<Item> | TargetFunction<Item>
  /**
   * What a run does when the target no longer holds the records that the checkpoint counts on: it is empty, was made anew, or lost the
   * checkpoint that it keeps. `fail`: the job fails and says so. `restart`: it loads everything again. `continue`: it loads what is
   * new, for a target that is emptied on purpose, such as an inbox. Default `fail`.
   */
  ifTargetReset?: IfTargetReset
  /** What becomes of records that cannot be written. Default: the first one fails the job. */
  failures?: FailurePolicy
  /** The higher, the sooner it has its turn when jobs wait for a free slot: -1,000,000 to 1,000,000. Default 0. */
  priority?: number
}

const datasourceRule = rule.having('read')
const targetRule = rule.having('open')

const jobRules: Record<keyof IngestionJob, Rule> = {
  type: rule.optional(rule.oneOf('ingestion')),
  id: rule.jobId,
  datasource: either(rule.text, datasourceRule, 'the name of a datasource, or an object with the method `read`'),
  query: rule.optional(either(rule.text, rule.aFunction, 'a string that is not empty, or a function')),
  cursor: rule.optional(cursorRule),
  parallel: rule.optional(rule.whole(1, 64)),
  partitions: partitionsRule,
  pkField: rule.optional(rule.text),
  batchSize: rule.optional(rule.whole(1)),
  batchBytes: rule.optional(rule.whole(1)),
  records: rule.optional(rule.whole(1)),
  rateLimit: rule.optional(rule.anObject),
  transform: rule.optional(rule.aFunction),
  transformBatch: rule.optional(rule.aFunction),
  target: either(rule.aFunction, targetRule, 'a function, or an object with the method `open`'),
  ifTargetReset: rule.optional(rule.oneOf('fail', 'restart', 'continue')),
  failures: rule.optional(rule.anObject),
  priority: rule.optional(priorityRule),
  ...resumptionRules,
  ...scheduleRules,
}

/** Throws `invalid_options` unless the job is one that could run. */
export function checkIngestion<Item extends object>(job: IngestionJob<Item>): void {
  checkOptions('job', job, jobRules)
  if (job.rateLimit !== undefined) checkRateLimit(job.rateLimit)
  if (job.transform && job.transformBatch) throw invalid('transform', 'absent beside `transformBatch`', job.transform)
  if (job.failures) checkFailures(job.failures, job.target as Target | TargetFunction)
}

function either(one: Rule, other: Rule, expected: string): Rule {
  return { accepts: (value) => one.accepts(value) || other.accepts(value), expected }
}

import {
  checkOptions,
  checkValue,
  invalid,
  type Rule,
  readable,
  rule,
  type StandardSchema,
  schemaRule,
} from '../../core/base/index.js'
import {
  type JobParams,
  type Notified,
  notifiedRules,
  paramsRule,
  priorityRule,
  type Resumption,
  resumptionRules,
  type Scheduled,
  scheduleRules,
} from '../../core/model/index.js'
import {
  type CursorOptions,
  cursorRule,
  type Datasource,
  type IngestionDetail,
  type JobRecord,
  partitionsRule,
  type Query,
  type RecordBatch,
  type Target,
  type TargetFunction,
} from '../contract/index.js'
import { checkFailures, type FailurePolicy } from './failure-policy.js'
import { checkRateLimit, type RateLimit } from './rate-limit.js'

/** Values of the checkpoint that a query can resume from. All are absent in the first run. */
export interface QueryVariables {
  /** The last known value of the primary key column. */
  readonly lastId?: string
  /** The largest value of the primary key column. Numbers, uuids, dates and times are compared exactly. */
  readonly maxPrimaryKey?: string
  /** When the last record was processed, ISO 8601 in UTC. */
  readonly lastRecordTimestamp?: string
  /** The raw values of the last record, in the order of the columns. */
  readonly lastRecord?: readonly unknown[]
  /** The value at which a partition begins. Absent in the first partition, and without `partitions`. */
  readonly from?: string
  /** The value before which a partition ends. Absent in the last partition, and without `partitions`. */
  readonly until?: string
  /** The parameters of the start. */
  readonly params?: JobParams
}

/** What a query function receives. */
export interface QueryFunctionVariables<Params extends object = JobParams> extends Omit<QueryVariables, 'params'> {
  /** The parameters of the start, as the schema `params` of the job returns them. An empty object without any. */
  readonly params: Params
}

/** Builds the query of a run. */
export type QueryFunction<Params extends object = JobParams> = (variables: QueryFunctionVariables<Params>) => Query

/** What a transform receives. */
export interface TransformContext<Params extends object = JobParams> {
  /** The parameters of the start, as the schema `params` of the job returns them. An empty object without any. */
  readonly params: Params
  /** Aborts when the job must stop. */
  readonly signal: AbortSignal
  /**
   * Keeps a line in the `log` of the job's status: the last 100 lines, of up to 1,000 characters with their time, secrets redacted. A line
   * costs next to nothing: it is saved with the next progress.
   */
  log(text: string): void
}

/** What a run does when the target has lost records that the checkpoint counts on. */
export type IfTargetReset = 'fail' | 'restart' | 'continue'

/** The result of a transform: one record, several, or none, which is `null` or an empty array. */
export type Transformed<Out extends object = JobRecord> = Out | readonly Out[] | null

/** The same type, mapped: the compiler asks the transform first what it is. */
type Written<Out extends object> = { [Key in keyof Out]: Out[Key] }

/** A record in which a property that may be absent may be `undefined` too. */
type Lenient<Out extends object> = {
  [Key in keyof Out]: Record<never, never> extends Pick<Out, Key> ? Out[Key] | undefined : Out[Key]
}

/**
 * What a job needs because its target takes other records than it reads: a transform. Records of which the compiler knows no properties
 * go to every target, and all records go to a target that takes any.
 */
type Changing<Item extends object, Out extends object> = string extends keyof Item | keyof Out
  ? unknown
  : [Item] extends [Lenient<Out>]
    ? unknown
    : { transform: NonNullable<unknown> } | { transformBatch: NonNullable<unknown> }

/**
 * A job that streams the records of a query from a datasource to a target. `Item` is the record read, `Out` the record written, `Params`
 * what the schema `params` returns. When `Out` is another record than `Item`, the job needs a transform.
 */
export type IngestionJob<
  Item extends object = JobRecord,
  Out extends object = Item,
  Name extends string = string,
  Params extends object = JobParams,
> = IngestionOptions<Item, Out, Name, Params> & Changing<Item, Out>

/** The options of {@link IngestionJob}. */
export interface IngestionOptions<
  Item extends object = JobRecord,
  Out extends object = Item,
  Name extends string = string,
  Params extends object = JobParams,
> extends Resumption,
    Scheduled,
    Notified<IngestionDetail> {
  /** Always `ingestion`, which is the default. */
  type?: 'ingestion'
  /** Identifies the job among ingestions: 1 to 512 characters. */
  id: string
  /** Where records come from: the name of one of the registry's datasources, or a datasource. */
  datasource: Name | Datasource
  /**
   * What to read: a template with sections and values for `last_id`, `max_primary_key`, `last_record_timestamp` and
   * `last_record`, which become bound parameters, or a function. Default: none, for a datasource that needs none.
   */
  query?: string | QueryFunction<Params>
  /**
   * The columns to read by, instead of variables in the query: a column name, an array of names, or an object. Records come in
   * ascending order of these columns, and a run resumes after the last one.
   */
  cursor?: string | readonly string[] | CursorOptions
  /**
   * Number of concurrent readers, each on ranges of the first column of `cursor` and on a connection of its own. All read the same
   * snapshot. Batches then have no overall order, and `last_id` is the last value before which no record is missing. Default 1.
   */
  parallel?: number
  /**
   * Splits the job into partitions that any registry with the same storage and dispatcher may run. A number makes ranges of the
   * first column of `cursor` that read one snapshot. An array lists the values at which the partitions after the first begin, for
   * `cursor` or for a query with {{from}} and {{until}}. Users see a single job. Default: not partitioned.
   */
  partitions?: number | readonly (string | number | bigint)[]
  /** The primary key column: `last_id` is its value in the last durable record. Default: the last column of `cursor`. */
  pkField?: string
  /** Maximum number of records per batch. Default 1,000. */
  batchSize?: number
  /**
   * Approximate maximum size of a batch in bytes, as the datasource counts them. A larger record is a batch of its own. Default
   * 16 MiB.
   */
  batchBytes?: number
  /** Maximum number of records to read in one run, for trials. Default: no limit. */
  maxRecords?: number
  /**
   * How many records a run reads, for `total`, `percent` and `eta` in the detail of the status. `count`: the datasource counts them, which
   * reads them a second time. `estimate`: what its planner expects. An object: the first value that a query of your own returns, a
   * template with the same variables as `query`. It is asked beside the read, which does not wait for it. Default: none.
   */
  total?: 'count' | 'estimate' | { query: string }
  /** Maximum write rate per second. A batch then holds at most a second's worth of records. Default: no limit. */
  rateLimit?: RateLimit
  /**
   * Validates each record before the transform, and gives it its type: a schema of zod, valibot, arktype or another library with
   * Standard Schema, sync or async. The valid value goes on. A record that is not valid fails with the code `schema`. Default: none.
   */
  schema?: StandardSchema<unknown, Item>
  /** Changes each record before it is written. Returns the record, several, or `null` to drop it. Default: none. */
  transform?: (record: Item, context: TransformContext<Params>) => Transformed<Out> | Promise<Transformed<Out>>
  /** Changes each batch before it is written, instead of `transform`. */
  transformBatch?: (
    batch: RecordBatch<Item>,
    context: TransformContext<Params>,
  ) => readonly Out[] | Promise<readonly Out[]>
  /** Where records go: a target, or a function that receives each batch. */
  target: Target<Written<Out>> | TargetFunction<Out, Params>
  /**
   * What a run does when the target no longer holds records that the checkpoint counts on: it is empty, was created again, or lost
   * its checkpoint. `fail`: the job fails. `restart`: it loads everything again. `continue`: it loads what is new, for a target
   * that is emptied on purpose, such as an inbox. Default `fail`.
   */
  ifTargetReset?: IfTargetReset
  /** What happens to records that cannot be written. Default: the first one fails the job. */
  failures?: FailurePolicy
  /** Queue priority, from -1,000,000 to 1,000,000. Higher runs first. Default 0. */
  priority?: number
  /**
   * Validates the parameters of each start: a schema of zod, valibot, arktype or another library with Standard Schema. The query, the
   * transform and a target function receive what it returns. Default: any JSON object.
   */
  params?: StandardSchema<unknown, Params>
  /**
   * The parameters that decide which records `query` selects. An execution with other values of them does not resume from the
   * checkpoint and fails. `[]`: none does. A name that is taken out does not matter any more, also with an earlier checkpoint. A start with
   * parameters throws `invalid_options` for a name that neither it nor the template has. Default: those that a template uses, or all with a
   * query function.
   */
  selectedBy?: readonly (keyof NoInfer<Params> & string)[]
  /**
   * How long an execution may run, in milliseconds: from when it begins to run, with its retries and partitions. Then it stops as by an
   * abort, fails with `max_duration` and is not retried. An execution that resumes an orphan counts anew. Default: no limit.
   */
  maxDuration?: number
}

const datasourceRule = rule.having('read')
const targetRule = rule.having('open')

const namesRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.every(rule.text.accepts),
  expected: 'an array of the names of parameters',
}

const totalRule: Rule = {
  accepts: (value) =>
    value === 'count' || value === 'estimate' || rule.text.accepts(Object(value ?? {}).query as unknown),
  expected: '`count`, `estimate`, or an object with `query`, a string that is not empty',
}

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
  maxRecords: rule.optional(rule.whole(1)),
  total: rule.optional(totalRule),
  rateLimit: rule.optional(rule.anObject),
  schema: rule.optional(schemaRule),
  transform: rule.optional(rule.aFunction),
  transformBatch: rule.optional(rule.aFunction),
  target: either(rule.aFunction, targetRule, 'a function, or an object with the method `open`'),
  ifTargetReset: rule.optional(rule.oneOf('fail', 'restart', 'continue')),
  failures: rule.optional(rule.anObject),
  priority: rule.optional(priorityRule),
  params: paramsRule,
  selectedBy: rule.optional(namesRule),
  maxDuration: rule.optional(rule.milliseconds(1)),
  ...resumptionRules,
  ...scheduleRules,
  ...notifiedRules,
}

/** Throws `invalid_options` when the job is not valid. */
export function checkIngestion(job: IngestionJob): void {
  checkOptions('job', job, jobRules)
  const target = job.target as Partial<Target>
  const [kind, strategy] = readable('target', () => [target.kind, target.strategy])
  checkValue('target.kind', kind, rule.optional(rule.text))
  checkValue('target.strategy', strategy, rule.optional(rule.oneOf('append', 'replace')))
  checkValue('datasource.kind', (job.datasource as Partial<Datasource>).kind, rule.optional(rule.text))
  if (job.rateLimit !== undefined) checkRateLimit(job.rateLimit)
  if (job.transform && job.transformBatch) throw invalid('transform', 'omitted with `transformBatch`', job.transform)
  if (job.failures) checkFailures(job.failures, job.target as Target | TargetFunction)
}

function either(one: Rule, other: Rule, expected: string): Rule {
  const hint = other.hint && { hint: other.hint }
  return { accepts: (value) => one.accepts(value) || other.accepts(value), expected, ...hint }
}

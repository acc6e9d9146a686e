/*
 * Glossary. Code, docs and messages use these words, and no others for the same things.
 *
 * job            a unit of work, identified by its type and id; defined once, run many times
 * execution      one run of a job, with a status and an entry in the log
 * registry       defines, starts, observes and aborts the jobs of an application
 * node           a registry instance, by its name
 * status         the public view of an execution
 * storage        keeps executions and checkpoints; the source of truth
 * queue          where executions wait for a slot; they are `queued` there
 * dispatch       to take an execution from the queue and run it
 * slot           permission to run under a concurrency limit
 * claim          to take an unclaimed execution
 * lease          the time-limited right to run an execution
 * lease token    what proves a lease: `{ executionId, epoch }`
 * epoch          the fencing number of a lease: a writer with a lower epoch is rejected
 * release        to give a slot or a lease back
 * orphan         an execution that ended because its node died or closed
 * resume         to continue from a checkpoint
 * retry          to run again, within the same execution, after a transient error
 * partition      a share of an ingestion that runs as an execution of its own
 * parent         the job that a partition belongs to
 * datasource     where an ingestion reads records
 * target         where an ingestion writes records
 * record         one row or object on its way from a datasource to a target
 * batch          records that are read and written together
 * position       where a read or a target stands
 * checkpoint     the stored position that the next execution resumes from
 * dead letter    a record that could not be written and was set aside
 * report         what a job does with its progress
 * emit, notify   what the registry does to listeners
 * onX, handleX   what a listener does
 * poll, refresh  to ask storage again
 * maintenance    retention and clean-up
 */

import {
  checkOptions,
  hasMoreValues,
  invalid,
  jsonCopyOf,
  lostInJson,
  maxCheckpointValues,
  maxDetailValues,
  maxJsonDepth,
  maxJsonLength,
  type Rule,
  rule,
  type StandardSchema,
} from '../base/index.js'
import type { JobDetail, Progress } from './execution-record.js'
import { type Notified, notifiedRules } from './on-end.js'
import { type JobParams, paramsRule } from './params.js'
import { priorityRule } from './priority.js'
import { type Resumption, resumptionRules, retryPolicyOf } from './retry-policy.js'
import { checkSchedule, type Scheduled, scheduleRules } from './schedule.js'
import type { JobStatus } from './status.js'

/** Progress that a running job reports. Fields that are not given keep their values. */
export interface ProgressUpdate<Checkpoint = unknown, Detail extends object = JobDetail>
  extends Omit<Progress, 'lastId' | 'checkpoint' | 'detail' | 'logTail'> {
  /**
   * Where the next execution resumes: a JSON value that only the job interprets, of up to 1,000,000 characters, with up to 100,000 values in it.
   * `null` removes it.
   */
  checkpoint?: Checkpoint | null
  /** Extra data about the progress: a JSON object of up to 1,000,000 characters, with up to 10,000 values in it. */
  detail?: Detail
  /** The last known value of the primary key column. Stored as text. */
  lastId?: string | number | bigint
}

/** For values that are validated when they are copied. */
const anything: Rule = { accepts: () => true, expected: 'anything' }

const progressRules: Record<keyof ProgressUpdate, Rule> = {
  count: rule.optional(rule.whole(0)),
  lastId: {
    accepts: (value) => ['string', 'number', 'bigint'].includes(typeof value),
    expected: 'a string, a number or a bigint',
    optional: true,
  },
  checkpoint: anything,
  detail: anything,
}

/** The validated progress of an update, with the given fields only. Throws `invalid_options` for values that storage cannot keep. */
export function toProgress(update: ProgressUpdate): Progress {
  checkOptions('progress', update, progressRules)
  const { count, lastId, checkpoint, detail } = update
  return {
    ...(count !== undefined && { count }),
    ...(lastId !== undefined && { lastId: String(lastId) }),
    ...(checkpoint !== undefined && { checkpoint: checkpointOf(checkpoint) }),
    ...(detail !== undefined && { detail: detailOf(detail) }),
  }
}

/** Copies the value, so that later changes by the job are not saved. */
function checkpointOf(value: unknown): unknown {
  checkKept('checkpoint', value, maxCheckpointValues)
  const copy = jsonCopyOf(value)
  if (copy === undefined) throw invalid('checkpoint', kept('a JSON value'), value)
  return copy
}

function detailOf(value: JobDetail): JobDetail {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isObject) checkKept('detail', value, maxDetailValues)
  const copy = isObject ? jsonCopyOf(value) : undefined
  if (typeof copy !== 'object' || copy === null || Array.isArray(copy)) {
    throw invalid('detail', kept('a JSON object'), value)
  }
  return copy
}

/** Refuses what JSON would change in silence, such as a `Map`, which becomes an empty object. */
function checkKept(field: string, value: unknown, most: number): void {
  if (hasMoreValues(value, most)) throw invalid(field, `a JSON value with up to ${most} values in it`, value)
  const lost = lostInJson(value)
  if (lost) throw invalid(`${field}${lost.path}`, 'a value that JSON keeps', lost.value)
}

/** The limits of a stored JSON value, for messages. */
function kept(what: string): string {
  return `${what} of up to ${maxJsonLength} characters and ${maxJsonDepth} levels`
}

/** What a job's `run` receives. */
export interface JobContext<
  Checkpoint = unknown,
  Detail extends object = JobDetail,
  Params extends object = JobParams,
> {
  /** The status of this execution when this attempt began: its ids, and the `count` and `detail` that an earlier attempt reported. */
  readonly status: JobStatus<Detail>
  /** The parameters of the start, as the schema `params` of the job returns them. An empty object without any. */
  readonly params: Params
  /**
   * Aborts when the job must stop. Its reason is a `JobError` with the code `aborted`, `max_duration` or `lease_lost`. After an abort, a job that
   * returns or throws this reason (`signal.throwIfAborted()`) ends as `aborted`. A job that lost its lease ends in `error`.
   */
  readonly signal: AbortSignal
  /**
   * Whether the execution certainly holds its lease. If not, another process may run the job now: do not write to shared
   * resources. A process that was suspended can see this before `signal` aborts.
   */
  isHeld(): boolean
  /** The checkpoint to resume from: the last one that the previous execution, or an earlier attempt of this one, saved. */
  readonly checkpoint: Checkpoint | undefined
  /**
   * Reports progress. The latest report is saved at most once per `progressInterval`, and always before the end is announced.
   * Report only what is durable.
   */
  progress(update: ProgressUpdate<Checkpoint, Detail>): void
  /**
   * Keeps a line in the `log` of the status: the last 100 lines, of up to 1,000 characters with their time, secrets redacted. They are
   * saved with progress. Never throws.
   */
  log(text: string): void
  /** Emits a written batch to the listeners of `registry.onBatch`. Logs one that is not two numbers. Saves nothing and never throws. */
  batchDone(batch: BatchDone): void
  /**
   * Saves the reported progress immediately. Resolves when storage holds it, after retries if necessary. Rejects with the reason
   * of `signal` when the lease is lost, or when a save fails while the job is aborting. Rejects with `lease_lost` once the job
   * has ended.
   */
  save(): Promise<void>
  /**
   * Says that the work is complete, so that an abort comes too late: the job is `successful` when `run` returns, although an abort was
   * requested or the lease was lost.
   */
  complete(): void
}

/**
 * A job: defined once, run many times. `Checkpoint` is the type of what it saves to resume from, `Detail` the type of the extra data
 * that it reports. Both must be what JSON keeps. `Params` is what the schema `params` returns, by default an object with values of any type.
 */
export interface Job<Checkpoint = unknown, Detail extends object = JobDetail, Params extends object = JobParams>
  extends Resumption,
    Scheduled,
    Notified<Detail> {
  /** The kind of work: any word that does not begin with `_`. */
  type: string
  /** Identifies the job within its type: 1 to 512 characters. */
  id: string
  /** Queue priority, from -1,000,000 to 1,000,000. Higher runs first. Default 0. */
  priority?: number
  /**
   * Validates the parameters of each start, and gives them their type: a schema of zod, valibot, arktype or another library with
   * Standard Schema. Default: any JSON object.
   */
  params?: StandardSchema<unknown, Params>
  /**
   * How long an execution may run, in milliseconds: from when it begins to run, with its retries. Then its `signal` aborts, and it fails
   * with `max_duration` and is not retried. An execution that resumes an orphan counts anew. Default: no limit.
   */
  maxDuration?: number
  /** The name of the datasource that the job uses. `concurrency.datasources` can limit jobs per datasource. */
  datasource?: string
  /**
   * The work, sync or async. The job is `successful` when it returns, and in `error` when it throws. After an abort request, a
   * return ends the job as `aborted`, unless it has called `complete()`. What it returns is ignored, unless it can only mean that the work is not
   * done, such as an `Error` or a generator.
   */
  run(context: JobContext<Checkpoint, Detail, Params>): unknown
}

/** The rules of {@link Job}. */
const jobRules = {
  type: rule.jobType,
  id: rule.jobId,
  run: rule.aFunction,
  ...resumptionRules,
  priority: rule.optional(priorityRule),
  params: paramsRule,
  maxDuration: rule.optional(rule.milliseconds(1)),
  datasource: rule.optional(rule.text),
  ...scheduleRules,
  ...notifiedRules,
}

/** Throws `invalid_options` when the job is not valid. */
export function checkJob(job: Job): void {
  checkOptions('job', job, jobRules)
  retryPolicyOf(job)
  if (job.schedule) checkSchedule(job.schedule)
}

/** A written batch, as a job reports it. */
export interface BatchDone {
  /** How many records the batch had. */
  records: number
  /** Time from when the batch was available until it was written, in milliseconds. */
  duration: number
}

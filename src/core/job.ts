import type { BatchDone } from './batches.js'
import type { Clock } from './clock.js'
import { priorityRule } from './dispatcher.js'
import { jsonCopyOf, maxJsonDepth, maxJsonLength } from './json.js'
import type { Logger } from './logger.js'
import { checkOptions, invalid, type Rule, rule } from './options.js'
import type { Redactor } from './redact.js'
import { type Resumption, resumptionRules, retryPolicyOf } from './retry-policy.js'
import { checkSchedule, type Scheduled, scheduleRules } from './schedule.js'
import type { JobDetail, Progress } from './storage.js'

/** How far a running job says it has come. Fields that are not given stay. */
export interface ProgressUpdate extends Omit<Progress, 'lastId'> {
  /** The last known value of the primary key column; kept as text. */
  lastId?: string | number | bigint
}

/** What is looked at when it is copied. */
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

/** The progress that an update tells of: only what it gives. Throws `invalid_options` for what storage could not keep. */
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

/** What is changed after it was said must not change what is saved. */
function checkpointOf(value: unknown): unknown {
  const copy = jsonCopyOf(value)
  if (copy === undefined) throw invalid('checkpoint', kept('a JSON value'), value)
  return copy
}

function detailOf(value: JobDetail): JobDetail {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  const copy = isObject ? jsonCopyOf(value) : undefined
  if (typeof copy !== 'object' || copy === null || Array.isArray(copy)) {
    throw invalid('detail', kept('a JSON object'), value)
  }
  return copy
}

/** The bounds of a JSON value that is kept, in words. */
function kept(what: string): string {
  return `${what} of up to ${maxJsonLength} characters and ${maxJsonDepth} levels`
}

/** What a running job is given. */
export interface JobContext {
  /** The job's type. */
  readonly type: string
  /** The job's id. */
  readonly id: string
  /** The id of this execution in the log. */
  readonly executionId: string
  /**
   * Aborts when the job is to stop: its reason is a `JobError` with the code `aborted`, or `lease_lost`. A job that stops
   * by throwing it (`signal.throwIfAborted()`), or by returning, is `aborted`, or lost to its lease.
   */
  readonly signal: AbortSignal
  /**
   * Whether the execution holds its lease for certain: else another one may run by now, and what both would write to must
   * be left alone. A process that was frozen can tell by it before `signal` has aborted.
   */
  isHeld(): boolean
  /** Where the job is to go on: the checkpoint of the execution before this one, or of the try before this one. */
  readonly checkpoint: unknown
  /** What this execution has counted so far: 0, unless a try before this one came on. */
  readonly count: number
  /** The detail that this execution has said last: `undefined`, unless a try before this one said one. */
  readonly detail: JobDetail | undefined
  /**
   * Says how far the job has come. What was said last is saved every `progressInterval` at most, and always before the
   * end is announced. Say only what is durable.
   */
  progress(update: ProgressUpdate): void
  /** Tells those who measure of a batch that was written, see `registry.onBatch`. It saves nothing, and never throws. */
  batchDone(batch: BatchDone): void
  /**
   * Saves at once what was said, for what must not be done before storage knows. Resolves when storage holds it, however
   * often that has to be tried. Rejects with the reason of `signal` when storage does not: the lease is lost, or a try fails
   * while the job is asked to stop. Rejects with `lease_lost` once the job has ended.
   */
  save(): Promise<void>
  /** How often progress is saved at most, in milliseconds. */
  readonly progressInterval: number
  /** The registry's clock. */
  readonly clock: Clock
  /** The registry's logger. */
  readonly logger: Logger
  /** Hides secrets in texts, as the registry does in statuses: `redactor.redact(text)`. */
  readonly redactor: Redactor
}

/** A job: defined once, run many times. */
export interface Job extends Resumption, Scheduled {
  /** The kind of work: any word that does not begin with `_`. */
  type: string
  /** What tells it from others of its type: any text of 1 to 512 characters. */
  id: string
  /** The higher, the sooner it has its turn when jobs wait for a free slot: -1,000,000 to 1,000,000. Default 0. */
  priority?: number
  /** The name of the datasource that it works on: for the limit that `concurrency.datasources` may set. */
  datasource?: string
  /**
   * The work, which may be asynchronous. When it returns, the job is `successful`; when it throws, it is in `error`. After
   * an abort was asked for, a return means that it stopped, unless it returns `'completed'`: that all was done before the
   * abort could take hold.
   */
  run(context: JobContext): unknown
}

/** The rules of {@link Job}. */
const jobRules = {
  type: rule.jobType,
  id: rule.jobId,
  run: rule.aFunction,
  ...resumptionRules,
  priority: rule.optional(priorityRule),
  datasource: rule.optional(rule.text),
  ...scheduleRules,
}

/** Throws `invalid_options` unless the job is one that could run. */
export function checkJob(job: Job): void {
  checkOptions('job', job, jobRules)
  retryPolicyOf(job)
  if (job.schedule) checkSchedule(job.schedule)
}

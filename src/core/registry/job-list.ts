import { JobMap } from '../base/index.js'
import { type LibraryJob, type PausedJobs, statusOf } from '../execution/index.js'
import type { ExecutionRecord, JobStatus, Schedule } from '../model/index.js'
import { featureOf, type JobStorage, type Pause, type PauseRequest } from '../storage/index.js'

/** The most jobs that one call of the storage reads. */
const pageSize = 1000

/** The pause of a job. */
export interface JobPause extends PauseRequest {
  /** When it was paused, in epoch milliseconds of the storage's clock. */
  since: number
  /** Whether all jobs are paused, and not this one by itself. */
  isOfAll: boolean
}

/** A job that a registry defines. */
export interface DefinedJob {
  /** The job's type. */
  type: string
  /** The job's id. */
  id: string
  /** The name of its datasource. Absent without one. */
  datasource?: string
  /** The kind of its target, such as `postgres`. Only of an ingestion. */
  target?: string
  /** What a full refresh does to the target. Only of an ingestion whose target allows one. */
  fullRefresh?: 'replace' | 'merge' | 'truncate'
  /** Its schedule. Absent without one, and when the schedule is not enabled. */
  schedule?: Schedule
  /** When the schedule starts it next, in epoch milliseconds. Absent while it is paused. */
  nextRun?: number
  /** Its pause. Absent unless it is paused. */
  paused?: JobPause
  /** The status of its live execution, else of its last one. Absent when it never ran. */
  status?: JobStatus
}

/** What a list of jobs reads. */
interface ListParts {
  readonly storage: JobStorage
  readonly paused: PausedJobs
  next(job: LibraryJob): number | undefined
}

/** The jobs with their last statuses, by type and id. Reads 1,000 jobs per call of the storage. */
export async function listJobs(jobs: readonly LibraryJob[], parts: ListParts): Promise<DefinedJob[]> {
  const { storage, paused } = parts
  const latest = featureOf(storage, 'latest', 'registry.jobs')
  await paused.pending
  const sorted = [...jobs].sort((a, b) => compare(a.type, b.type) || compare(a.id, b.id))
  const records = new JobMap<ExecutionRecord>()
  for (let from = 0; from < sorted.length; from += pageSize) {
    const names = sorted.slice(from, from + pageSize).map(({ type, id }) => ({ type, id }))
    for (const record of await latest(names)) records.set({ type: record.type, id: record.id }, record)
  }
  return sorted.map((job) => toDefinedJob(job, records.get({ type: job.type, id: job.id }), parts))
}

function toDefinedJob(job: LibraryJob, record: ExecutionRecord | undefined, { paused, next }: ListParts): DefinedJob {
  const { type, id, datasource, targetKind, refreshEffect, schedule } = job
  const pause = paused.of(job)
  const nextRun = pause ? undefined : next(job)
  return {
    type,
    id,
    ...(datasource !== undefined && { datasource }),
    ...(targetKind !== undefined && { target: targetKind }),
    ...(refreshEffect && { fullRefresh: refreshEffect }),
    ...(schedule && schedule.enabled !== false && { schedule: { ...schedule } }),
    ...(nextRun !== undefined && { nextRun }),
    ...(pause && { paused: toJobPause(pause) }),
    ...(record && { status: statusOf(record, job) }),
  }
}

/** A pause as a registry shows it. */
export function toJobPause({ type, since, reason, by }: Pause): JobPause {
  return {
    since,
    isOfAll: type === undefined,
    ...(reason !== undefined && { reason }),
    ...(by !== undefined && { by }),
  }
}

function compare(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}

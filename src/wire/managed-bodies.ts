import type { DefinedJob, JobPause } from '../core/registry/index.js'
import {
  type Detailed,
  type DetailOf,
  foundBody,
  fromWire,
  type RemoteStatus,
  type WireHits,
  type WireJob,
} from './bodies.js'

/** The pause of a job, or of all jobs. */
export interface WirePause {
  /** When it was paused, in epoch milliseconds. */
  since: number
  /** Whether all jobs are paused, and not this one by itself. */
  of_all: boolean
  /** The reason, for people. */
  reason?: string
  /** Who paused it. */
  by?: string
}

/** A job that a registry defines. */
export interface WireDefinedJob extends WireJob {
  /** The name of its datasource. */
  datasource?: string
  /** The kind of its target. */
  target?: string
  /** What a full refresh does to the target. Absent where it is refused. */
  full_refresh?: 'replace' | 'merge' | 'truncate'
  /** Its schedule: a cron pattern with its time zone, or an interval in milliseconds. */
  schedule?: { cron: string; time_zone: string } | { every: number }
  /** When the schedule starts it next, in epoch milliseconds. */
  next_run?: number
  /** Its pause. */
  paused?: WirePause
}

/** The answer to a call that pauses. Without a job, all jobs are meant. */
export interface WirePaused {
  /** The job's id. */
  _id?: string
  /** The job's type. */
  type?: string
  /** The pause. */
  paused: WirePause
}

/** The answer to a call that ends a pause. Without a job, all jobs are meant. */
export interface WireUnpaused {
  /** The job's id. */
  _id?: string
  /** The job's type. */
  type?: string
  /** Whether it was paused. */
  was_paused: boolean
}

/** A job that the registry of a server defines. */
export type RemoteJob<Options = unknown> = Omit<DefinedJob, 'schedule' | 'status'> & {
  /** Its schedule. Absent without one, and when the schedule is not enabled. */
  schedule?: { cron: string; timeZone: string } | { every: number }
  /** The status of its live execution, else of its last one. Absent when it never ran. */
  status?: Detailed<RemoteStatus, Options>
}

/** The body of a list of defined jobs. */
export function definedJobsBody(jobs: readonly DefinedJob[], detailOf?: DetailOf): WireHits<WireDefinedJob> {
  return { hits: { total: jobs.length, hits: jobs.map((job) => toWireJob(job, detailOf)) } }
}

/** A defined job as the protocol prints it. */
export function toWireJob(job: DefinedJob, detailOf?: DetailOf): WireDefinedJob {
  const { type, id, datasource, target, fullRefresh, schedule, nextRun, paused, status } = job
  return {
    ...foundBody(type, id, status, detailOf),
    ...(datasource !== undefined && { datasource }),
    ...(target !== undefined && { target }),
    ...(fullRefresh && { full_refresh: fullRefresh }),
    ...(schedule && { schedule: toWireSchedule(schedule) }),
    ...(nextRun !== undefined && { next_run: nextRun }),
    ...(paused && { paused: toWirePause(paused) }),
  }
}

function toWireSchedule({ cron, timeZone = 'UTC', every }: NonNullable<DefinedJob['schedule']>) {
  return cron === undefined ? { every: every as number } : { cron, time_zone: timeZone }
}

function toWirePause({ since, isOfAll, reason, by }: JobPause): WirePause {
  return { since, of_all: isOfAll, ...(reason !== undefined && { reason }), ...(by !== undefined && { by }) }
}

/** The body about a pause: of a job or, without type and id, of all jobs. */
export function pausedBody(pause: JobPause, type?: string, id?: string): WirePaused {
  return { ...nameOf(type, id), paused: toWirePause(pause) }
}

/** The body about the end of a pause. */
export function unpausedBody(wasPaused: boolean, type?: string, id?: string): WireUnpaused {
  return { ...nameOf(type, id), was_paused: wasPaused }
}

function nameOf(type?: string, id?: string): { _id?: string; type?: string } {
  return type === undefined || id === undefined ? {} : { _id: id, type }
}

/** Converts a pause of the protocol. */
export function fromWirePause({ since, of_all, reason, by }: WirePause): JobPause {
  return { since, isOfAll: of_all, ...(reason !== undefined && { reason }), ...(by !== undefined && { by }) }
}

/** Converts a defined job of the protocol. */
export function fromWireJob(job: WireDefinedJob): RemoteJob {
  const {
    _id: id,
    type,
    datasource,
    target,
    full_refresh: fullRefresh,
    schedule,
    next_run: nextRun,
    paused,
    status,
  } = job
  return {
    type,
    id,
    ...(datasource !== undefined && { datasource }),
    ...(target !== undefined && { target }),
    ...(fullRefresh && { fullRefresh }),
    ...(schedule && {
      schedule: 'cron' in schedule ? { cron: schedule.cron, timeZone: schedule.time_zone } : { every: schedule.every },
    }),
    ...(nextRun !== undefined && { nextRun }),
    ...(paused && { paused: fromWirePause(paused) }),
    ...(status && { status: fromWire(type, status) }),
  }
}

import { createHash } from 'node:crypto'
import { hasLease, now } from './migrations.js'

/** SQL for the end of a lease. One row that lacks it must not make others unreadable. A lease beyond the last date was granted by nobody. */
export const leaseEnd = '(case when job.lease_until <= 8640000000000000 then job.lease_until else 0 end)'

/** SQL for whether a claimed execution has lost its lease, as another version or client may have written it. */
export const lacksLease = `(not job.${hasLease} and job.claimed_by is not null)`

/**
 * SQL for whether the lease of a live execution has expired. After a restart of the server, a lease expires only once
 * it could have been renewed, because nobody can renew it while the server is down: after a day at most.
 */
export const isExpired = `(job.end_time is null and (job.${hasLease} or ${lacksLease}) and greatest(${leaseEnd},
  floor(extract(epoch from pg_postmaster_start_time()) * 1000)::int8 + least(coalesce(job.lease, 0), 86400000)) <= ${now})`

/**
 * A statement with a name for preparing it. The name depends on the text, because proxies share connections among
 * clients.
 */
export function named(text: string): { text: string; name: string } {
  return { text, name: `headgate_${createHash('sha256').update(text).digest('hex').slice(0, 32)}` }
}

/** SQL for the key of a job or a partition. */
export function keyOf(type: string, id: string, partition: string): string {
  const number = `coalesce(${partition}::text || '/', '')`
  return `sha256(convert_to(${number} || length(${type}::text)::text || ':' || ${type}::text || ${id}::text, 'UTF8'))`
}

/** Whether a row of `job` holds an execution. One with the epoch 0 holds only the checkpoint of a job that never ran. */
export const hasRun = 'job.epoch <> 0'

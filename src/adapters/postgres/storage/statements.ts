import { managementIn } from './management-statements.js'
import { hasLease, hour, isOfJob, type Names, now, nowInTicks } from './migrations.js'
import { logged, recordOf } from './rows.js'
import { hasRun, isExpired, keyOf, lacksLease, leaseEnd, named } from './statement-parts.js'

/** The same for a check of all executions. It reads the time once and compares one number for most rows. */
const isAnyExpired = `job.${hasLease} and ${leaseEnd} <= (select ${now}) and ${isExpired}`

/**
 * Equivalent to `end_time is null`, in a form that keeps the planner off the index of live rows, because the key
 * finds the row.
 */
const isLive = `job.state in ('queued', 'running', 'aborting')`

/**
 * The same for the execution of a lease: a row that has ended although its state is live, or that no start of its job finds by its key, is
 * not its any more. Others may have written it so, and then begin the job beside it. The form keeps the planner off the index of live rows.
 */
const isOfLease = `${isLive} and num_nulls(job.end_time) = 1
  and job.key = ${keyOf('job.type', 'job.id', 'job.partition')}`

/** The same, also for a row whose state says otherwise, as another version or client may have written it. */
const isUnended = `(${isLive} or job.end_time is null)`

const ended = `'aborted', 'error', 'successful'`

/** The statements of a storage. Each is one transaction. Every value is text. */
export type Statements = ReturnType<typeof statementsIn>

/** Creates the statements of a storage in a schema. */
export function statementsIn(names: Names) {
  const { job } = names
  const record = recordOf('job')
  return {
    /** type, id, partition, state, node, lease, resumed from, takeovers, scheduled for, params, notifies end, checkpoint. */
    begin: named(begin(names)),
    /** uuid, id, epoch, lease, count, last id, checkpoint, detail, log tail. */
    renew: named(update(names, `${leasedFor('$4')}, ${progress(5)}`, isHeld)),
    /** uuid, id, epoch, lease, node. */
    claim: named(
      update(names, `${leasedFor('$4')}, claimed_by = $5::text, epoch = epoch + 1, ${leaveQueue}`, isUnclaimed),
    ),
    /** uuid, id, epoch. */
    run: named(update(names, leaveQueue, isHeld)),
    /** uuid, id, epoch, count, last id, checkpoint, detail, log tail, state, error, is orphaned, failure. */
    finish: named(finish(names, isOfLease)),
    /** The same, with the expiry of the lease that was read. Ends the execution only if that lease has expired. */
    settle: named(
      finish(names, `${isUnended} and job.lease_until is not distinct from $13::text::int8 and ${isExpired}`),
    ),
    /** type, id, partition, reason, execution id. */
    requestAbort: named(`update ${job} set state = 'aborting', abort_reason = $4::text::json, changed_at = ${now}
      where key = ${keyOf('$1', '$2', '$3')} and state not in ('aborting', ${ended}) and not ${isExpired}
        and ($5::text is null or job.id || job.uuid::text = $5::text)
      returning ${record}`),
    /** type, id, partition. */
    find: named(
      `select ${record}, ${isExpired}::text as has_expired from ${job}
        where key = ${keyOf('$1', '$2', '$3')} and ${hasRun}`,
    ),
    /** Whether partitions are included, the last UUID of the page before, size, type, id, whether to leave details out. */
    live: named(`select ${recordOf('job', `($6::text = 'true')`)}, ${isExpired}::text as has_expired from ${job}
      where type = $4::text and ($5::text is null or id = $5::text) and end_time is null and ${isOnPage} ${page}`),
    /** Whether this is a primary that accepts writes, and the role may change jobs. */
    isWritable: named(`select (not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'
      and has_table_privilege('${job}', 'insert') and has_table_privilege('${job}', 'update'))::text as answer`),
    /** An execution that lacks a lease is found when it is read, or when another one expires: an index leaves out the many that have none. */
    expired: named(`select ${record} from ${job} where ${isAnyExpired}
      union all select ${record} from ${job} where ${isExpired} and ${lacksLease}`),
    /** Whether partitions are included, the last UUID of the page before, size. */
    orphans: named(`select looked.*, ${recordOf('orphan')} from (select ${hasExpired(names)} as has_expired) looked
      left join (select * from ${job} where is_orphaned and ${isOnPage} ${page}) orphan on true order by orphan.uuid`),
    ...managementIn(names),
  }
}

/** SQL for the executions of a page and those after it. Without a UUID, the page is the first. */
const isOnPage = `($1::text = 'true' or job.${isOfJob})
  and job.uuid > coalesce($2::text, '00000000-0000-0000-0000-000000000000')::uuid`

const page = 'order by job.uuid limit $3::text::int8'

/** SQL for whether any lease has expired. */
export function hasExpired({ job }: Names): string {
  return `(exists (select from ${job} where ${isAnyExpired}))::text`
}

/** The end of the ticks that a UUID holds, and that no clock reaches. */
const endOfTicks = '1152921504606846975'

/**
 * A job that ran before reuses its row. The tick always increases, whatever the clock does, so that its ids increase
 * too. One that no clock can have made starts over.
 */
function begin({ schema, job }: Names): string {
  const mayStillRun = `(${isLive} and ${leaseEnd} > ${now})`
  const isFree = `(job.end_time is not null or job.state in (${ended})) and not ${mayStillRun}
    and ($7::text is null or not ${hasRun} or (job.is_orphaned and job.id || job.uuid::text = $7::text))
    and ($9::text is null or job.scheduled_for is null or job.scheduled_for < $9::text::int8)`
  const times = (tick: string) => `select ${schema}.uuid_of_tick(next.tick), next.tick, next.tick >> 12,
    (next.tick >> 12) + $6::text::int8, next.tick >> 12 from (select ${tick} as tick offset 0) next`
  return `with reused as (
      update ${job} set
        (uuid, tick, start_time, lease_until, changed_at) = (${times(`greatest(${nowInTicks}, case when job.tick < ${endOfTicks} then job.tick + 1 end)`)}),
        state = $4::text, epoch = case when epoch < ${Number.MAX_SAFE_INTEGER} then epoch + 1 else 1 end, claimed_by = $5::text, lease = $6::text::int8, end_time = null,
        count = 0, last_id = null, detail = null, error = null, is_orphaned = null, resumed_from = $7::text, takeovers = $8::text::int8,
        scheduled_for = coalesce($9::text::int8, job.scheduled_for), checkpoint = case when $12::text is null then job.checkpoint when $12::text <> 'null' then $12::text::json end,
        params = coalesce($10::text::json, case when $7::text is not null then job.params end), notifies_end = $11::text::boolean,
        abort_reason = null, log_tail = null, is_end_notified = null, failure = null
      where key = ${keyOf('$1', '$2', '$3')} and ${isFree}
      returning *
    ), inserted as (
      insert into ${job} (uuid, tick, start_time, lease_until, changed_at,
        key, type, id, partition, state, epoch, claimed_by, lease, count, resumed_from, takeovers, scheduled_for, params,
        notifies_end, checkpoint)
      select times.*, ${keyOf('$1', '$2', '$3')}, $1::text, $2::text, $3::text::int4, $4::text, 1, $5::text, $6::text::int8, 0, $7::text,
        $8::text::int8, $9::text::int8, $10::text::json, $11::text::boolean, case when $12::text <> 'null' then $12::text::json end
      from (${times(nowInTicks)}) times
      where not exists (select from reused)
      on conflict (key) do nothing
      returning *
    )
    select ${recordOf('begun')} from (select * from reused union all select * from inserted) begun`
}

/** The columns that save progress. `first` is the number of the first value. */
function progress(first: number): string {
  const [count, lastId, checkpoint, detail, logTail] = [0, 1, 2, 3, 4].map((n) => `$${first + n}`)
  return `count = coalesce(${count}::text::int8, job.count), last_id = coalesce(${lastId}::text::json, job.last_id),
    checkpoint = case when ${checkpoint}::text is null then job.checkpoint
      when ${checkpoint}::text <> 'null' then ${checkpoint}::text::json end,
    detail = coalesce(${detail}::text::json, job.detail), log_tail = coalesce(${logTail}::text::json, job.log_tail)`
}

/** Changes no indexed column, so that the new row stays on the same page. */
function leasedFor(lease: string): string {
  return `lease = ${lease}::text::int8, lease_until = ${now} + ${lease}::text::int8`
}

const leaveQueue = `state = case state when 'queued' then 'running' else state end,
  start_time = case state when 'queued' then greatest(${now}, start_time) else start_time end,
  changed_at = case state when 'queued' then ${now} else changed_at end`

const isUnclaimed = 'job.claimed_by is null'

/** SQL for whether the lease of an execution still holds. */
const isHeld = `job.claimed_by is not null and not ${isExpired}`

function update({ job }: Names, changes: string, condition: string): string {
  return `update ${job} set ${changes}
    where uuid = $1::text::uuid and id = $2::text and epoch = $3::text::int8 and ${isOfLease} and ${condition}
    returning ${recordOf('job')}`
}

/** Does not log an execution twice, which happens when its row was made live reused by hand. */
function finish({ job, log, tally }: Names, condition: string): string {
  return `with ended as (
      update ${job} set state = $9::text, error = $10::text::json, failure = $12::text::json,
        is_orphaned = case when state <> 'aborting' then $11::text::boolean end,
        end_time = greatest(${now}, start_time), changed_at = ${now}, ${progress(4)}
      where uuid = $1::text::uuid and id = $2::text and epoch = $3::text::int8 and ${condition}
      returning *
    ), logged as (
      insert into ${log} (${logged}) select ${logged} from ended
      on conflict (uuid) do nothing returning uuid
    ), counted as (
      insert into ${tally} (hour, type, state, is_partition, n, first_time)
      select start_time / ${hour}, type, state, partition is not null, 1, tick >> 12 from ended where exists (select from logged)
    )
    select ${recordOf('ended')} from ended`
}

import { createHash } from 'node:crypto'
import { logged, recordOf } from './_postgres-record.js'
import { hour, mayExpire, type Names, now, nowInTicks } from './_postgres-schema.js'

/**
 * Whether the lease of a live execution has run out: not before it could have been renewed since the server came up, as
 * nobody can renew a lease on a server that is down.
 */
const isExpired = `(job.end_time is null and greatest(job.lease_until,
  floor(extract(epoch from pg_postmaster_start_time()) * 1000)::int8 + job.lease) <= ${now})`

/** The same, for a look at all of them: the time is asked for once, and most rows need no more than a look at one number. */
const isAnyExpired = `${mayExpire} and job.lease_until <= (select ${now}) and ${isExpired}`

/** The same as that `end_time` is not set, in words that keep the planner off the index of live rows: a key finds the row. */
const isLive = `job.state in ('queued', 'running', 'aborting')`

/** The same, also of a row whose state says otherwise: another version, or somebody else, may have written it. */
const isUnended = `(${isLive} or job.end_time is null)`

const ended = `'aborted', 'error', 'successful'`

/** The statements of a storage, each of them a transaction. Every value is text. */
export type Statements = ReturnType<typeof statementsIn>

/** Makes the statements of a storage in a schema. */
export function statementsIn(names: Names) {
  const { job } = names
  const record = recordOf('job')
  return {
    /** type, id, state, node, lease, resumed from, takeovers, scheduled for. */
    begin: named(begin(names)),
    /** uuid, id, epoch, lease, count, last id, checkpoint, detail. */
    save: named(save(names, '')),
    /** The same, and the queued execution begins to run. */
    saveAndRun: named(save(names, leaveQueue)),
    /** The same as `save` and `saveAndRun`, and the node that takes the execution, which must have none. */
    take: named(save(names, takeOver, withoutNode)),
    takeAndRun: named(save(names, takeOver + leaveQueue, withoutNode)),
    /** uuid, id, epoch, count, last id, checkpoint, detail, state, error, is orphaned. */
    finish: named(finish(names, isLive)),
    /** The same, and until when the lease was seen to hold: on condition that it has run out. */
    settle: named(finish(names, `${isUnended} and job.lease_until = $11::text::int8 and ${isExpired}`)),
    /** type, id. */
    requestAbort: named(`update ${job} set state = 'aborting', changed_at = ${now}
      where key = ${keyOf('$1', '$2')} and state not in ('aborting', ${ended}) and not ${isExpired}
      returning ${record}`),
    /** type, id. */
    find: named(`select ${record}, ${isExpired}::text as is_expired from ${job} where key = ${keyOf('$1', '$2')}`),
    /** type. */
    live: named(`select ${record}, ${isExpired}::text as is_expired from ${job}
      where type = $1::text and end_time is null order by job.start_time, job.uuid`),
    /** Whether this is a primary whose transactions may write, and the role may change jobs. */
    isWritable: named(`select (not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'
      and has_table_privilege('${job}', 'insert') and has_table_privilege('${job}', 'update'))::text as answer`),
    expired: named(`select ${record} from ${job} where ${isAnyExpired}`),
    orphans: named(`select looked.*, ${recordOf('orphan')} from (select ${hasExpired(names)} as has_expired) looked
      left join (select * from ${job} where is_orphaned) orphan on true order by orphan.start_time`),
  }
}

/** What tells in a row whether there is an execution whose lease has run out. */
export function hasExpired({ job }: Names): string {
  return `(exists (select from ${job} where ${isAnyExpired}))::text`
}

/** A statement with a name to be prepared under, which no other text has: proxies share connections among clients. */
function named(text: string): { text: string; name: string } {
  return { text, name: `headgate_${createHash('sha256').update(text).digest('hex').slice(0, 32)}` }
}

/** What finds a job. */
function keyOf(type: string, id: string): string {
  return `sha256(convert_to(length(${type}::text)::text || ':' || ${type}::text || ${id}::text, 'UTF8'))`
}

/** A job that ran before goes on in its row; the tick rises, whatever the clock does, so that its ids rise too. */
function begin({ schema, job }: Names): string {
  const isFree = `(job.end_time is not null or job.state in (${ended}))
    and ($6::text is null or (job.is_orphaned and job.id || job.uuid::text = $6::text))
    and ($8::text is null or job.scheduled_for is null or job.scheduled_for < $8::text::int8)`
  const times = (tick: string) => `select ${schema}.uuid_of_tick(next.tick), next.tick, next.tick >> 12,
    (next.tick >> 12) + $5::text::int8, next.tick >> 12 from (select ${tick} as tick offset 0) next`
  return `with again as (
      update ${job} set
        (uuid, tick, start_time, lease_until, changed_at) = (${times(`greatest(${nowInTicks}, job.tick + 1)`)}),
        state = $3::text, epoch = case when epoch < ${Number.MAX_SAFE_INTEGER} then epoch + 1 else 1 end, node = $4::text, lease = $5::text::int8, end_time = null,
        count = 0, last_id = null, detail = null, error = null, is_orphaned = null, resumed_from = $6::text, takeovers = $7::text::int8,
        scheduled_for = coalesce($8::text::int8, job.scheduled_for)
      where key = ${keyOf('$1', '$2')} and ${isFree}
      returning *
    ), anew as (
      insert into ${job} (uuid, tick, start_time, lease_until, changed_at,
        key, type, id, state, epoch, node, lease, count, resumed_from, takeovers, scheduled_for)
      select times.*, ${keyOf('$1', '$2')}, $1::text, $2::text, $3::text, 1, $4::text, $5::text::int8, 0, $6::text,
        $7::text::int8, $8::text::int8 from (${times(nowInTicks)}) times
      where not exists (select from again)
      on conflict (key) do nothing
      returning *
    )
    select ${recordOf('begun')} from (select * from again union all select * from anew) begun`
}

/** What is written of an execution's progress. */
function progress(count: string, lastId: string, checkpoint: string, detail: string): string {
  return `count = coalesce(${count}::text::int8, job.count), last_id = coalesce(${lastId}::text::json, job.last_id),
    checkpoint = case when ${checkpoint}::text is null then job.checkpoint
      when ${checkpoint}::text <> 'null' then ${checkpoint}::text::json end,
    detail = coalesce(${detail}::text::json, job.detail)`
}

const leaveQueue = `, state = case state when 'queued' then 'running' else state end,
  start_time = case state when 'queued' then greatest(${now}, start_time) else start_time end,
  changed_at = case state when 'queued' then ${now} else changed_at end`

const takeOver = ', node = $9::text, epoch = epoch + 1'

const withoutNode = `and job.node = ''`

/** No column of an index changes, so that the new row stays on the page of the old one. */
function save({ job }: Names, also: string, condition = ''): string {
  return `update ${job} set lease = $4::text::int8, lease_until = ${now} + $4::text::int8, ${progress('$5', '$6', '$7', '$8')}${also}
    where uuid = $1::text::uuid and id = $2::text and epoch = $3::text::int8 and ${isLive} and not ${isExpired} ${condition}
    returning ${recordOf('job')}`
}

/** An execution that is in the log already, as its row was made live again by hand, is not logged again. */
function finish({ job, log, tally }: Names, condition: string): string {
  return `with ended as (
      update ${job} set state = $8::text, error = $9::text::json,
        is_orphaned = case when state <> 'aborting' then $10::text::boolean end,
        end_time = greatest(${now}, start_time), changed_at = ${now}, ${progress('$4', '$5', '$6', '$7')}
      where uuid = $1::text::uuid and id = $2::text and epoch = $3::text::int8 and ${condition}
      returning *
    ), logged as (
      insert into ${log} (${logged}) select ${logged} from ended
      on conflict (uuid) do nothing returning uuid
    ), counted as (
      insert into ${tally} (hour, type, state, n, first_time)
      select start_time / ${hour}, type, state, 1, tick >> 12 from ended where exists (select from logged)
    )
    select ${recordOf('ended')} from ended`
}

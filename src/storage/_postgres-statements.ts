import { logged, recordOf } from './_postgres-record.js'
import { type Names, now } from './_postgres-schema.js'

/**
 * Whether the lease of a live execution has run out: not before it could have been renewed since the server came up, as
 * nobody can renew a lease on a server that is down.
 */
const isExpired = `(job.end_time is null and greatest(job.lease_until,
  floor(extract(epoch from pg_postmaster_start_time()) * 1000)::int8 + job.lease) <= ${now})`

/** The statements of a storage in a schema, each of them a transaction. Every value is text. */
export type Statements = ReturnType<typeof statementsIn>

/** Makes the statements of a storage in a schema. */
export function statementsIn(names: Names) {
  const { job } = names
  const record = recordOf('job')
  return {
    /** type, id, state, node, lease, resumed from, takeovers. */
    begin: begin(names),
    /** uuid, id, epoch, lease, count, last id, checkpoint. */
    save: save(names, ''),
    /** The same, and the queued execution begins to run. */
    saveAndRun: save(names, leaveQueue),
    /** uuid, id, epoch, count, last id, checkpoint, state, error, is orphaned. */
    finish: finish(names, ''),
    /** The same, and until when the lease was seen to hold: on condition that it has run out. */
    settle: finish(names, `and job.lease_until = $10::text::int8 and ${isExpired}`),
    /** type, id. */
    requestAbort: `update ${job} set state = 'aborting', changed_at = ${now}
      where key = ${keyOf('$1', '$2')} and end_time is null and state <> 'aborting' and not ${isExpired}
      returning ${record}`,
    /** type, id. */
    find: `select ${record}, ${isExpired}::text as is_expired from ${job} where key = ${keyOf('$1', '$2')}`,
    /** type. */
    live: `select ${record}, ${isExpired}::text as is_expired from ${job}
      where type = $1::text and end_time is null order by job.start_time, job.uuid`,
    expired: `select ${record} from ${job} where ${isExpired}`,
    hasExpired: hasExpired(job),
    orphans: `select looked.*, ${recordOf('orphan')} from (select ${hasExpired(job)} as has_expired) looked
      left join (select * from ${job} where is_orphaned) orphan on true order by orphan.start_time`,
  }
}

function hasExpired(job: string): string {
  return `(exists (select from ${job} where end_time is null and ${isExpired}))::text`
}

/** What finds a job. */
function keyOf(type: string, id: string): string {
  return `sha256(convert_to(length(${type}::text)::text || ':' || ${type}::text || ${id}::text, 'UTF8'))`
}

function begin({ schema, job }: Names): string {
  return `insert into ${job} as job (key, type, id, uuid, state, epoch, node, accept_time, start_time, lease, lease_until,
      changed_at, count, resumed_from, takeovers)
    select ${keyOf('$1', '$2')}, $1::text, $2::text, next.uuid, $3::text, 1, $4::text, next.time, next.time,
      $5::text::int8, next.time + $5::text::int8, next.time, 0, $6::text, $7::text::int8
    from ${schema}.next_execution(null) next
    on conflict (key) do update set
      (uuid, accept_time, start_time, lease_until, changed_at) = (
        select next.uuid, next.time, next.time, next.time + excluded.lease, next.time
        from ${schema}.next_execution(job.uuid) next),
      state = excluded.state, epoch = job.epoch + 1, node = excluded.node, lease = excluded.lease, end_time = null,
      count = 0, last_id = null, error = null, is_orphaned = null,
      resumed_from = excluded.resumed_from, takeovers = excluded.takeovers
    where job.end_time is not null
      and ($6::text is null or (job.is_orphaned and job.id || job.uuid::text = $6::text))
    returning ${recordOf('job')}`
}

/** What is written of an execution's progress. */
function progress(count: string, lastId: string, checkpoint: string): string {
  return `count = coalesce(${count}::text::int8, job.count), last_id = coalesce(${lastId}::text::json, job.last_id),
    checkpoint = case when ${checkpoint}::text is null then job.checkpoint
      when ${checkpoint}::text <> 'null' then ${checkpoint}::text::json end`
}

const leaveQueue = `, state = case state when 'queued' then 'running' else state end,
  start_time = case state when 'queued' then greatest(${now}, start_time) else start_time end,
  changed_at = case state when 'queued' then ${now} else changed_at end`

/** No column of an index changes, so that the new row stays on the page of the old one. */
function save({ job }: Names, also: string): string {
  return `update ${job} set lease = $4::text::int8, lease_until = ${now} + $4::text::int8, ${progress('$5', '$6', '$7')}${also}
    where uuid = $1::text::uuid and id = $2::text and epoch = $3::text::int8 and end_time is null and not ${isExpired}
    returning ${recordOf('job')}`
}

function finish({ job, log }: Names, condition: string): string {
  return `with ended as (
      update ${job} set state = $7::text, error = $8::text::json, is_orphaned = $9::text::boolean,
        end_time = greatest(${now}, start_time), changed_at = ${now}, ${progress('$4', '$5', '$6')}
      where uuid = $1::text::uuid and id = $2::text and epoch = $3::text::int8 and end_time is null ${condition}
      returning *
    ), logged as (insert into ${log} (${logged}) select ${logged} from ended)
    select ${recordOf('ended')} from ended`
}

import { type Names, now } from './migrations.js'
import { pauseColumns, recordOf } from './rows.js'
import { hasRun, isExpired, keyOf, named } from './statement-parts.js'

/** The statements that manage jobs. */
export function managementIn(names: Names) {
  const { job, log, pause } = names
  const isOpen = 'notifies_end and is_end_notified is null'
  return {
    /** The types and ids of the jobs, as pairs in JSON. */
    latest:
      named(`select ${recordOf('job')}, ${isExpired}::text as has_expired from ${job} where ${hasRun} and key = any (array(
      select ${keyOf('(each ->> 0)', '(each ->> 1)', 'null')} from json_array_elements($1::text::json) each))`),
    /** type, id, checkpoint, executionId. */
    reset: named(reset(names)),
    /** type, id, reason, by. */
    pause: named(`insert into ${pause} (key, type, id, since, reason, paused_by)
      values (${keyOf('$1', '$2', 'null')}, $1::text, $2::text, ${now}, $3::text::json, $4::text::json)
      on conflict (key) do update set since = pause.since returning ${pauseColumns}`),
    /** type, id. */
    unpause: named(`delete from ${pause} where key = ${keyOf('$1', '$2', 'null')} returning 1`),
    pauses: named(`select ${pauseColumns} from ${pause}`),
    /** node, lease, size, and the types and ids of jobs that are left out, as pairs in JSON. */
    claimEnds: named(`with free as materialized (
        select uuid from ${log} where ${isOpen} and (end_claimed_until is null or end_claimed_until <= ${now})
          and (type, id) not in (select each ->> 0, each ->> 1 from json_array_elements($4::text::json) each)
        order by end_time, uuid limit $3::text::int8 for update skip locked
      ), claimed as (
        update ${log} set end_claimed_by = $1::text, end_claimed_until = ${now} + $2::text::int8
          from free where log.uuid = free.uuid returning log.*
      )
      select ${recordOf('claimed')} from claimed order by claimed.end_time, claimed.uuid`),
    /** uuid, id. The condition keeps the planner off the index of open ends, of which there may be many. */
    settleEnd: named(`with settled as (
        update ${log} set is_end_notified = true where uuid = $1::text::uuid and id = $2::text
          and notifies_end and not coalesce(is_end_notified, false) returning uuid
      )
      update ${job} set is_end_notified = true from settled where job.uuid = settled.uuid and job.id = $2::text`),
  }
}

/**
 * The lock on the row keeps the job from beginning meanwhile. A job that never ran gets a row with the epoch 0, which
 * `begin` reuses.
 */
function reset({ job }: Names): string {
  const key = keyOf('$1', '$2', 'null')
  const isLive = `exists (select from ${job} live where live.type = $1::text and live.id = $2::text and live.end_time is null)`
  return `with free as materialized (
      select key from ${job} where key = ${key} and end_time is not null and not ${isLive}
        and ($4::text is null or ${hasRun} and id || uuid::text = $4::text) for update
    ), cleared as (
      update ${job} set checkpoint = null where type = $1::text and id = $2::text and partition is not null
        and end_time is not null and checkpoint is not null and exists (select from free)
    ), changed as (
      update ${job} set checkpoint = case when $3::text <> 'null' then $3::text::json end
        from free where job.key = free.key returning job.*
    ), preset as (
      insert into ${job} (key, type, id, uuid, state, epoch, tick, start_time, end_time, changed_at, count, checkpoint)
      select ${key}, $1::text, $2::text, gen_random_uuid(), 'aborted', 0, 0, 0, 0, 0, 0, $3::text::json
      where $4::text is null and $3::text <> 'null' and not exists (select from ${job} where key = ${key}) and not ${isLive}
      on conflict (key) do nothing returning *
    )
    select ${recordOf('done')} from (select * from changed union all select * from preset) done`
}

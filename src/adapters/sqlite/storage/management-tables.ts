import type { EndClaim, ExecutionRecord, Pause, PauseRequest, PauseScope } from '../../../adapter.js'
import type { Connection } from './connection.js'
import { executionOf, jsonOf, pauseOf, selected, selectedOfPause } from './rows.js'

/** SQL for whether the notification of an end is open. */
const isOpen = 'notifies_end is not null and is_end_notified is null'

/** The same for one that nobody has claimed now, and of none of the jobs of a list, which is JSON. */
const isFree = `${isOpen} and (end_claimed_until is null or end_claimed_until <= ?)
  and (type, id) not in (select value ->> 0, value ->> 1 from json_each(?))`

/** Pauses a job, or all jobs. */
export function pause(connection: Connection, scope: PauseScope, { reason, by }: PauseRequest, now: number): Pause {
  connection.run(
    `insert into headgate_pause (type, id, since, reason, paused_by) values (?, ?, ?, ?, ?) on conflict (type, id) do nothing`,
    ...namesOf(scope),
    now,
    jsonOf(reason),
    jsonOf(by),
  )
  const row = connection.get(
    `select ${selectedOfPause} from headgate_pause where type = ? and id = ?`,
    ...namesOf(scope),
  )
  return pauseOf(row ?? {})
}

/** Ends a pause. Returns whether there was one. */
export function unpause(connection: Connection, scope: PauseScope): boolean {
  const paused = connection.get('select 1 from headgate_pause where type = ? and id = ?', ...namesOf(scope))
  connection.run('delete from headgate_pause where type = ? and id = ?', ...namesOf(scope))
  return paused !== undefined
}

/** All pauses. */
export function pauses(connection: Connection): Pause[] {
  return connection.all(`select ${selectedOfPause} from headgate_pause`).map(pauseOf)
}

/** Whether there is an end to claim. */
export function hasOpenEnd(connection: Connection, { except }: EndClaim, now: number): boolean {
  return connection.get(`select 1 from headgate_log where ${isFree} limit 1`, now, listOf(except)) !== undefined
}

/** Claims ended executions with an open notification, the first that ended first. */
export function claimEnds(
  connection: Connection,
  { node, lease, size, except }: EndClaim,
  now: number,
): ExecutionRecord[] {
  const rows = connection.all(
    `select seq, ${selected} from headgate_log
      where ${isFree} order by seq limit ?`,
    now,
    listOf(except),
    size,
  )
  for (const { seq } of rows) {
    const claim = 'update headgate_log set end_claimed_by = ?, end_claimed_until = ? where seq = ?'
    connection.run(claim, jsonOf(node), now + lease, Number(seq))
  }
  return rows.map(executionOf)
}

/** Marks a notification as done. */
export function settleEnd(connection: Connection, executionId: string): void {
  const found = connection.get(`select seq from headgate_log where execution_id = ? and ${isOpen}`, executionId)
  if (!found) return
  connection.run('update headgate_log set is_end_notified = 1 where seq = ?', Number(found.seq))
  connection.run('update headgate_job set is_end_notified = 1 where execution_id = ?', executionId)
}

function listOf(jobs: EndClaim['except'] = []): string {
  return JSON.stringify(jobs.map(({ type, id }) => [type, id]))
}

function namesOf({ type = '', id = '' }: PauseScope): [string, string] {
  return [type, id]
}

import type { RemoteJob } from '../../../client/index.js'
import { wordsOf, wordsOfInterval } from '../data/schedule-words.js'

/** When a job starts by itself: in words, with the zone that they are in, and the pattern as it is defined. */
export function ScheduleText({ schedule }: { schedule: NonNullable<RemoteJob['schedule']> }) {
  if ('every' in schedule) return <span class="schedule">{wordsOfInterval(schedule.every)}</span>
  const { cron, timeZone } = schedule
  const { words = '', hasClock = true } = wordsOf(cron) ?? {}
  return (
    <span class="schedule">
      {words !== '' && <span>{`${words}${hasClock ? ` (${timeZone})` : ''}`}</span>} <code class="muted">{cron}</code>
      {words === '' && ` (${timeZone})`}
    </span>
  )
}

import type { RemoteJob } from '../../../client/index.js'
import { formatDuration } from '../data/format.js'

/** When a job starts by itself. */
export function ScheduleText({
  schedule,
  hasZone = false,
}: {
  schedule: NonNullable<RemoteJob['schedule']>
  hasZone?: boolean
}) {
  if ('every' in schedule) return <span class="muted">every {formatDuration(schedule.every)}</span>
  return (
    <>
      <code class="muted">{schedule.cron}</code> {hasZone && <span class="muted">{schedule.timeZone}</span>}
    </>
  )
}

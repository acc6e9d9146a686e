import { memo } from 'preact/compat'
import { useState } from 'preact/hooks'
import { withDetail } from '../data/details.js'
import { failedLastOf } from '../data/failed-records.js'
import { beginningOf, formatCount, formatDuration } from '../data/format.js'
import type { Job } from '../data/jobs.js'
import { home, linkTo, linkToJob, replaceRoute, type ShownJobs } from '../data/route.js'
import { isIn } from '../data/shown-jobs.js'
import { Empty, Section } from '../parts/blocks.js'
import { CountCell, FailedCount } from '../parts/count.js'
import { Icon } from '../parts/icon.js'
import { JobLink } from '../parts/job-name.js'
import { RowProgress } from '../parts/progress.js'
import { ScheduleText } from '../parts/schedule.js'
import { Mark, State } from '../parts/state.js'
import { Time } from '../parts/time.js'
import { type Asked, MenuButton } from './job-menu.js'
import { PauseAllButton } from './pauses.js'

/** How many jobs are drawn at first. */
const drawnAtFirst = 50

const listTitles: Record<ShownJobs, string> = {
  all: 'All jobs',
  running: 'Running jobs',
  failing: 'Failing jobs',
  queued: 'Queued jobs',
  scheduled: 'Schedules',
  paused: 'Paused jobs',
}

/** The jobs that are asked for, in a table. */
export function JobList(props: { all: readonly Job[]; show: ShownJobs; find: string; onAsk: (asked: Asked) => void }) {
  const { all, show, find, onAsk } = props
  const [isWhole, setWhole] = useState(false)
  const found = foundIn(all, show, find)
  if (show === 'scheduled') found.sort((one, other) => nextOf(one) - nextOf(other))
  const drawn = isWhole ? found : found.slice(0, drawnAtFirst)
  const filter = (event: Event) =>
    replaceRoute({ view: 'overview', show, find: (event.target as HTMLInputElement).value })
  const open = (event: KeyboardEvent) => {
    // What is typed may not be drawn yet.
    const { value } = event.target as HTMLInputElement
    const [only, other] = foundIn(all, show, value)
    if (event.key === 'Enter' && value.trim() !== '' && only && !other) location.hash = linkToJob(only.type, only.id)
  }
  return (
    <Section
      title={listTitles[show]}
      count={found.length}
      name="list"
      aside={
        <div class="section-aside">
          {show !== 'all' && <a href={linkTo({ ...home, find })}>Show all jobs</a>}
          {all.length > 0 && <PauseAllButton />}
          <label class="search">
            <Icon name="search" />
            <span class="visually-hidden">Find jobs</span>
            <input
              type="search"
              placeholder="Find jobs"
              value={find}
              onInput={filter}
              onKeyDown={open}
              data-shortcut="/"
            />
          </label>
        </div>
      }
    >
      {found.length === 0 ? <NoJobs isFiltered={all.length > 0} /> : <JobTable jobs={drawn} onAsk={onAsk} />}
      {drawn.length < found.length && (
        <button type="button" class="button" onClick={() => setWhole(true)}>
          Show all {formatCount(found.length)}
        </button>
      )}
    </Section>
  )
}

/** The jobs whose names have all words that are looked for. */
function foundIn(all: readonly Job[], show: ShownJobs, find: string): Job[] {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean)
  return all
    .filter(isIn[show])
    .filter(({ type, id }) => words.every((word) => `${type}/${id}`.toLowerCase().includes(word)))
}

function JobTable({ jobs, onAsk }: { jobs: readonly Job[]; onAsk: (asked: Asked) => void }) {
  return (
    <div class="table-frame">
      <table class={`table ${jobs.length > drawnAtFirst ? 'is-long' : ''}`}>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">Last run</th>
            <th scope="col" class="number">
              Count
            </th>
            <th scope="col" class="number">
              Duration
            </th>
            <th scope="col">Next run</th>
            <th scope="col">
              <span class="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <JobRow key={job.key} job={job} onAsk={onAsk} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function NoJobs({ isFiltered }: { isFiltered: boolean }) {
  return isFiltered ? (
    <Empty icon="search" title="No jobs match">
      <a href={linkTo(home)}>Show all jobs</a>
    </Empty>
  ) : (
    <Empty icon="gate" title="This registry defines no job yet">
      Jobs appear here as soon as your application calls <code>registry.define</code>.
    </Empty>
  )
}

function nextOf({ definition }: Job): number {
  return definition?.nextRun ?? Number.POSITIVE_INFINITY
}

/** Who has paused a job and why, in a few words. The view of the job has all of them. */
function PauseReason({ by, reason }: { by?: string; reason?: string }) {
  const words = [by !== undefined && `by ${by}`, reason].filter(Boolean).join(': ')
  if (words === '') return null
  return (
    <bdi class="muted" title={words}>
      {beginningOf(words, 60)}
    </bdi>
  )
}

const JobRow = memo(({ job, onAsk }: { job: Job; onAsk: (asked: Asked) => void }) => {
  const { type, id, definition } = job
  const status = withDetail(job)
  const { paused, nextRun, schedule } = definition ?? {}
  return (
    <tr>
      <td data-label="Job">
        <JobLink type={type} id={id} />
      </td>
      <td data-label="Last run">
        <State state={status?.state ?? 'never'} /> <FailedCount failed={failedLastOf(job)} job={job} />{' '}
        {status && (
          <span class="muted">
            <Time at={'endTime' in status ? status.endTime : status.startTime} />
          </span>
        )}
      </td>
      <CountCell status={status} />
      <td data-label="Duration" class="number">
        {status && 'endTime' in status ? (
          formatDuration(status.endTime - status.startTime)
        ) : status && isIn.running(job) ? (
          <RowProgress status={status} />
        ) : (
          <span class="muted">–</span>
        )}
      </td>
      <td data-label="Next run">
        {paused ? (
          <>
            <Mark icon="paused" tone="paused" text="Paused" /> <PauseReason {...paused} />
          </>
        ) : (
          nextRun !== undefined && <Time at={nextRun} isFull />
        )}
        {schedule ? <ScheduleText schedule={schedule} /> : !paused && <span class="muted">on demand</span>}
      </td>
      <td class="row-actions">
        <MenuButton job={job} onAsk={onAsk} />
      </td>
    </tr>
  )
})

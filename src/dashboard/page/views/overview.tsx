import { useState } from 'preact/hooks'
import { messagesOf } from '../data/detail.js'
import { withDetail } from '../data/details.js'
import { failedLastOf, mayRetry, withLastParams } from '../data/failed-records.js'
import { beginningOf, formatCount, formatDuration, nameOf } from '../data/format.js'
import { health } from '../data/health.js'
import { type Job, jobs, jobsError, keyOf, refreshJobs, sortedJobs } from '../data/jobs.js'
import { home, linkTo, linkToJob, type Route, type ShownJobs } from '../data/route.js'
import { readOnly } from '../data/settings.js'
import { isIn } from '../data/shown-jobs.js'
import { Empty, Failure, Loading, Section } from '../parts/blocks.js'
import { Coded } from '../parts/coded.js'
import { FailedCount } from '../parts/count.js'
import { Icon, type IconName } from '../parts/icon.js'
import { JobLink } from '../parts/job-name.js'
import { Progress } from '../parts/progress.js'
import { Mark, State } from '../parts/state.js'
import { Elapsed, Time } from '../parts/time.js'
import { StartButton } from './job-actions.js'
import { JobList } from './job-list.js'
import { type Asked, AskedDialog } from './job-menu.js'
import { WaitsFor } from './waiting.js'

/** All jobs: what runs, what fails and why, what waits, and what comes next. */
export function Overview(shown: Extract<Route, { view: 'overview' }>) {
  return (
    <>
      <h1 class="visually-hidden" tabIndex={-1}>
        Jobs
      </h1>
      <AllJobs {...shown} />
    </>
  )
}

function AllJobs({ show, find }: Extract<Route, { view: 'overview' }>) {
  // Beside the cards, as the one of a run goes away with its end.
  const [asked, ask] = useState<Asked>()
  if (jobs.value === undefined)
    return jobsError.value === undefined ? (
      <Loading rows={6} />
    ) : (
      <Failure title="The jobs could not be read" error={jobsError.value} onRetry={refreshJobs} />
    )
  const abort = (job: Job) => ask({ job, question: 'abort' })
  const all = sortedJobs.value
  const running = all.filter(isIn.running)
  const queued = all.filter(isIn.queued).sort((one, other) => startOf(one) - startOf(other))
  const failing = all.filter(isIn.failing).sort((one, other) => startOf(other) - startOf(one))
  return (
    <>
      <Summary all={all} show={show} />
      <QueueProblem />
      <Overdue />
      {failing.length > 0 && (
        <Section title="Failing now" count={failing.length} name="failing">
          <ul class="cards">
            {failing.slice(0, 8).map((job) => (
              <FailingJob key={job.key} job={job} />
            ))}
          </ul>
          {failing.length > 8 && (
            <a href={linkTo({ ...home, show: 'failing' })}>All {formatCount(failing.length)} that fail</a>
          )}
        </Section>
      )}
      <FailedRecords jobs={all.filter((job) => isIn.failing(job) === false && failedLastOf(job) > 0)} />
      <Section title="Running" count={running.length} name="running">
        {running.length === 0 ? (
          <Empty icon="never" title="Nothing runs at the moment">
            <NextRun all={all} />
          </Empty>
        ) : (
          <RunningJobs jobs={running} onAbort={abort} />
        )}
      </Section>
      {queued.length > 0 && <Queue jobs={queued} onAbort={abort} />}
      <JobList all={all} show={show} find={find} onAsk={ask} />
      {asked && <AskedDialog asked={asked} onAsk={ask} />}
    </>
  )
}

function startOf({ status }: Job): number {
  return status?.startTime ?? 0
}

const tiles: readonly [ShownJobs, string, IconName, string][] = [
  ['running', 'Running', 'running', 'running'],
  ['failing', 'Failing', 'error', 'error'],
  ['queued', 'Queued', 'queued', 'queued'],
  ['scheduled', 'Scheduled', 'scheduled', 'muted'],
  ['paused', 'Paused', 'paused', 'paused'],
]

/** How many jobs are in which state. Each figure leads to them. */
function Summary({ all, show }: { all: readonly Job[]; show: ShownJobs }) {
  return (
    <nav class="summary" aria-label="Jobs by state">
      {tiles.map(([name, text, icon, tone]) => {
        const count = all.filter(isIn[name]).length
        const isShown = show === name
        return (
          <a
            key={name}
            class={`tile ${count > 0 ? `is-${tone}` : 'is-none'}`}
            href={linkTo({ ...home, show: isShown ? 'all' : name })}
            aria-current={isShown ? 'true' : undefined}
          >
            <span class="tile-figure">{formatCount(count)}</span>
            <span class="tile-text">
              <Icon name={icon} />
              {text}
            </span>
          </a>
        )
      })}
      <HealthTile />
    </nav>
  )
}

const healthWords: Record<string, string> = {
  unknown: 'Unknown',
  ok: 'Healthy',
  unreachable: 'No storage',
  readonly: 'Storage read-only',
  closed: 'Closed',
}

function HealthTile() {
  const { value } = health
  const { status = 'unknown', overdue = [], queueProblem, storage, node } = value ?? {}
  const trouble = queueProblem === undefined ? overdue.length > 0 && `${overdue.length} overdue` : 'Queue stopped'
  const isOk = status === 'ok' && !trouble
  const text = (status === 'ok' && trouble) || (healthWords[status] ?? status)
  const detail = storage?.error?.[0] ?? (storage && `${node} · storage ${formatDuration(storage.latency)}`)
  return (
    <div class={`tile tile-health ${isOk ? 'is-successful' : value ? 'is-error' : 'is-none'}`}>
      <span class="tile-figure tile-word">{text}</span>
      <span class="tile-text">
        <Icon name="health" />
        <bdi class="cut-text">{detail ?? 'Health'}</bdi>
      </span>
    </div>
  )
}

/** Why the queue hands out nothing, although it answers. */
function QueueProblem() {
  const { queueProblem } = health.value ?? {}
  if (queueProblem === undefined) return null
  return (
    <Section title="Queue stopped" name="queue-problem">
      <ul class="card queue is-error">
        <li>
          <Mark icon="error" tone="error" text="Stopped" />
          <bdi>{queueProblem}</bdi>
        </li>
      </ul>
    </Section>
  )
}

/** Schedules that should have started something here, and could not. */
function Overdue() {
  const { overdue = [] } = health.value ?? {}
  if (overdue.length === 0) return null
  return (
    <Section title="Overdue" count={overdue.length} name="overdue">
      <ul class="card queue is-aborted">
        {overdue.slice(0, drawnOfQueue).map(({ type, id, since }) => (
          <li key={keyOf(type, id)}>
            <Mark icon="scheduled" tone="aborted" text="Overdue" />
            <JobLink type={type} id={id} />
            <span class="muted">
              should have started <Time at={since} />
            </span>
          </li>
        ))}
      </ul>
      {overdue.length > drawnOfQueue && <a href={linkTo({ ...home, show: 'scheduled' })}>All schedules</a>}
    </Section>
  )
}

/** Jobs whose last run has set records aside without a failure. */
function FailedRecords({ jobs }: { jobs: readonly Job[] }) {
  if (jobs.length === 0) return null
  return (
    <Section title="Failed records" count={jobs.length} name="failed-records">
      <ul class="card queue">
        {jobs.slice(0, drawnOfQueue).map((job) => (
          <li key={job.key}>
            <State state={job.status?.state ?? 'never'} />
            <JobLink type={job.type} id={job.id} />
            <FailedCount failed={failedLastOf(job)} job={job} />
            {job.status && 'endTime' in job.status && (
              <span class="muted">
                <Time at={job.status.endTime} />
              </span>
            )}
          </li>
        ))}
      </ul>
      {jobs.length > drawnOfQueue && (
        <p class="note">The list of all jobs has {formatCount(jobs.length - drawnOfQueue)} more.</p>
      )}
    </Section>
  )
}

/** How many running jobs are drawn at first. The list of all jobs is below them. */
const drawnOfRunning = 12

function RunningJobs({ jobs, onAbort }: { jobs: readonly Job[]; onAbort: (job: Job) => void }) {
  const [isWhole, setWhole] = useState(false)
  const drawn = isWhole ? jobs : jobs.slice(0, drawnOfRunning)
  return (
    <>
      <ul class="cards">
        {drawn.map((job) => (
          <RunningJob key={job.key} job={job} onAbort={onAbort} />
        ))}
      </ul>
      {drawn.length < jobs.length && (
        <button type="button" class="button" onClick={() => setWhole(true)}>
          Show all {formatCount(jobs.length)} that run
        </button>
      )}
    </>
  )
}

function RunningJob({ job, onAbort }: { job: Job; onAbort: (job: Job) => void }) {
  const status = withDetail(job)
  if (!status) return null
  return (
    <li class="card is-running">
      <div class="card-head">
        <State state={status.state} />
        <JobLink type={job.type} id={job.id} />
        {status.state === 'running' && <AbortButton job={job} onAbort={onAbort} />}
      </div>
      <Progress jobKey={job.key} status={status} />
    </li>
  )
}

function AbortButton({ job, onAbort }: { job: Job; onAbort: (job: Job) => void }) {
  if (readOnly) return null
  return (
    <button type="button" class="button is-small" aria-label={`Abort ${nameOf(job)}`} onClick={() => onAbort(job)}>
      Abort…
    </button>
  )
}

/** How much of a message is shown: most have their remedy at the end. */
const maxReason = 700

/** A job whose last run failed: the first message says what failed, the last one why. */
function FailingJob({ job }: { job: Job }) {
  const { status } = job
  if (status?.state !== 'error') return null
  const [first = '', ...causes] = messagesOf(status)
  const last = causes.at(-1)
  return (
    <li class="card is-error">
      <div class="card-head">
        <State state="error" />
        <JobLink type={job.type} id={job.id} />
        <span class="muted">
          <Time at={status.endTime} /> <FailedCount failed={failedLastOf(job)} job={job} />
        </span>
        {/* A retry is offered once the page knows that it may help, and behind the link, which stays under the pointer and the next one by the Tab key. */}
        <span class="card-actions">
          <a class="button is-small" href={linkToJob(job.type, job.id)} aria-label={`What helps ${nameOf(job)}`}>
            What helps
          </a>
          {mayRetry(job) && <StartButton job={withLastParams(job)} isSmall isPlain />}
        </span>
      </div>
      <p class="reason">
        <Coded text={beginningOf(first, maxReason)} />
      </p>
      {last !== undefined && (
        <p class="reason cause">
          <span class="muted">because</span> <Coded text={beginningOf(last, maxReason)} />
        </p>
      )}
    </li>
  )
}

/** How many queued jobs are drawn. */
const drawnOfQueue = 8

/** What waits for a free slot, longest first. */
function Queue({ jobs, onAbort }: { jobs: readonly Job[]; onAbort: (job: Job) => void }) {
  return (
    <Section title="Queued" count={jobs.length} name="queued">
      <ul class="card queue">
        {jobs.slice(0, drawnOfQueue).map((job) => (
          <li key={job.key}>
            <State state="queued" />
            <JobLink type={job.type} id={job.id} />
            <span class="muted">
              for <Elapsed since={startOf(job)} />
            </span>
            <AbortButton job={job} onAbort={onAbort} />
            <span class="muted queue-why">
              <WaitsFor job={job} />
            </span>
          </li>
        ))}
      </ul>
      {jobs.length > drawnOfQueue && (
        <a href={linkTo({ ...home, show: 'queued' })}>All {formatCount(jobs.length)} that wait</a>
      )}
    </Section>
  )
}

/** When the next schedule starts something. */
function NextRun({ all }: { all: readonly Job[] }) {
  const next = all
    .filter(({ definition }) => definition?.nextRun !== undefined)
    .sort((one, other) => Number(one.definition?.nextRun) - Number(other.definition?.nextRun))[0]
  if (next?.definition?.nextRun === undefined) return <>Start a job, or wait for somebody else to.</>
  return (
    <>
      Next: <JobLink type={next.type} id={next.id} /> <Time at={next.definition.nextRun} />
    </>
  )
}

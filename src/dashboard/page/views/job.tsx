import { useState } from 'preact/hooks'
import type { LoggedStatus } from '../../../client/index.js'
import { seconds } from '../data/clock.js'
import {
  checkpointOf,
  detailOf,
  fieldsOf,
  isIngestionType,
  numberOf,
  placeOfCheckpoint,
  type Status,
} from '../data/detail.js'
import { withDetail, withFiguresOf } from '../data/details.js'
import { formatCount, formatDuration } from '../data/format.js'
import { health } from '../data/health.js'
import { isLive, type Job, jobs, keyOf } from '../data/jobs.js'
import { home, linkTo, linkToJob, type Route, wholeLog } from '../data/route.js'
import { client } from '../data/server.js'
import { readOnly } from '../data/settings.js'
import { type Read, useRead } from '../data/use-read.js'
import { Empty, Facts, Failure, Loading, Section } from '../parts/blocks.js'
import { countTitle, hasRecords } from '../parts/count.js'
import { Icon } from '../parts/icon.js'
import { JobName } from '../parts/job-name.js'
import { LongText } from '../parts/long-text.js'
import { Course, Progress } from '../parts/progress.js'
import { ScheduleText } from '../parts/schedule.js'
import { Mark, State } from '../parts/state.js'
import { Elapsed, Time } from '../parts/time.js'
import { History } from './history.js'
import { isIngestion, JobActions, JobDialog } from './job-actions.js'
import { RunReport } from './run-report.js'
import { RunsTable } from './runs-table.js'
import { WaitsFor } from './waiting.js'

/** How many runs the chart shows, and how many the table below it. */
const charted = 50
const listed = 10

/** One job: how it is now, why it failed, how it did before, and what can be done. */
export function JobView({ type, id, run }: Extract<Route, { view: 'job' }>) {
  const known = jobs.value?.get(keyOf(type, id))
  const { state, startTime } = known?.status ?? {}
  const status = useRead((signal) => client.status(type, id, { detail: true, signal }), [type, id, state, startTime])
  const log = useRead((signal) => client.search({ type, id, size: charted, signal }), [type, id, state, startTime])
  const recent = useRead((signal) => readRecent(type, id, signal), [type, id, state, startTime])
  const past = useRead((signal) => readRun(type, id, run, signal), [type, id, run?.executionId])
  const job: Job = {
    ...(known ?? { key: keyOf(type, id), type, id }),
    ...statusOf(known && withDetail(known), status.value),
  }
  const isUnread = !known && status.error !== undefined && status.value === undefined
  const isUnknown = !known && !status.isReading && !job.status && log.value?.total === 0
  if (isUnread || isUnknown)
    return (
      <>
        <JobHead job={job} isKnown={false} />
        {isUnread ? (
          <Failure title="The job could not be read" error={status.error} onRetry={status.again} />
        ) : (
          <Empty icon="search" title="There is no such job">
            <JobName type={type} id={id} /> is not defined here, and has never run.
          </Empty>
        )}
      </>
    )
  const isPast = run !== undefined && past.value?.executionId === run.executionId
  const shown = run === undefined ? job.status : past.value
  // What helps is told by the detail: its order would change under the pointer.
  const isRead = !isLive(job) && (job.status?.detail !== undefined || status.error !== undefined)
  const explained = run?.executionId ?? log.value?.hits.find((hit) => hit.startTime === shown?.startTime)?.executionId
  return (
    <>
      <JobHead job={job} hasSteps={run === undefined} />
      {run !== undefined && <PastNote job={job} past={past} />}
      <div class="job-grid">
        <div class="job-run">
          {run === undefined && job.status && isLive(job) && <Now job={job} status={job.status} />}
          {shown && <RunReport status={shown} job={run === undefined && isRead ? job : undefined} />}
        </div>
        <div class="job-runs">
          <RunsOf
            job={job}
            log={log}
            recent={recent.value}
            shown={isPast ? run.executionId : undefined}
            explained={explained}
          />
        </div>
        <aside class="job-side" aria-label="Facts">
          <JobFacts job={job} shown={shown} isPast={run !== undefined} />
        </aside>
      </div>
    </>
  )
}

/** How far a live run is, or what it waits for. */
function Now({ job, status }: { job: Job; status: Status }) {
  return (
    <Section title="Now" name="now">
      <div class="card is-running">
        {status.state === 'queued' ? (
          <p>
            <WaitsFor job={job} />
          </p>
        ) : (
          <>
            <Progress jobKey={job.key} status={status} />
            <Course jobKey={job.key} status={status} />
          </>
        )}
      </div>
    </Section>
  )
}

/** The status that is newer: of an event, or as it was read. That of an event has no detail. */
function statusOf(known: Status | undefined, read: Status | undefined): { status?: Status } {
  if (!known || !read || known.startTime !== read.startTime) {
    const status = known && (!read || known.startTime > read.startTime) ? known : read
    return status ? { status } : {}
  }
  if (known.state === read.state && known.count <= read.count) return { status: read }
  return { status: known.detail ? known : withFiguresOf(read, known) }
}

/** The last runs of an ingestion with their details, which tell how many records have failed. */
async function readRecent(type: string, id: string, signal: AbortSignal): Promise<LoggedStatus[]> {
  if (!isIngestionType(type)) return []
  return (await client.search({ type, id, size: charted, detail: true, signal })).hits
}

/** Finds a run in the log by when it began. */
async function readRun(
  type: string,
  id: string,
  run: { executionId: string; startTime: number } | undefined,
  signal: AbortSignal,
): Promise<LoggedStatus | undefined> {
  if (!run) return undefined
  const { executionId, startTime } = run
  const filter = { type, id, size: 20, detail: true, signal } as const
  const at = Number.isSafeInteger(startTime) ? { startTimeFrom: startTime, startTimeTo: startTime } : {}
  const { hits } = await client.search({ ...filter, ...at })
  return hits.find((hit) => hit.executionId === executionId)
}

/** The heading stays the same element in every state, for a screen reader that reads it. */
function JobHead({ job, isKnown = true, hasSteps = false }: { job: Job; isKnown?: boolean; hasSteps?: boolean }) {
  const { type, id, status, definition } = job
  return (
    <div class="job-head">
      <a class="back" href={linkTo(home)}>
        <Icon name="back" />
        Jobs
      </a>
      <div class="job-title">
        <h1 tabIndex={-1}>
          <JobName type={type} id={id} />
        </h1>
        {isKnown && <State state={status?.state ?? 'never'} isBadge />}
        {definition?.paused && <Mark icon="paused" tone="paused" text="Paused" />}
      </div>
      {isKnown && <JobActions job={job} hasSteps={hasSteps} />}
    </div>
  )
}

/** Says that a past run is shown, and leads back to the last one. */
function PastNote({ job, past }: { job: Job; past: Read<LoggedStatus | undefined> }) {
  const [isAsked, ask] = useState(false)
  if (past.isReading && !past.value) return <Loading rows={1} />
  const checkpoint = checkpointOf(past.value)
  return (
    <div class="past-note" role="status">
      {past.value ? (
        <p>
          This is the run of <Time at={past.value.startTime} isFull />.
        </p>
      ) : (
        <p>{past.error !== undefined ? 'The run could not be read.' : 'The log does not hold this run any more.'}</p>
      )}
      <a href={linkToJob(job.type, job.id)}>Show the last run</a>
      {!readOnly && isIngestion(job) && checkpoint !== undefined && !isLive(job) && job.definition && (
        <button type="button" class="button is-small" onClick={() => ask(true)}>
          Retry from there…
        </button>
      )}
      {isAsked && (
        <JobDialog job={job} question="retry" checkpoint={JSON.stringify(checkpoint)} onClose={() => ask(false)} />
      )}
    </div>
  )
}

function RunsOf(props: {
  job: Job
  log: Read<{ total: number; hits: LoggedStatus[] }>
  recent: readonly LoggedStatus[] | undefined
  shown: string | undefined
  explained: string | undefined
}) {
  const { job, log, recent = [], shown, explained } = props
  const inLog = linkTo({ view: 'log', query: { ...wholeLog.query, type: job.type, id: job.id } })
  if (log.value === undefined)
    return log.error === undefined ? (
      <Loading rows={5} />
    ) : (
      <Failure title="The runs could not be read" error={log.error} onRetry={log.again} />
    )
  const { total, hits } = log.value
  // Details come later.
  const detailed = hits.map((run) => recent.find(({ executionId }) => executionId === run.executionId) ?? run)
  return (
    <Section title="Runs" count={total} aside={total > listed && <a href={inLog}>All in the log</a>}>
      {total === 0 ? (
        <Empty icon="never" title="No run has ended yet">
          The runs of this job appear here with their durations and counts.
        </Empty>
      ) : (
        <>
          {hits.length > 1 && <History runs={detailed} shown={shown} />}
          <RunsTable runs={detailed.slice(0, listed)} shown={shown} explained={explained} />
        </>
      )}
    </Section>
  )
}

function JobFacts({ job, shown, isPast }: { job: Job; shown: Status | undefined; isPast: boolean }) {
  const { schedule, nextRun, paused, datasource, target } = job.definition ?? {}
  return (
    <>
      <Facts
        facts={{
          Source: datasource,
          Target: target,
          Schedule: schedule && <ScheduleText schedule={schedule} />,
          'Next run': nextRun !== undefined && <Time at={nextRun} isFull />,
          Paused: paused && <PauseText paused={paused} />,
        }}
      />
      {shown && (
        <RunFacts
          status={shown}
          title={isPast ? 'This run' : isLive({ status: shown }) ? 'Run' : 'Last run'}
          next={isPast ? 'A run after it would begin at' : 'Next begins'}
        />
      )}
    </>
  )
}

function RunFacts({ status, title, next }: { status: Status; title: string; next: string }) {
  const { params, node, abortReason, resumedFrom } = detailOf(status)
  const checkpoint = checkpointOf(status)
  const lease = fieldsOf(fieldsOf(detailOf(status)).lease)
  const until = numberOf(lease.until)
  const ended = 'endTime' in status ? status.endTime : undefined
  return (
    <Facts
      facts={{
        [title]: <State state={status.state} />,
        Began: <Time at={status.startTime} isFull />,
        Ended: ended !== undefined && <Time at={ended} isFull />,
        Took: ended !== undefined && formatDuration(ended - status.startTime),
        [status.state === 'queued' ? 'Waits for' : 'Runs for']: ended === undefined && (
          <Elapsed since={status.startTime} />
        ),
        [countTitle(status)]: hasRecords(status) && formatCount(status.count),
        [next]: checkpoint !== undefined && <CheckpointText checkpoint={checkpoint} />,
        'Last id': status.lastId !== undefined && <Value text={status.lastId} label="the last id" />,
        'Aborted because': abortReason,
        Node: node && <bdi>{node}</bdi>,
        Lease: ended === undefined && until !== undefined && <LeaseText node={node} until={until} />,
        Resumes: resumedFrom,
        Parameters: params && <Value text={JSON.stringify(params, undefined, 2)} label="the parameters" />,
      }}
    />
  )
}

/** How old the right of a node is to run this, and when others may take it over. */
function LeaseText({ node, until }: { node: string | undefined; until: number }) {
  const isOver = until < seconds.value
  const { value: answering } = health
  // How long leases are, a registry tells of its own only.
  const renewed = answering && answering.node === node ? until - answering.lease : undefined
  return (
    <span class={isOver ? 'state is-error' : ''}>
      {renewed !== undefined && (
        <>
          renewed <Time at={renewed} />,{' '}
        </>
      )}
      {isOver ? 'ran out ' : 'runs out '}
      <Time at={until} />
    </span>
  )
}

/** In words where that can be done. The dialog of a reset has it as it is. */
function CheckpointText({ checkpoint }: { checkpoint: unknown }) {
  const raw = JSON.stringify(checkpoint)
  const words = placeOfCheckpoint(checkpoint)
  if (words === undefined) return <Value text={raw} label="the checkpoint" />
  return (
    <span title={raw.slice(0, 1000)}>
      <LongText text={words} label="the checkpoint" />
    </span>
  )
}

function Value({ text, label }: { text: string; label: string }) {
  return (
    <code class="value">
      <LongText text={text} label={label} />
    </code>
  )
}

function PauseText({ paused }: { paused: NonNullable<NonNullable<Job['definition']>['paused']> }) {
  const { since, by, reason, isOfAll } = paused
  return (
    <>
      <Time at={since} />
      {by !== undefined && ` by ${by}`}
      {isOfAll && ' with all jobs'}
      {reason !== undefined && `: ${reason}`}
    </>
  )
}

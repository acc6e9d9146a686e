import { attempt } from '../data/actions.js'
import { acceptedAt, detailOf, type FailedStatus } from '../data/detail.js'
import { attemptText, copyText, reportOf, textsOf } from '../data/failure.js'
import { formatClock, formatCount, formatDuration, formatTime } from '../data/format.js'
import { notify } from '../data/notices.js'
import { linkTo, minuteOf, wholeLog } from '../data/route.js'
import { Section } from '../parts/blocks.js'
import { countText, hasRecords } from '../parts/count.js'
import { Icon, type IconName } from '../parts/icon.js'
import { LongText } from '../parts/long-text.js'
import { Time } from '../parts/time.js'
import { showFailedRecords } from './failed-records.js'

/** Why a run failed: the chain down to what failed first, where, when and after how long, and what to copy. */
export function Causes({ status }: { status: FailedStatus }) {
  const { node, failure } = detailOf(status)
  const { code, isTransient, attempts = 1 } = failure ?? {}
  const { causes, blocks } = textsOf(status)
  return (
    <Section title="Why it failed" aside={<CopyReport status={status} />}>
      <div class="causes">
        {causes.length > 0 && <Chain causes={causes} />}
        {blocks.map(({ title, causes, place }, index) => (
          <div key={index} class="causes-block">
            {title && <h3>{title}</h3>}
            <Chain causes={causes} hasRoot />
            {place !== undefined && (
              <p class="causes-place">
                <Icon name="place" />
                <LongText text={place} label="the place" />
              </p>
            )}
          </div>
        ))}
        <p class="causes-facts">
          <span>
            <Time at={status.endTime} isFull />
          </span>
          <span>
            after <strong>{formatDuration(status.endTime - status.startTime)}</strong>
            {failure && ` ${attemptText(attempts)}`}
          </span>
          {node !== undefined && (
            <span>
              on <bdi>{node}</bdi>
            </span>
          )}
          {code !== undefined && (
            <span>
              <code>{code}</code>
              {isTransient && ', transient'}
            </span>
          )}
        </p>
        <p class="causes-facts">
          <a href={logOf(status)}>This run in the log</a>
          <FailedRecordsLink status={status} />
        </p>
      </div>
    </Section>
  )
}

/** Messages from what failed to why. With a root, the last one is what failed first. */
function Chain({ causes, hasRoot = false }: { causes: readonly string[]; hasRoot?: boolean }) {
  return (
    <ol class={hasRoot ? 'has-root' : ''}>
      {causes.map((message, index) => (
        <li key={index}>
          {index > 0 && <span class="causes-word">because</span>}
          <p>
            <LongText text={message} label="the message" isMessage />
          </p>
        </li>
      ))}
    </ol>
  )
}

/** The log of the job in the minute in which a run began. */
function logOf({ type, id, startTime }: FailedStatus): string {
  const minute = minuteOf(startTime)
  return linkTo({ view: 'log', query: { ...wholeLog.query, type, id, from: minute, to: minute } })
}

function FailedRecordsLink({ status }: { status: FailedStatus }) {
  const failed = Number(detailOf(status).progress?.failed ?? 0)
  if (!(failed > 0)) return null
  return (
    <button type="button" class="text-button" onClick={showFailedRecords}>
      {failed === 1 ? 'Its dead letter' : `Its ${formatCount(failed)} dead letters`}
    </button>
  )
}

/** Copies what the page shows of a failure. */
export function CopyReport({ status, isPrimary = false }: { status: FailedStatus; isPrimary?: boolean }) {
  const copy = async () => {
    await copyText(reportOf(status))
    notify('The report is copied.')
  }
  return (
    <button
      type="button"
      class={`button ${isPrimary ? 'is-primary' : 'is-small'}`}
      onClick={() => attempt(copy(), 'The report was not copied')}
    >
      <Icon name="copy" />
      Copy report
    </button>
  )
}

/** The stack of the innermost error of the application. Frames of packages and of the platform stand back. */
export function Stack({ status }: { status: FailedStatus }) {
  const { stack } = detailOf(status).failure ?? {}
  if (stack === undefined) return null
  return (
    <Section title="Stack">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls needs to be reached by the keyboard */}
      <section class="log-lines stack" tabIndex={0} aria-label="Stack, innermost frame first">
        {stack.split('\n').map((line, index) => (
          <div key={index} class={index > 0 && foreign.test(line) ? 'muted' : ''}>
            {line}
          </div>
        ))}
      </section>
    </Section>
  )
}

const foreign = /node_modules|node:|<anonymous>/

interface Moment {
  readonly icon: IconName
  readonly tone: string
  readonly at?: number | undefined
  readonly text: string
  readonly note?: string | undefined
}

/** What happened in a run, in its order, each with the time since its start. */
export function TimeLine({ status }: { status: FailedStatus }) {
  const moments = momentsOf(status)
  return (
    <Section title="Time line">
      <ol class="card timeline">
        {moments.map(({ icon, tone, at, text, note }, index) => (
          <li key={index} class={`is-${tone}`}>
            <Icon name={icon} />
            <span class="timeline-at">
              {at !== undefined && (
                <time dateTime={new Date(at).toISOString()} title={formatTime(at)}>
                  {formatClock(at)}
                </time>
              )}
            </span>
            <span>
              {text}
              {note !== undefined && note !== '' && <span class="muted"> · {note}</span>}
            </span>
          </li>
        ))}
      </ol>
    </Section>
  )
}

function momentsOf(status: FailedStatus): Moment[] {
  const { executionId, node, resumedFrom, failure, progress = {} } = detailOf(status)
  const { startTime, endTime } = status
  const accepted = acceptedAt(executionId)
  const waited = accepted === undefined ? 0 : startTime - accepted
  const since = (at: number) => `+${formatDuration(at - startTime)}`
  const { attempts = 1, retries = [] } = failure ?? {}
  const left = attempts - 1 - retries.length
  const position = progress.position ?? status.lastId
  return [
    ...(accepted !== undefined && waited >= 100
      ? [
          {
            icon: 'queued' as const,
            tone: 'queued',
            at: accepted,
            text: 'Queued',
            note: `for ${formatDuration(waited)}`,
          },
        ]
      : []),
    {
      ...{ icon: 'play' as const, tone: 'running', at: startTime, text: `Started${node ? ` on ${node}` : ''}` },
      note: resumedFrom && `resumes ${resumedFrom}`,
    },
    ...(left > 0
      ? [{ icon: 'repeat' as const, tone: 'aborted', text: `${formatCount(left)} earlier attempts failed` }]
      : []),
    ...retries.map(({ time, error }, index) => ({
      ...{ icon: 'repeat' as const, tone: 'aborted', at: time },
      ...{ text: `Attempt ${left + index + 1} failed: ${error}`, note: since(time) },
    })),
    ...(hasRecords(status)
      ? [
          {
            ...{ icon: 'place' as const, tone: 'muted', text: `Reached ${countText(status)}` },
            note: position === undefined ? '' : `up to ${String(position).slice(0, 100)}`,
          },
        ]
      : []),
    {
      ...{ icon: 'error' as const, tone: 'error', at: endTime },
      ...{ text: attempts > 1 ? `Failed in attempt ${attempts}` : 'Failed', note: since(endTime) },
    },
  ]
}

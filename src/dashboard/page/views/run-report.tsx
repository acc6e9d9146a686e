import { detailOf, type FailedStatus, numberOf, type Status } from '../data/detail.js'
import { formatBytes, formatClock, formatCount, formatDuration, formatRate, formatTime } from '../data/format.js'
import type { Job } from '../data/jobs.js'
import { isTime } from '../data/short-values.js'
import { Facts, Section } from '../parts/blocks.js'
import { LongText } from '../parts/long-text.js'
import { FailedRecords } from './failed-records.js'
import { Causes, Stack, TimeLine } from './failed-run.js'
import { NextStep } from './next-step.js'
import { Partitions } from './partitions.js'
import { Swap } from './swap.js'

/** What a run says of itself: why it failed, what became of its records, its partitions, its log. */
export function RunReport({ status, job }: { status: Status; job?: Job | undefined }) {
  const { progress = {}, log = [] } = detailOf(status)
  return (
    <>
      {status.state === 'error' && <FailedRun status={status} job={job} />}
      <Records progress={progress} />
      <FailedRecords progress={progress} />
      <Swap progress={progress} />
      {log.length > 0 && <LogLines lines={log} />}
    </>
  )
}

/** `job` is absent for a past run, about which nothing is to be done. */
function FailedRun({ status, job }: { status: FailedStatus; job: Job | undefined }) {
  return (
    <>
      <Causes status={status} />
      {job && <NextStep job={job} status={status} />}
      <Stack status={status} />
      <TimeLine status={status} />
    </>
  )
}

const fates = [
  ['written', 'Written', 'successful'],
  ['failed', 'Failed', 'error'],
  ['skipped', 'Skipped', 'muted'],
] as const

/** read = written + failed + skipped, as a sum and as a bar of these shares. */
function Records({ progress }: { progress: Readonly<Record<string, unknown>> }) {
  const read = numberOf(progress.read)
  if (read === undefined || fates.some(([name]) => numberOf(progress[name]) === undefined)) return null
  const countOf = (name: string) => numberOf(progress[name]) ?? 0
  return (
    <Section title="Records">
      <div class="card">
        <div class="sum">
          <span class="sum-part">
            <strong>{formatCount(read)}</strong> read
          </span>
          {fates.map(([name, text, tone], index) => (
            <span key={name} class={`sum-part is-${countOf(name) > 0 ? tone : 'muted'}`}>
              <span class="sum-sign">{index === 0 ? '=' : '+'}</span>
              <strong>{formatCount(countOf(name))}</strong> {text.toLowerCase()}
            </span>
          ))}
        </div>
        {read > 0 && (
          <div class="shares" aria-hidden="true">
            {fates.map(([name, , tone]) => (
              <span
                key={name}
                class={`share is-${tone}`}
                hidden={countOf(name) === 0}
                style={{ flexGrow: countOf(name) }}
              />
            ))}
          </div>
        )}
        <Partitions progress={progress} />
        {read > 0 && <Readings progress={progress} />}
      </div>
    </Section>
  )
}

const refreshes: Record<string, string> = {
  replace: 'replaces all earlier records at its end',
  merge: 'replaces earlier records with the same key',
  truncate: 'removes all earlier records with its first commit',
}

/** How fast an ingestion reads, and where it stands. */
function Readings({ progress }: { progress: Readonly<Record<string, unknown>> }) {
  const numbered = (name: string, format: (value: number) => string) => {
    const value = numberOf(progress[name])
    return value === undefined ? undefined : format(value)
  }
  const rate = numbered('rowsPerSecond', formatRate)
  const bytesRate = numbered('bytesPerSecond', formatBytes)
  const facts = {
    'On average': rate && `${rate}${bytesRate ? `, ${bytesRate}/s` : ''}`,
    Bytes: numbered('bytes', formatBytes),
    Position: typeof progress.position === 'string' && (
      <>
        <code>{progress.position}</code>
        {isTime(progress.position) && ' in UTC'}
      </>
    ),
    Lag: numbered('lag', (lag) => `${formatDuration(lag)} behind the clock`),
    'Without cursor': numbered('withoutCursor', formatCount),
    Consistency: typeof progress.consistency === 'string' && progress.consistency,
    Resumed: progress.split === true && 'from a checkpoint, so its records come from more than one read',
    'Full refresh': typeof progress.fullRefresh === 'string' && refreshes[progress.fullRefresh],
    Attempt: Number(progress.attempt) > 1 && String(progress.attempt),
  }
  return Object.values(facts).some(Boolean) ? <Facts facts={facts} /> : null
}

function LogLines({ lines }: { lines: readonly string[] }) {
  return (
    <Section title="Log lines" count={lines.length}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls needs to be reached by the keyboard */}
      <section class="log-lines" tabIndex={0} aria-label="Log lines, newest last">
        {lines.map((line, index) => (
          <LogLine key={index} line={line} />
        ))}
      </section>
    </Section>
  )
}

/** A line behind the time of its context, which the server writes in UTC. */
function LogLine({ line }: { line: string }) {
  const [, time = '', text = line] = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) (.*)$/s.exec(line) ?? []
  return (
    <div class="log-line">
      {time !== '' && (
        <time dateTime={time} title={formatTime(Date.parse(time))}>
          {formatClock(Date.parse(time))}
        </time>
      )}
      <span>
        <LongText text={text} label="the line" />
      </span>
    </div>
  )
}

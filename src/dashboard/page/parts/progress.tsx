import type { ComponentChildren } from 'preact'
import { seconds } from '../data/clock.js'
import { detailOf, fieldsOf, isIngestionType, numberOf, type Status } from '../data/detail.js'
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatRate,
  nameOf,
  roundPercent,
} from '../data/format.js'
import { courseOf, type RunCourse, rateOf, ratesOf } from '../data/rates.js'
import { hasRecords } from './count.js'
import { Elapsed } from './time.js'

/** How far a live run is: a bar, and the figures below it. A job that reports the `total` of its records gets a share and an end. */
export function Progress({ jobKey, status }: { jobKey: string; status: Status }) {
  const { progress = {}, node } = detailOf(status)
  const total = numberOf(progress.total)
  const percent = percentOf(status)
  const rate = hasRecords(status)
    ? (rateOf(jobKey, status) ?? numberOf(progress.rowsPerSecond) ?? averageOf(status))
    : undefined
  // At the rate that stands beside it.
  const rest = total && rate ? (1000 * Math.max(0, total - status.count)) / rate : undefined
  const left = rest ?? numberOf(progress.eta)
  return (
    <div class="progress">
      <Bar percent={percent} label={`Progress of ${nameOf(status)}`} />
      <ul class="figures">
        {(hasRecords(status) || total !== undefined) && (
          <Figure
            value={formatCount(status.count)}
            text={`${total === undefined ? '' : `of ${formatCount(total)}`} ${isIngestionType(status.type) ? 'records' : ''}`}
          />
        )}
        {percent !== undefined && hasShare(status) && <Figure value={formatPercent(percent)} />}
        {rate !== undefined && (
          <Figure value={formatRate(rate)}>
            <Sparkline values={ratesOf(jobKey)} />
          </Figure>
        )}
        {left !== undefined && <Figure value={formatDuration(left)} text="left" />}
        <ReportedFigures progress={progress} />
        <li>
          for{' '}
          <strong>
            <Elapsed since={status.startTime} />
          </strong>
        </li>
        {node !== undefined && (
          <li>
            on <bdi>{node}</bdi>
          </li>
        )}
      </ul>
    </div>
  )
}

/** The rate of a run that tells none, from its start. */
function averageOf({ count, startTime }: Status): number | undefined {
  const elapsed = (seconds.value - startTime) / 1000
  return elapsed < 1 ? undefined : count / elapsed
}

/** How far a run is, where it tells that: by its records, or else by its partitions. */
function percentOf(status: Status): number | undefined {
  const { progress = {} } = detailOf(status)
  const total = numberOf(progress.total)
  const { done, all } = partsOf(progress)
  const byRecords = total ? (100 * status.count) / total : undefined
  // Before the first one is done, a bar that is empty would look as if nothing went on.
  const byParts = all && done ? (100 * done) / all : undefined
  const percent = numberOf(progress.percent) ?? byRecords ?? byParts
  return percent === undefined ? undefined : Math.min(100, percent)
}

/** Whether the share is one of the records, and can be told as such. */
function hasShare(status: Status): boolean {
  const { progress = {} } = detailOf(status)
  return Boolean(numberOf(progress.total)) || numberOf(progress.percent) !== undefined
}

function partsOf(progress: Readonly<Record<string, unknown>>): { done: number | undefined; all: number | undefined } {
  const { done, total } = fieldsOf(progress.parts)
  return { done: numberOf(done), all: numberOf(total) }
}

/** How far a run is, in a row of a table. */
export function RowProgress({ status }: { status: Status }) {
  const percent = percentOf(status)
  const { done, all } = partsOf(detailOf(status).progress ?? {})
  return (
    <span class="row-progress">
      <Bar percent={percent} label={`Progress of ${nameOf(status)}`} />
      {percent !== undefined && hasShare(status) ? (
        <span>{formatPercent(percent)}</span>
      ) : (
        all !== undefined && all > 0 && <span>{`${done} of ${all}`}</span>
      )}
    </span>
  )
}

/** What only the job itself knows. */
function ReportedFigures({ progress }: { progress: Readonly<Record<string, unknown>> }) {
  const { bytes, bytesPerSecond, lag, attempt, failed } = progress
  const { done, all } = partsOf(progress)
  const perSecond = numberOf(bytesPerSecond)
  return (
    <>
      {numberOf(bytes) !== undefined && (
        <Figure
          value={formatBytes(Number(bytes))}
          text={perSecond === undefined ? '' : `at ${formatBytes(perSecond)}/s`}
        />
      )}
      {all !== undefined && all > 0 && <Figure value={`${done} of ${all}`} text="partitions" />}
      {Number(failed) > 0 && <Figure value={formatCount(Number(failed))} text="failed" tone="is-error" />}
      {numberOf(lag) !== undefined && <Figure value={formatDuration(Number(lag))} text="behind" />}
      {Number(attempt) > 1 && <Figure value={`attempt ${attempt}`} />}
    </>
  )
}

function Figure(props: { value: string; text?: string; tone?: string; children?: ComponentChildren }) {
  const { value, text = '', tone = '', children } = props
  return (
    <li class={`figure ${tone}`}>
      <strong>{value}</strong> {text}
      {children}
    </li>
  )
}

/** A bar that fills, or that only shows that something goes on. */
export function Bar({ percent, label }: { percent: number | undefined; label: string }) {
  const value =
    percent === undefined
      ? {}
      : { 'aria-valuenow': Math.round(roundPercent(percent)), 'aria-valuemin': 0, 'aria-valuemax': 100 }
  return (
    <div class="bar" role="progressbar" aria-label={label} {...value}>
      <div
        class={percent === undefined ? 'bar-moving' : 'bar-fill'}
        style={percent === undefined ? {} : { width: `${percent}%` }}
      />
    </div>
  )
}

/** The rate over the whole run: as this page has seen it, and before that on average. It has its place from the first moment. */
export function Course({ jobKey, status }: { jobKey: string; status: Status }) {
  if (!hasRecords(status)) return null
  const { rates, hasBefore, duration } = courseOf(jobKey, status)
  const [first = { place: 1, rate: 0 }, ...later] = rates
  const max = Math.max(...rates.map(({ rate }) => rate), 0)
  const heightOf = (rate: number) => 55 - (52 * rate) / (max || 1)
  const pointsOf = (line: RunCourse['rates']) =>
    line.map(({ place, rate }) => `${600 * place},${heightOf(rate)}`).join(' ')
  const average = [{ ...first, place: 0 }, first]
  // What the page has seen begins where the average ends, as high as its first rate.
  const seen = hasBefore ? later.slice(0, 1).map(({ rate }) => ({ ...first, rate })) : average
  return (
    <div class="course">
      <svg viewBox="0 0 600 56" preserveAspectRatio="none" aria-hidden="true">
        <path d={`M0,56 L${pointsOf(hasBefore ? average : [])} ${pointsOf([...seen, ...later])} L600,56 Z`} />
        {hasBefore && <polyline class="course-before" points={pointsOf(average)} />}
        <polyline points={pointsOf([...seen, ...later])} />
      </svg>
      <div class="course-caption">
        <span>{formatDuration(duration)} ago</span>
        <span>
          {max === 0
            ? 'no rate yet'
            : later.length === 0
              ? `${formatRate(max)} on average`
              : `up to ${formatRate(max)}`}
          {hasBefore &&
            later.length > 0 &&
            first.place > 0.02 &&
            `, ${formatRate(first.rate)} on average before this page was opened`}
        </span>
        <span>now</span>
      </div>
    </div>
  )
}

/** A line of the last values. The figure beside it says the last one. Until there are some, it is even. */
function Sparkline({ values }: { values: readonly number[] }) {
  const [first = 0] = values
  const drawn = values.length < 2 ? [first, first] : values
  const max = Math.max(...values, 1)
  const points = drawn.map((value, index) => `${(index * 60) / (drawn.length - 1)},${15 - (13 * value) / max}`)
  return (
    <svg class="sparkline" viewBox="0 0 60 16" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points.join(' ')} />
    </svg>
  )
}

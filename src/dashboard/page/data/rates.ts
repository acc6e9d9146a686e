import { hasEnded } from '../../../wire/index.js'
import { now } from './clock.js'
import type { Status } from './detail.js'

/** How far a run was at a time. */
interface Sample {
  readonly time: number
  readonly count: number
}

/** How many samples a run keeps of late, and how far apart they are at least, in milliseconds. */
const maxSamples = 60
const apart = 900

/** How many samples it keeps of its whole course. At the limit, every other one goes, and the next ones are twice as far apart. */
const maxCourse = 120

/** Over how long a rate is measured, and how much of that it needs, in milliseconds: less than that shows single batches. */
const measured = 10_000
const enough = 8000

/** How long a run may have run when the page sees it first, so that its course counts as seen from the start, in milliseconds. */
const seenFromStart = 1500

/** What the page has seen of a run. Its course begins with its start. */
interface Run {
  readonly startTime: number
  /** How long it had run when the page saw it first, in milliseconds. */
  readonly before: number
  readonly samples: Sample[]
  course: Sample[]
  courseApart: number
}

const runs = new Map<string, Run>()

/** Notes how far a run is. */
export function addSample(key: string, status: Status): void {
  if (status.state === 'queued') return
  if (hasEnded(status)) return void runs.delete(key)
  const { startTime, count } = status
  const time = performance.now()
  let run = runs.get(key)
  if (run?.startTime !== startTime) {
    const before = Math.max(0, now() - startTime)
    const start = { time: time - before, count: 0 }
    run = { startTime, before, samples: before < seenFromStart ? [start] : [], course: [start], courseApart: apart }
    runs.set(key, run)
  }
  const last = run.samples.at(-1)
  if (last && time - last.time < apart) return
  run.samples.push({ time, count })
  if (run.samples.length > maxSamples) run.samples.shift()
  addToCourse(run, { time, count })
}

function addToCourse(run: Run, sample: Sample): void {
  const last = run.course.at(-1)
  if (last && sample.time - last.time < run.courseApart) return
  // The first event of a stream may be of before anything was saved: as an average, that would be wrong.
  if (run.course.length === 1 && sample.count === 0) return
  run.course.push(sample)
  if (run.course.length <= maxCourse) return
  // The start stays, and what came before the page was opened.
  run.course = run.course.filter((_, index) => index === 0 || index % 2 === 1)
  run.courseApart *= 2
}

/** How many records a run has read per second of late, once this page has seen enough of it. */
export function rateOf(key: string, { startTime }: Status): number | undefined {
  if (runs.get(key)?.startTime !== startTime) return undefined
  const { samples = [] } = runs.get(key) ?? {}
  const last = samples.at(-1)
  if (!last) return undefined
  const first = samples.find(({ time }) => last.time - time <= measured) ?? last
  const time = last.time - first.time
  return time < enough ? undefined : (1000 * (last.count - first.count)) / time
}

/** The rates of a run so far, for a sparkline: between each two samples. */
export function ratesOf(key: string): number[] {
  return ratesBetween(runs.get(key)?.samples ?? [])
}

/** The course of a run: its rates, each up to a place from 0, its start, to 1, now. */
export interface RunCourse {
  readonly rates: readonly { readonly place: number; readonly rate: number }[]
  /** Whether the first rate is the average from the start until the page has seen the run. */
  readonly hasBefore: boolean
  /** How long ago the run began, in milliseconds. */
  readonly duration: number
}

/** The course of a run. Until the page has seen two moments of it, the average from its start is known. */
export function courseOf(key: string, { startTime, count }: Status): RunCourse {
  const run = runs.get(key)
  const elapsed = Math.max(0, now() - startTime)
  const isSeen = run?.startTime === startTime && run.course.length > 1
  const course = isSeen
    ? run.course
    : [
        { time: 0, count: 0 },
        { time: elapsed, count },
      ]
  const hasBefore = isSeen ? run.before >= seenFromStart : elapsed >= seenFromStart
  const [first, last] = [course[0], course.at(-1)] as [Sample, Sample]
  const duration = last.time - first.time
  // A rate of less time would be that of one batch.
  if (duration < apart) return { rates: [], hasBefore: false, duration }
  const rates = ratesBetween(course).map((rate, index) => {
    const { time } = course[index + 1] as Sample
    return { place: (time - first.time) / duration, rate }
  })
  return { rates, hasBefore, duration }
}

function ratesBetween(samples: readonly Sample[]): number[] {
  return samples.slice(1).map(({ time, count }, index) => {
    const before = samples[index] as Sample
    return (1000 * Math.max(0, count - before.count)) / (time - before.time)
  })
}

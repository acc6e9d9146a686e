import { hasEnded } from '../../../wire/index.js'
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

/** Over how long a rate is measured, in milliseconds. */
const measured = 8000

/** What the page has seen of a run. */
interface Run {
  readonly startTime: number
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
  let run = runs.get(key)
  if (run?.startTime !== startTime) {
    run = { startTime, samples: [], course: [], courseApart: apart }
    runs.set(key, run)
  }
  const last = run.samples.at(-1)
  const time = performance.now()
  if (last && time - last.time < apart) return
  run.samples.push({ time, count })
  if (run.samples.length > maxSamples) run.samples.shift()
  addToCourse(run, { time, count })
}

function addToCourse(run: Run, sample: Sample): void {
  const last = run.course.at(-1)
  if (last && sample.time - last.time < run.courseApart) return
  run.course.push(sample)
  if (run.course.length <= maxCourse) return
  run.course = run.course.filter((_, index) => index % 2 === 0)
  run.courseApart *= 2
}

/** How many records a run has read per second of late, as this page has seen it. */
export function rateOf(key: string, { startTime }: Status): number | undefined {
  if (runs.get(key)?.startTime !== startTime) return undefined
  const { samples = [] } = runs.get(key) ?? {}
  const last = samples.at(-1)
  if (!last) return undefined
  const first = samples.find(({ time }) => last.time - time <= measured) ?? last
  return last === first ? undefined : (1000 * (last.count - first.count)) / (last.time - first.time)
}

/** The rates of a run so far, for a sparkline: between each two samples. */
export function ratesOf(key: string): number[] {
  return ratesBetween(runs.get(key)?.samples ?? [])
}

/** The rates over the whole run, as far as this page has seen it, and for how long that is in milliseconds. */
export function courseOf(key: string): { rates: number[]; duration: number } {
  const { course = [] } = runs.get(key) ?? {}
  return { rates: ratesBetween(course), duration: (course.at(-1)?.time ?? 0) - (course[0]?.time ?? 0) }
}

function ratesBetween(samples: readonly Sample[]): number[] {
  return samples.slice(1).map(({ time, count }, index) => {
    const before = samples[index] as Sample
    return (1000 * Math.max(0, count - before.count)) / (time - before.time)
  })
}

import { hasEnded } from '../../../wire/index.js'
import type { Status } from './detail.js'

/** How far a run was at a time. */
interface Sample {
  readonly time: number
  readonly count: number
}

/** How many samples a run keeps, and how far apart they are at least, in milliseconds. */
const maxSamples = 60
const apart = 900

/** Over how long a rate is measured, in milliseconds. */
const measured = 8000

const runs = new Map<string, { startTime: number; samples: Sample[] }>()

/** Notes how far a run is. */
export function addSample(key: string, status: Status): void {
  if (status.state === 'queued') return
  if (hasEnded(status)) return void runs.delete(key)
  const { startTime, count } = status
  let run = runs.get(key)
  if (run?.startTime !== startTime) {
    run = { startTime, samples: [] }
    runs.set(key, run)
  }
  const last = run.samples.at(-1)
  const time = performance.now()
  if (last && time - last.time < apart) return
  run.samples.push({ time, count })
  if (run.samples.length > maxSamples) run.samples.shift()
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
  const { samples = [] } = runs.get(key) ?? {}
  return samples.slice(1).map(({ time, count }, index) => {
    const before = samples[index] as Sample
    return (1000 * Math.max(0, count - before.count)) / (time - before.time)
  })
}

import type { BatchEvent, JobEvent } from '../index.js'
import { errorTypeOf, type InstrumentedRegistry, jobAttributes, names } from './attributes.js'
import type { TelemetryMeter } from './types.js'

/** Measures the executions of a registry. Returns a function that stops this. */
export function measureExecutions(registry: InstrumentedRegistry, meter: TelemetryMeter, withId: boolean): () => void {
  const meters = new ExecutionMeters(meter, withId)
  const stops = [
    registry.on('running', (event) => meters.begin(event)),
    registry.on('progress', (event) => meters.progress(event)),
    registry.on('aborted', (event) => meters.abort(event)),
    registry.on('error', (event) => meters.fail(event)),
    registry.on('successful', (event) => meters.end(event)),
    registry.onBatch((batch) => meters.batch(batch)),
  ]
  return () => {
    for (const stop of stops) stop()
    meters.forgetAll()
  }
}

/** Buckets from a tenth of a second to half a day, in seconds. Jobs take longer than the default buckets cover. */
const durations = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 43_200]

/** The buckets that the semantic conventions recommend for requests, in seconds. */
const batchDurations = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

/** The attributes of every measurement of a job. */
type Labels = ReturnType<typeof jobAttributes>

class ExecutionMeters {
  readonly #withId: boolean
  /** The running executions, each with the counted records. */
  readonly #running = new Map<string, { labels: Labels; counted: number }>()
  readonly #instruments: ReturnType<typeof instrumentsOf>

  constructor(meter: TelemetryMeter, withId: boolean) {
    this.#withId = withId
    this.#instruments = instrumentsOf(meter)
  }

  begin(event: JobEvent): void {
    const { executionId, count } = event.status
    const labels = this.#labelsOf(event)
    this.#running.set(executionId, { labels, counted: count })
    this.#instruments.running.add(1, labels)
  }

  progress({ status: { executionId, count } }: JobEvent): void {
    const known = this.#running.get(executionId)
    if (!known || count <= known.counted) return
    const more = count - known.counted
    known.counted = count
    this.#instruments.records.add(more, known.labels)
  }

  batch(batch: BatchEvent): void {
    this.#instruments.batchDuration.record(batch.duration / 1000, this.#labelsOf(batch))
  }

  abort(event: JobEvent): void {
    this.end(event)
    this.#instruments.aborts.add(1, this.#labelsOf(event))
  }

  fail(event: JobEvent & { cause?: unknown }): void {
    const errorType = { [names.errorType]: errorTypeOf(event.cause) }
    this.end(event, errorType)
    this.#instruments.failures.add(1, { ...this.#labelsOf(event), ...errorType })
  }

  end(event: JobEvent, more: Record<string, string> = {}): void {
    this.progress(event)
    const { status } = event
    const known = this.#running.get(status.executionId)
    if (!known || !('endTime' in status)) return
    this.#running.delete(status.executionId)
    this.#instruments.running.add(-1, known.labels)
    const seconds = Math.max(0, status.endTime - status.startTime) / 1000
    this.#instruments.duration.record(seconds, { ...known.labels, [names.state]: status.state, ...more })
  }

  /** Subtracts the running executions, whose ends will not be counted. */
  forgetAll(): void {
    const left = [...this.#running.values()]
    this.#running.clear()
    for (const { labels } of left) this.#instruments.running.add(-1, labels)
  }

  #labelsOf(job: JobEvent | BatchEvent): Labels {
    return jobAttributes(job, this.#withId)
  }
}

function instrumentsOf(meter: TelemetryMeter) {
  const execution = '{execution}'
  return {
    running: meter.createUpDownCounter('headgate.job.running', {
      unit: execution,
      description: 'Executions that run.',
    }),
    records: meter.createCounter('headgate.job.records', { unit: '{record}', description: 'Records processed.' }),
    failures: meter.createCounter('headgate.job.failures', { unit: execution, description: 'Executions that failed.' }),
    aborts: meter.createCounter('headgate.job.aborts', {
      unit: execution,
      description: 'Executions that were aborted.',
    }),
    duration: meter.createHistogram('headgate.job.duration', {
      unit: 's',
      description: 'How long executions ran.',
      advice: { explicitBucketBoundaries: durations },
    }),
    batchDuration: meter.createHistogram('headgate.batch.duration', {
      unit: 's',
      description: 'How long batches took until they were written.',
      advice: { explicitBucketBoundaries: batchDurations },
    }),
  }
}

import { metrics, trace } from '@opentelemetry/api'
import { checkOptions, rule } from '../index.js'
import type { TelemetryMeter, TelemetryTracer } from './_api.js'
import type { InstrumentedRegistry } from './_attributes.js'
import { measureExecutions } from './_metrics.js'
import { traceExecutions } from './_spans.js'

export type {
  TelemetryAttributes,
  TelemetryHistogram,
  TelemetryInstrumentOptions,
  TelemetryMeter,
  TelemetrySpan,
  TelemetrySpanContext,
  TelemetrySum,
  TelemetryTracer,
} from './_api.js'
export type { InstrumentedRegistry } from './_attributes.js'

/** How a registry is instrumented. */
export interface InstrumentOptions {
  /** Makes the spans. Default: the global tracer `headgate`, which does nothing until an SDK is there. */
  tracer?: TelemetryTracer
  /** Makes the instruments. Default: the meter `headgate` of the SDK that is there by now; without one, nothing is measured. */
  meter?: TelemetryMeter
  /** Whether metrics tell the ids of jobs, each of which makes series of its own. Default: no. Spans always do. */
  jobIds?: boolean
}

/**
 * Tells OpenTelemetry of the executions of a registry from now on: a span of each, and counters and histograms of all. Gives
 * the function that takes it off, and ends the spans that are open. What OpenTelemetry throws is logged by the registry, and hurts no job. Throws
 * `invalid_options`.
 */
export function instrument(registry: InstrumentedRegistry, options: InstrumentOptions = {}): () => void {
  checkOptions('arguments', { registry }, { registry: rule.having('on', 'onBatch') })
  checkOptions('options', options, {
    tracer: rule.optional(rule.having('startSpan')),
    meter: rule.optional(rule.having('createCounter', 'createUpDownCounter', 'createHistogram')),
    jobIds: rule.optional(rule.flag),
  })
  const { tracer = trace.getTracer('headgate'), meter = metrics.getMeter('headgate'), jobIds = false } = options
  const measureNoMore = measureExecutions(registry, meter, jobIds)
  const traceNoMore = traceExecutions(registry, tracer)
  return () => {
    measureNoMore()
    traceNoMore()
  }
}

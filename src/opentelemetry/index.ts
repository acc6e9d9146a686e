import { metrics, trace } from '@opentelemetry/api'
import { checkOptions, rule } from '../adapter.js'
import type { InstrumentedRegistry } from './attributes.js'
import { measureExecutions } from './metrics.js'
import { traceExecutions } from './spans.js'
import type { TelemetryMeter, TelemetryTracer } from './types.js'

export type { InstrumentedRegistry } from './attributes.js'
export type {
  TelemetryAttributes,
  TelemetryHistogram,
  TelemetryInstrumentOptions,
  TelemetryMeter,
  TelemetrySpan,
  TelemetrySpanContext,
  TelemetrySum,
  TelemetryTracer,
} from './types.js'

/** The options of {@link instrument}. */
export interface InstrumentOptions {
  /** Creates the spans. Default: the global tracer `headgate`, which does nothing until an SDK is registered. */
  tracer?: TelemetryTracer
  /** Creates the instruments. Default: the meter `headgate` of the SDK that is registered now. Without one, nothing is measured. */
  meter?: TelemetryMeter
  /** Whether metrics have the ids of jobs. Each id creates its own time series. Spans always have them. Default `false`. */
  jobIds?: boolean
}

/**
 * Reports the executions of a registry to OpenTelemetry from now on: a span for each, and counters and histograms of all. Returns a
 * function that stops this and ends the open spans. The registry logs errors of OpenTelemetry, and they never fail a job. Throws
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
  const stopMetrics = measureExecutions(registry, meter, jobIds)
  const stopSpans = traceExecutions(registry, tracer)
  return () => {
    stopMetrics()
    stopSpans()
  }
}

/** Attributes of spans, events and measurements. */
export type TelemetryAttributes = Record<string, string | number | boolean>

/** What is used of a tracer of OpenTelemetry. */
export interface TelemetryTracer {
  /** Begins a span. */
  startSpan(
    name: string,
    options?: { root?: boolean; attributes?: TelemetryAttributes; links?: { context: TelemetrySpanContext }[] },
  ): TelemetrySpan
}

/** What is used of a span of OpenTelemetry. */
export interface TelemetrySpan {
  setAttributes(attributes: TelemetryAttributes): unknown
  addEvent(name: string, attributes?: TelemetryAttributes): unknown
  setStatus(status: { code: number; message?: string }): unknown
  recordException(exception: { name: string; message: string; stack?: string }): void
  end(): void
}

/** What tells a span from others. */
export interface TelemetrySpanContext {
  traceId: string
  spanId: string
  traceFlags: number
}

/** What is used of a meter of OpenTelemetry. */
export interface TelemetryMeter {
  /** Makes a sum that only grows. */
  createCounter(name: string, options?: TelemetryInstrumentOptions): TelemetrySum
  /** Makes a sum that goes up and down. */
  createUpDownCounter(name: string, options?: TelemetryInstrumentOptions): TelemetrySum
  /** Makes a distribution. */
  createHistogram(name: string, options?: TelemetryInstrumentOptions): TelemetryHistogram
}

/** How an instrument is made. */
export interface TelemetryInstrumentOptions {
  description?: string
  unit?: string
  advice?: { explicitBucketBoundaries?: number[] }
}

/** What is used of a counter of OpenTelemetry. */
export interface TelemetrySum {
  add(value: number, attributes?: TelemetryAttributes): void
}

/** What is used of a histogram of OpenTelemetry. */
export interface TelemetryHistogram {
  record(value: number, attributes?: TelemetryAttributes): void
}

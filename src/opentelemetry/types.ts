/** Attributes of spans, events and measurements. */
export type TelemetryAttributes = Record<string, string | number | boolean>

/** The part of an OpenTelemetry tracer that headgate uses. */
export interface TelemetryTracer {
  /** Starts a span. */
  startSpan(
    name: string,
    options?: { root?: boolean; attributes?: TelemetryAttributes; links?: { context: TelemetrySpanContext }[] },
  ): TelemetrySpan
}

/** The part of an OpenTelemetry span that headgate uses. */
export interface TelemetrySpan {
  setAttributes(attributes: TelemetryAttributes): unknown
  addEvent(name: string, attributes?: TelemetryAttributes): unknown
  setStatus(status: { code: number; message?: string }): unknown
  recordException(exception: { name: string; message: string; stack?: string }): void
  end(): void
}

/** Identifies a span. */
export interface TelemetrySpanContext {
  traceId: string
  spanId: string
  traceFlags: number
}

/** The part of an OpenTelemetry meter that headgate uses. */
export interface TelemetryMeter {
  /** Creates a sum that only grows. */
  createCounter(name: string, options?: TelemetryInstrumentOptions): TelemetrySum
  /** Creates a sum that can fall. */
  createUpDownCounter(name: string, options?: TelemetryInstrumentOptions): TelemetrySum
  /** Creates a distribution. */
  createHistogram(name: string, options?: TelemetryInstrumentOptions): TelemetryHistogram
}

/** The options of an instrument. */
export interface TelemetryInstrumentOptions {
  description?: string
  unit?: string
  advice?: { explicitBucketBoundaries?: number[] }
}

/** The part of an OpenTelemetry counter that headgate uses. */
export interface TelemetrySum {
  add(value: number, attributes?: TelemetryAttributes): void
}

/** The part of an OpenTelemetry histogram that headgate uses. */
export interface TelemetryHistogram {
  record(value: number, attributes?: TelemetryAttributes): void
}

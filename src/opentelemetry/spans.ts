import { SpanStatusCode, trace } from '@opentelemetry/api'
import type { Redactor } from '../adapter.js'
import type { BatchEvent, JobEvent } from '../index.js'
import { errorTypeOf, type InstrumentedRegistry, jobAttributes, names, stackOf } from './attributes.js'
import type { TelemetrySpan, TelemetrySpanContext, TelemetryTracer } from './types.js'

/** Creates a span for every execution of a registry. Returns a function that stops this and ends the open spans. */
export function traceExecutions(registry: InstrumentedRegistry, tracer: TelemetryTracer): () => void {
  const spans = new ExecutionSpans(tracer, registry.redactor)
  const stops = [
    registry.on('queued', (event) => spans.wait(event)),
    registry.on('running', (event) => spans.begin(event)),
    registry.on('progress', (event) => spans.progress(event)),
    registry.on('aborting', (event) => spans.abort(event)),
    registry.on('aborted', (event) => spans.end(event)),
    registry.on('error', (event) => spans.fail(event)),
    registry.on('successful', (event) => spans.end(event)),
    registry.onBatch((batch) => spans.batch(batch)),
  ]
  return () => {
    for (const stop of stops) stop()
    spans.endAll()
  }
}

/** The span of one execution, and what it shows so far. */
interface OpenSpan {
  readonly span: TelemetrySpan
  readonly batches: Thinning
  readonly progress: Thinning
}

class ExecutionSpans {
  readonly #tracer: TelemetryTracer
  readonly #redactor: Redactor | undefined
  readonly #open = new Map<string, OpenSpan>()
  /** The span contexts that started the queued executions. */
  readonly #starters = new Map<string, TelemetrySpanContext | undefined>()

  constructor(tracer: TelemetryTracer, redactor: Redactor | undefined) {
    this.#tracer = tracer
    this.#redactor = redactor
  }

  wait({ status }: JobEvent): void {
    this.#starters.set(status.executionId, trace.getActiveSpan()?.spanContext())
  }

  begin({ type, id, status }: JobEvent): void {
    const { executionId, resumedFrom } = status
    const hasWaited = this.#starters.has(executionId)
    // A slot is given in the midst of another job's end: who asks then has started nothing.
    const starter = hasWaited ? this.#starters.get(executionId) : trace.getActiveSpan()?.spanContext()
    this.#starters.delete(executionId)
    const attributes = {
      ...jobAttributes({ type, id }, true),
      [names.executionId]: executionId,
      ...(resumedFrom !== undefined && { [names.resumedFrom]: resumedFrom }),
    }
    // A job outlives by far what started it, so that it is no part of it: they are linked.
    const links = starter ? [{ context: starter }] : []
    const span = this.#tracer.startSpan(`run ${type}`, { root: true, attributes, links })
    this.#open.set(executionId, { span, batches: new Thinning(), progress: new Thinning() })
  }

  progress({ status }: JobEvent): void {
    const open = this.#open.get(status.executionId)
    if (open?.progress.isShown()) open.span.addEvent('progress', { [names.count]: status.count })
  }

  batch({ executionId, records, duration }: BatchEvent): void {
    const open = this.#open.get(executionId)
    if (!open?.batches.isShown()) return
    open.span.addEvent('batch', { [names.batchRecords]: records, [names.batchDuration]: duration / 1000 })
  }

  abort({ status }: JobEvent): void {
    this.#open.get(status.executionId)?.span.addEvent('aborting')
  }

  fail(event: JobEvent & { status: { error: string[] }; cause?: unknown }): void {
    const { status, cause } = event
    const [message = ''] = status.error
    const type = errorTypeOf(cause)
    this.end(event, (span) => {
      span.setStatus({ code: SpanStatusCode.ERROR, message })
      span.setAttributes({ [names.errorType]: type })
      span.recordException({ name: type, message, ...stackOf(cause, this.#redactor) })
    })
  }

  end({ status }: JobEvent, tell: (span: TelemetrySpan) => void = () => {}): void {
    const { executionId, state, count } = status
    const open = this.#open.get(executionId)
    this.#open.delete(executionId)
    this.#starters.delete(executionId)
    if (!open) return
    const { span, batches } = open
    try {
      tell(span)
      span.setAttributes({ [names.state]: state, [names.count]: count, [names.batches]: batches.seen })
    } finally {
      span.end()
    }
  }

  endAll(): void {
    const left = [...this.#open.values()]
    this.#open.clear()
    this.#starters.clear()
    for (const { span } of left) span.end()
  }
}

/** Maximum number of events with one name in a span. */
const maxShown = 50

/** Samples repeated events: shows all of the first ones, then ever fewer. */
class Thinning {
  #seen = 0
  #shown = 0
  #next = 1

  /** How many events there were. */
  get seen(): number {
    return this.#seen
  }

  /** Whether to show the next event. */
  isShown(): boolean {
    this.#seen++
    if (this.#seen < this.#next || this.#shown === maxShown) return false
    this.#shown++
    this.#next = Math.ceil(this.#seen * 1.25)
    return true
  }
}

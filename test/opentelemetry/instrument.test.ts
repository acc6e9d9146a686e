import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, context, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { type JobContext, JobRegistry, type JobRegistryOptions, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { type InstrumentOptions, instrument } from 'headgate/opentelemetry'
import { fakeClock } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

/** A registry that is instrumented with an SDK which keeps what it is told. */
function open(options: InstrumentOptions = {}, registryOptions: Partial<JobRegistryOptions> = {}) {
  const clock = fakeClock(1_000_000)
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const datasources = { list: iterableDatasource([1, 2, 3, 4, 5].map((id) => ({ id }))) }
  const storage = memoryStorage({ clock })
  const registry = new JobRegistry({ storage, clock, logger, datasources, progressInterval: 0, ...registryOptions })
  onTestFinished(() => registry.close({ timeout: 0 }))

  const spanExporter = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] })
  const tracer = tracerProvider.getTracer('test')
  const { meter, measured } = newMeter()
  const stop = instrument(registry, { tracer, meter, ...options })

  /** Starts a job of type `copy`. */
  function start(id: string, run: (context: JobContext) => unknown) {
    registry.define({ type: 'copy', id, run })
    return registry.start('copy', id)
  }
  return { clock, logger, registry, tracer, stop, start, spans: () => spanExporter.getFinishedSpans(), measured }
}

function newMeter() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 })
  const provider = new MeterProvider({ readers: [reader] })
  onTestFinished(() => provider.shutdown())

  /** What was measured under a name: each value and its attributes; of a histogram, the count and the sum. */
  async function measured(name: string): Promise<[value: unknown, attributes: object][]> {
    exporter.reset()
    await reader.forceFlush()
    const metrics = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
    const points = metrics.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []
    return points.map(({ value, attributes }) => [
      typeof value === 'number' ? value : [value.count, value.sum],
      attributes,
    ])
  }
  return { meter: provider.getMeter('test'), measured }
}

const copy = { 'headgate.job.type': 'copy' }

/** A job that stands until it is aborted. */
const stand = ({ signal }: JobContext) => new Promise((end) => signal.addEventListener('abort', end))

describe('spans', () => {
  test('of an ingestion, with its batches', async () => {
    const { registry, clock, spans } = open()
    const target = () => new Promise<void>((resolve) => clock.setTimer(20, resolve))
    registry.define({ id: 'a', datasource: 'list', query: 'all', pkField: 'id', batchSize: 2, target })
    const { executionId, finished } = await registry.start('ingestion', 'a')
    for (let step = 0; step < 20; step++) await clock.advance(10)
    await finished
    const [span] = spans()
    expect(spans()).toHaveLength(1)
    expect([span?.name, span?.status.code, span?.ended]).toEqual(['run ingestion', SpanStatusCode.UNSET, true])
    expect(span?.attributes).toEqual({
      'headgate.job.type': 'ingestion',
      'headgate.job.id': 'a',
      'headgate.execution.id': executionId,
      'headgate.job.state': 'successful',
      'headgate.job.records': 5,
      'headgate.execution.batches': 3,
    })
    const batches = span?.events.filter(({ name }) => name === 'batch').map(({ attributes }) => attributes)
    expect(batches).toEqual(
      [2, 2, 1].map((records) => ({ 'headgate.batch.records': records, 'headgate.batch.duration': 0.02 })),
    )
    const progress = span?.events.filter(({ name }) => name === 'progress').map(({ attributes }) => attributes)
    expect(progress).toContainEqual({ 'headgate.job.records': 4 })
  })

  test('of a job that fails: what it threw, without secrets', async () => {
    const { start, spans } = open()
    const { finished } = await start('a', () => {
      throw new TypeError('no postgres://me:hunter2@db')
    })
    await finished
    const [span] = spans()
    expect(span?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'no postgres://me:***@db' })
    expect(span?.attributes).toMatchObject({ 'headgate.job.state': 'error', 'error.type': 'TypeError' })
    const [exception] = span?.events ?? []
    expect(exception?.name).toBe('exception')
    expect(exception?.attributes).toMatchObject({
      'exception.type': 'TypeError',
      'exception.message': 'no postgres://me:***@db',
      'exception.stacktrace': expect.stringContaining('instrument.test.ts'),
    })
    expect(JSON.stringify(span?.events)).not.toContain('hunter2')
  })

  test('of an ingestion that fails: the code of headgate', async () => {
    const { registry, spans } = open()
    const target = () => Promise.reject(new Error('full'))
    registry.define({ id: 'a', datasource: 'list', query: 'all', target })
    await (await registry.start('ingestion', 'a')).finished
    expect(spans()[0]?.attributes['error.type']).toBe('target')
  })

  test('of a job that is aborted', async () => {
    const { registry, start, spans } = open()
    await start('a', stand)
    await registry.abort('copy', 'a')
    const [span] = spans()
    expect(span?.status.code).toBe(SpanStatusCode.UNSET)
    expect(span?.attributes['headgate.job.state']).toBe('aborted')
    expect(span?.events.map(({ name }) => name)).toEqual(['aborting'])
  })

  test('of what never ran there are none', async () => {
    const { registry, start, spans } = open({}, { concurrency: 1 })
    await start('a', stand)
    await start('b', stand)
    await registry.abort('copy', 'b')
    expect(spans()).toEqual([])
  })

  test('show the first batches all, then ever fewer, and never more than they can hold', async () => {
    const { start, spans } = open()
    const { finished } = await start('a', ({ batchDone }) => {
      for (let batch = 1; batch <= 1_000_000; batch++) batchDone({ records: batch, duration: 1 })
    })
    await finished
    const shown = spans()[0]?.events.map(({ attributes }) => Number(attributes?.['headgate.batch.records'])) ?? []
    expect(shown.slice(0, 8)).toEqual([1, 2, 3, 4, 5, 7, 9, 12])
    expect(shown.length).toBe(50)
    expect(shown.at(-1)).toBeGreaterThan(100_000)
    expect(spans()[0]?.attributes['headgate.execution.batches']).toBe(1_000_000)
  })

  test('are roots that are linked to who started the job, also when it had to wait', async () => {
    useContexts()
    const { registry, tracer, start, spans } = open({}, { concurrency: 1 })
    const within = async (name: string, act: () => Promise<unknown>) => {
      const span = tracer.startSpan(name)
      await context.with(trace.setSpan(context.active(), span), act)
      span.end()
      return span.spanContext()
    }
    const first = await within('request 1', () => start('a', stand))
    const second = await within('request 2', () => start('b', () => {}))
    await within('request 3', () => registry.abort('copy', 'a'))
    await vi.waitFor(() => expect(spans().filter(({ name }) => name === 'run copy')).toHaveLength(2))
    const linksOf = (id: string) => {
      const span = spans().find(({ attributes }) => attributes['headgate.job.id'] === id)
      return [span?.parentSpanContext, span?.links.map(({ context }) => context.spanId)]
    }
    expect(linksOf('a')).toEqual([undefined, [first.spanId]])
    expect(linksOf('b')).toEqual([undefined, [second.spanId]])
  })
})

/** Lets OpenTelemetry know what is active across `await`, until the test has finished. */
function useContexts(): void {
  const contexts = new AsyncLocalStorage<Context>()
  context.setGlobalContextManager({
    active: () => contexts.getStore() ?? ROOT_CONTEXT,
    with: (active, act, self, ...args) => contexts.run(active, () => act.apply(self as never, args)),
    bind: (_, target) => target,
    enable: () => context as never,
    disable: () => context as never,
  })
  onTestFinished(() => context.disable())
}

describe('metrics', () => {
  test('of records, durations and batches', async () => {
    const { registry, clock, measured } = open()
    const target = () => new Promise<void>((resolve) => clock.setTimer(20, resolve))
    registry.define({ id: 'a', datasource: 'list', query: 'all', pkField: 'id', batchSize: 2, target })
    for (let run = 0; run < 2; run++) {
      const { finished } = await registry.start('ingestion', 'a')
      for (let step = 0; step < 20; step++) await clock.advance(10)
      await finished
    }
    const ingestion = { 'headgate.job.type': 'ingestion' }
    expect(await measured('headgate.job.records')).toEqual([[10, ingestion]])
    expect(await measured('headgate.batch.duration')).toEqual([[[6, expect.closeTo(0.12)], ingestion]])
    expect(await measured('headgate.job.duration')).toEqual([
      [[2, expect.closeTo(0.12)], { ...ingestion, 'headgate.job.state': 'successful' }],
    ])
    expect(await measured('headgate.job.running')).toEqual([[0, ingestion]])
    expect(await measured('headgate.job.failures')).toEqual([])
  })

  test('of records that only the end tells of', async () => {
    const { start, measured } = open({}, { progressInterval: 60_000 })
    await (await start('a', ({ progress }) => progress({ count: 3 }))).finished
    expect(await measured('headgate.job.records')).toEqual([[3, copy]])
  })

  test('of what runs, while it runs', async () => {
    const { registry, start, measured } = open({}, { concurrency: 2 })
    for (const id of ['a', 'b', 'c']) await start(id, stand)
    expect(await measured('headgate.job.running')).toEqual([[2, copy]])
    await registry.abort('copy', 'c')
    await registry.abort('copy', 'a')
    expect(await measured('headgate.job.running')).toEqual([[1, copy]])
    expect(await measured('headgate.job.aborts')).toEqual([[2, copy]])
  })

  test('of failures, by what went wrong', async () => {
    const { start, clock, measured } = open()
    const { finished } = await start('a', async ({ progress }) => {
      progress({ count: 3 })
      await new Promise<void>((resolve) => clock.setTimer(5000, resolve))
      throw new RangeError('no')
    })
    await clock.advance(5000)
    await finished
    const error = { 'error.type': 'RangeError' }
    expect(await measured('headgate.job.records')).toEqual([[3, copy]])
    expect(await measured('headgate.job.failures')).toEqual([[1, { ...copy, ...error }]])
    expect(await measured('headgate.job.duration')).toEqual([
      [[1, 5], { ...copy, ...error, 'headgate.job.state': 'error' }],
    ])
  })

  test.each([
    [() => Promise.reject('text'), '_OTHER'],
    [() => Promise.reject(Object.assign(new Error('no'), { name: '' })), '_OTHER'],
    [() => Promise.reject(null), '_OTHER'],
    [() => Promise.reject(new (class Refused extends TypeError {})()), 'Refused'],
    [() => Promise.reject(Object.assign(new Error('no'), { name: 'Refused' })), 'Refused'],
    [() => Promise.reject(new DOMException('no', 'TimeoutError')), 'TimeoutError'],
  ])('a failure has the name of its class as its type, or what the conventions foresee', async (run, type) => {
    const { start, measured } = open()
    await (await start('a', run)).finished
    expect(await measured('headgate.job.failures')).toEqual([[1, { ...copy, 'error.type': type }]])
  })

  test('tell ids only when asked to', async () => {
    const { start, measured } = open({ jobIds: true })
    await (await start('a', ({ batchDone }) => batchDone({ records: 1, duration: 5 }))).finished
    const withId = { ...copy, 'headgate.job.id': 'a' }
    expect(await measured('headgate.job.running')).toEqual([[0, withId]])
    expect(await measured('headgate.batch.duration')).toEqual([[[1, 0.005], withId]])
  })

  test('begin with what begins later', async () => {
    const { registry, start, stop, measured } = open()
    stop()
    let context!: JobContext
    const { finished } = await start('a', (given) => {
      context = given
      return stand(given)
    })
    const { meter, measured: measuredLater } = newMeter()
    instrument(registry, { meter })
    context.progress({ count: 7 })
    await registry.abort('copy', 'a')
    await finished
    expect(await measured('headgate.job.running')).toEqual([])
    for (const name of ['running', 'records', 'duration'])
      expect(await measuredLater(`headgate.job.${name}`)).toEqual([])
    expect(await measuredLater('headgate.job.aborts')).toEqual([[1, copy]])
  })
})

test('taken off, it ends what is open and hears no more', async () => {
  const { registry, start, stop, spans, measured } = open()
  await start('a', stand)
  stop()
  expect(spans().map(({ name, ended }) => [name, ended])).toEqual([['run copy', true]])
  expect(await measured('headgate.job.running')).toEqual([[0, copy]])
  await registry.abort('copy', 'a')
  await (await start('b', () => {})).finished
  stop()
  expect(spans()).toHaveLength(1)
  expect(await measured('headgate.job.running')).toEqual([[0, copy]])
  expect(await measured('headgate.job.aborts')).toEqual([])
})

describe('what OpenTelemetry throws', () => {
  const fail = () => {
    throw new Error('telemetry is broken')
  }
  const failing = { add: fail, record: fail }
  const meter = { createCounter: () => failing, createUpDownCounter: () => failing, createHistogram: () => failing }
  const span = { setAttributes: fail, addEvent: fail, setStatus: fail, recordException: fail, end: fail }

  test.each([
    ['by the meter', { meter }],
    ['at the beginning of a span', { tracer: { startSpan: fail } }],
    ['by a span', { tracer: { startSpan: () => span } }],
  ])('%s is logged and hurts no job', async (_, options) => {
    const { registry, start, logger } = open(options)
    const { finished } = await start('a', ({ progress, batchDone }) => {
      progress({ count: 1 })
      batchDone({ records: 1, duration: 1 })
    })
    expect(await finished).toMatchObject({ state: 'successful', count: 1 })
    await start('b', stand)
    expect(await registry.abort('copy', 'b')).toMatchObject({ state: 'aborted' })
    const failed = await start('c', () => Promise.reject(new Error('no')))
    expect(await failed.finished).toMatchObject({ state: 'error', error: ['no'] })
    expect(logger.error).toHaveBeenCalledWith(
      expect.objectContaining({ error: ['telemetry is broken'] }),
      'A listener to job [copy/a] threw.',
    )
  })
})

test('without an SDK, nothing happens', async () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close())
  const stop = instrument(registry)
  registry.define({ type: 'copy', id: 'a', run: () => {} })
  expect((await (await registry.start('copy', 'a')).finished).state).toBe('successful')
  stop()
})

test.each([
  [{ tracer: {} }, 'Expected `tracer` to be an object with the method `startSpan`'],
  [{ meter: {} }, 'Expected `meter` to be an object with the methods `createCounter`'],
  [{ jobIds: 1 }, 'Expected `jobIds` to be true or false, got `1` (number)'],
  [{ spans: 1 }, 'Expected `options` to be an object with `tracer`, `meter`, `jobIds`, got `spans`'],
])('%j is refused', (options, message) => {
  expect(() => open(options as never)).toThrow(message)
})

test('what is no registry is refused', () => {
  expect(() => instrument({} as JobRegistry)).toThrow('Expected `registry` to be an object with the methods `on`')
})

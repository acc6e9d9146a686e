import { type Job, JobRegistry, memoryStorage } from 'headgate'
import { fakeClock, heldJob, testDatasource } from 'headgate/testing'
import { expect, onTestFinished, test, vi } from 'vitest'

function open(storage = memoryStorage(), clock = fakeClock()) {
  const registry = new JobRegistry({ storage, clock, lease: 600_000 })
  onTestFinished(() => registry.close())
  return registry
}

/** A job that keeps the parameters that it receives. */
function seeing(more: Partial<Job> = {}) {
  const seen: unknown[] = []
  const job: Job = { type: 'test', id: 'a', run: ({ params }) => void seen.push(params), ...more }
  return { seen, job }
}

/** A schema with a text `customer`, and a default of `since`. */
const schema = {
  '~standard': {
    version: 1 as const,
    vendor: 'test',
    validate: (value: unknown) =>
      typeof Object(value).customer === 'string'
        ? { value: { since: '2020', ...Object(value) } }
        : { issues: [{ message: 'expected a text', path: ['customer'] }] },
  },
}

test('a job receives its parameters, and the status shows them', async () => {
  const registry = open()
  const { job, seen } = seeing()
  registry.define(job)
  const { status, finished } = await registry.start('test', 'a', { params: { customer: 'acme' } })
  expect([status.params, (await finished).params]).toEqual([{ customer: 'acme' }, { customer: 'acme' }])
  expect(await (await registry.start('test', 'a')).finished).not.toHaveProperty('params')
  expect(seen).toEqual([{ customer: 'acme' }, {}])
})

test('a schema validates them, and the job receives what it returns', async () => {
  const registry = open()
  const { job, seen } = seeing({ params: schema })
  registry.define(job)
  const { finished } = await registry.start('test', 'a', { params: { customer: 'acme' } })
  expect(await finished).toMatchObject({ state: 'successful', params: { customer: 'acme' } })
  expect(seen).toEqual([{ customer: 'acme', since: '2020' }])
  for (const params of [undefined, {}, { customer: 1 }]) {
    const start = registry.start('test', 'a', params && { params })
    await expect(start).rejects.toMatchObject({
      code: 'invalid_options',
      message: expect.stringContaining('`params.customer`'),
    })
  }
})

test.each([
  [{ at: new Date(0) }, '`params.at`'],
  [{ list: [new Map()] }, '`params.list[0]`'],
  [[1], '`params`'],
  ['x', '`params`'],
  [{ text: 'x'.repeat(10_000) }, '`params`'],
])('refuses parameters that are not kept: %#', async (params, name) => {
  const registry = open()
  registry.define(seeing().job)
  await expect(registry.start('test', 'a', { params: params as never })).rejects.toThrow(`Expected ${name} to be a`)
})

test('refuses parameters of an answer that hides a secret or leaves something out', async () => {
  const registry = open()
  const { job, seen } = seeing()
  registry.define(job)
  const start = (params: object) => registry.start('test', 'a', { params: params as never })
  for (const params of [
    { of: { token: '***' } },
    { of: { token: `${'x'.repeat(9)} (shortened from 900 characters)` } },
  ]) {
    await expect(start(params)).rejects.toMatchObject({
      code: 'invalid_options',
      message: expect.stringContaining('Expected `params.of.token` to be the value itself'),
    })
  }
  expect(seen).toEqual([])
  const { finished } = await start({ title: '*** Sale ***' })
  expect(await finished).toMatchObject({ state: 'successful' })
})

test('a retry, a queued start and a takeover use them', async () => {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const first = open(storage, clock)
  first.define(heldJob({ type: 'test', id: 'a', resume: 'auto' }).job)
  await first.start('test', 'a', { params: { customer: 'acme' } })
  await first.close()
  const second = open(memoryStorage({ clock }), clock)
  const again = new JobRegistry({ storage, clock, concurrency: 1 })
  onTestFinished(() => again.close())
  const seen: unknown[] = []
  const run = vi.fn(({ params }) => {
    seen.push(params)
    if (run.mock.calls.length === 1) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
  })
  again.define({ type: 'test', id: 'a', resume: 'auto', run })
  await clock.advance(120_000)
  expect(seen).toEqual([{ customer: 'acme' }, { customer: 'acme' }])
  expect(await again.status('test', 'a')).toMatchObject({ state: 'successful', params: { customer: 'acme' } })
  expect(second.has('test')).toBe(false)
})

test('parameters that the schema of another version refuses fail the execution, and nothing else', async () => {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const old = open(storage, clock)
  old.define(heldJob({ type: 'test', id: 'a', resume: 'auto' }).job)
  await old.start('test', 'a', { params: { client: 'acme' } })
  await old.close()
  const newer = open(storage, clock)
  const { job, seen } = seeing({ params: schema, resume: 'auto' })
  newer.define(job)
  await clock.advance(600_000)
  const { state, error = [] } = (await newer.status('test', 'a')) as { state: string; error?: string[] }
  expect([state, error[0]]).toEqual([
    'error',
    'The parameters of this execution do not fit the job as it is defined here.',
  ])
  expect(error[1]).toContain('`params.customer`')
  expect(seen).toEqual([])
  const { finished } = await newer.start('test', 'a', { params: { customer: 'acme' } })
  expect(await finished).toMatchObject({ state: 'successful' })
})

test('a schedule gives parameters', async () => {
  const clock = fakeClock()
  const registry = open(memoryStorage({ clock }), clock)
  const { job, seen } = seeing({ schedule: { every: 1000, params: { customer: 'acme' } } })
  registry.define(job)
  await clock.advance(1000)
  expect(seen).toEqual([{ customer: 'acme' }])
  const bad = { every: 1000, params: { at: new Date(0) } }
  expect(() => registry.define({ ...job, id: 'b', schedule: bad })).toThrow('`params.at`')
})

test('the schema refuses the parameters of a schedule when the job is defined', async () => {
  const registry = open()
  const { job } = seeing({ params: schema })
  const scheduled = (params?: object) => () =>
    registry.define({ ...job, schedule: { every: 1000, ...(params && { params }) } } as Job)
  const message =
    'Expected `schedule.params` to match the schema of the job. `schedule.params.customer`: expected a text'
  expect(scheduled({ customer: 7 })).toThrow(message)
  expect(scheduled()).toThrow(message)
  expect(registry.has('test', 'a')).toBe(false)
  scheduled({ customer: 'acme' })()
  registry.define({ ...job, id: 'b', schedule: { every: 1000, enabled: false } })
})

test('a schema that answers later has its refusal logged', async () => {
  const error = vi.fn()
  const logger = { debug() {}, info() {}, warn() {}, error }
  const registry = new JobRegistry({ storage: memoryStorage(), clock: fakeClock(), logger })
  onTestFinished(() => registry.close())
  const { validate } = schema['~standard']
  const later = { '~standard': { ...schema['~standard'], validate: async (value: unknown) => validate(value) } }
  const { job } = seeing({ params: later })
  registry.define({ ...job, schedule: { every: 1000, params: { customer: 7 } } })
  await vi.waitFor(() => expect(error).toHaveBeenCalled())
  expect(error.mock.calls).toEqual([
    [
      {
        type: 'test',
        id: 'a',
        error: [expect.stringContaining('Expected `schedule.params` to match the schema of the job.')],
      },
      'The schedule of job [test/a] cannot start it.',
    ],
  ])
})

test('an ingestion gives them to its query, its transform and its target, and refuses a start without them', async () => {
  const registry = open()
  const seen: unknown[] = []
  const datasource = testDatasource([{ id: 1 }])
  const query = vi.fn(({ params }) => ({ text: 'all', values: [params.customer] }))
  registry.define({
    id: 'a',
    datasource,
    pkField: 'id',
    query,
    transform: (record, { params }) => ({ ...record, ...params }),
    target: (batch, { params }) => void seen.push(batch.records(), params),
  })
  const { finished } = await registry.start('ingestion', 'a', { params: { customer: 'acme' } })
  expect(await finished).toMatchObject({ state: 'successful' })
  expect(query).toHaveBeenCalledWith(expect.objectContaining({ params: { customer: 'acme' } }))
  expect(seen).toEqual([[{ id: 1, customer: 'acme' }], { customer: 'acme' }])
  registry.define({ id: 'b', datasource, query: 'select {{params.customer}}', target: () => undefined })
  await expect(registry.start('ingestion', 'b')).rejects.toThrow('Expected `params.customer` to be given')
  const schedule = { every: 1000 }
  const scheduled = { id: 'c', datasource, query: 'select {{params.customer}}', target: () => undefined, schedule }
  expect(() => registry.define(scheduled)).toThrow('Expected `params.customer` to be given')
})

test('an attempt cannot change the parameters of the next one', async () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close())
  const seen: unknown[] = []
  const run = ({ params }: { params: { ids?: number[] } }) => {
    seen.push(JSON.stringify(params))
    params.ids?.pop()
  }
  registry.define({ type: 'test', id: 'a', run: run as never, retry: { limit: 1, delay: 0, isTransient: () => true } })
  const { finished } = await registry.start('test', 'a', { params: { ids: [10, 90] } })
  expect(await finished).toMatchObject({ state: 'error', error: [expect.stringContaining('Cannot delete property')] })
  expect(seen).toEqual(['{"ids":[10,90]}', '{"ids":[10,90]}'])
})

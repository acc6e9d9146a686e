import {
  type EndedStatus,
  type IngestionDetail,
  type IngestionStatus,
  isEnded,
  isIngestion,
  isLive,
  type Job,
  type JobContext,
  type JobDetail,
  JobRegistry,
  type JobStatus,
  type LiveStatus,
  memoryStorage,
  type RunningStatus,
  type Schedule,
  type StandardSchema,
  type StartedExecution,
} from 'headgate'
import { expect, expectTypeOf, it, onTestFinished } from 'vitest'

/** An interface, which has no index signature. */
interface Checkpoint {
  page: number
}
interface Detail {
  pages: number
}

function jobRegistry(): JobRegistry {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close())
  return registry
}

const run = () => undefined
const base = { startTime: 0, infos: 'The job is running.', count: 0 }

it('isEnded and isLive narrow a status', () => {
  const shown = (status: JobStatus) => {
    if (isEnded(status)) {
      expectTypeOf(status).toExtend<EndedStatus>()
      expectTypeOf(status.endTime).toBeNumber()
    } else expectTypeOf(status).toEqualTypeOf<LiveStatus>()
    if (isLive(status)) expectTypeOf(status.state).toEqualTypeOf<'queued' | 'running' | 'aborting'>()
    if (isEnded(status.state)) expectTypeOf(status.state).toEqualTypeOf<EndedStatus['state']>()
  }
  expectTypeOf(shown).toBeFunction()
})

it('every status has detail', () => {
  expectTypeOf<JobStatus['detail']>().toEqualTypeOf<JobDetail | undefined>()
  expectTypeOf<JobStatus<Detail>['detail']>().toEqualTypeOf<Detail | undefined>()
})

it('a job types its checkpoint and its detail', () => {
  const registry = jobRegistry()
  const job: Job<Checkpoint, Detail> = {
    type: 'report',
    id: 'a',
    run(context) {
      expectTypeOf(context.checkpoint).toEqualTypeOf<Checkpoint | undefined>()
      expectTypeOf(context.status.detail).toEqualTypeOf<Detail | undefined>()
      context.progress({ checkpoint: { page: 1 }, detail: { pages: 1 } })
      context.progress({ checkpoint: null })
      // @ts-expect-error The checkpoint has a page.
      context.progress({ checkpoint: { pages: 1 } })
      // @ts-expect-error The detail has pages.
      context.progress({ detail: { page: 1 } })
    },
  }
  registry.define(job)
  registry.define({
    type: 'report',
    id: 'b',
    run(context) {
      expectTypeOf(context).toEqualTypeOf<JobContext>()
      expectTypeOf(context.checkpoint).toBeUnknown()
    },
  })
  registry.define({ type: 'report', id: 'c', run: (context: JobContext<Checkpoint>) => context.checkpoint?.page })
})

it('a job types its parameters, by its third type argument or by its schema', () => {
  interface Params {
    customer: string
  }
  const registry = jobRegistry()
  const params: StandardSchema<unknown, Params> = {
    '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as Params }) },
  }
  const job: Job<Checkpoint, Detail, Params> = {
    type: 'report',
    id: 'a',
    params,
    run(context) {
      expectTypeOf(context.params).toEqualTypeOf<Params>()
      expectTypeOf(context.checkpoint).toEqualTypeOf<Checkpoint | undefined>()
    },
  }
  registry.define(job)
  registry.define({ type: 'report', id: 'b', params, run: (context) => context.params.customer })
  registry.define<Checkpoint, Detail, Params>({ type: 'report', id: 'c', params, run: (job) => job.params.customer })
  const untyped: Job<Checkpoint, Detail> = { type: 'report', id: 'd', run: ({ params: { customer } }) => customer }
  expectTypeOf<Parameters<typeof untyped.run>[0]['params']['customer']>().toBeUnknown()
  // @ts-expect-error The schema gives no `shop`.
  registry.define({ type: 'report', id: 'e', params, run: (context) => context.params.shop })
})

it('the type arguments of `define` are those of a job with `run`', () => {
  const registry = jobRegistry()
  registry.define<Checkpoint, Detail>({
    type: 'report',
    id: 'a',
    run({ checkpoint, progress }) {
      expectTypeOf(checkpoint).toEqualTypeOf<Checkpoint | undefined>()
      progress({ checkpoint: { page: 1 }, detail: { pages: 1 } })
      // @ts-expect-error The checkpoint has a page.
      progress({ checkpoint: { pgae: 1 } })
    },
  })
})

it('the calls about an ingestion type its detail', () => {
  const registry = jobRegistry()
  const calls = {
    start: () => registry.start('ingestion', 'a'),
    status: () => registry.status('ingestion', 'a'),
    running: () => registry.running('ingestion'),
    abort: () => registry.abort('ingestion', 'a', { timeout: 0 }),
    reset: () => registry.reset('ingestion', 'a'),
    search: () => registry.search({ type: 'ingestion', state: 'error' }),
  }
  expectTypeOf(calls.start).returns.resolves.toEqualTypeOf<StartedExecution<IngestionDetail>>()
  expectTypeOf<StartedExecution<IngestionDetail>['finished']>().resolves.toEqualTypeOf<EndedStatus<IngestionDetail>>()
  expectTypeOf<StartedExecution<IngestionDetail>['status']>().toEqualTypeOf<JobStatus<IngestionDetail>>()
  expectTypeOf(calls.status).returns.resolves.toEqualTypeOf<JobStatus<IngestionDetail> | undefined>()
  expectTypeOf(calls.running).returns.resolves.toEqualTypeOf<LiveStatus<IngestionDetail>[]>()
  expectTypeOf(calls.abort).returns.resolves.toEqualTypeOf<JobStatus<IngestionDetail> | undefined>()
  expectTypeOf(calls.reset).returns.resolves.toEqualTypeOf<JobStatus<IngestionDetail> | undefined>()
  expectTypeOf(calls.search).returns.resolves.toHaveProperty('hits').toEqualTypeOf<JobStatus<IngestionDetail>[]>()
  expectTypeOf<JobStatus<IngestionDetail>['detail']>().toEqualTypeOf<IngestionDetail | undefined>()
})

it('the calls about a job of a type of your own take the type of its detail', () => {
  const registry = jobRegistry()
  const calls = {
    start: () => registry.start<Detail>('report', 'a'),
    status: () => registry.status<Detail>('report', 'a'),
    running: () => registry.running<Detail>('report'),
    abort: () => registry.abort<Detail>('report', 'a', { timeout: 0 }),
    reset: () => registry.reset<Detail>('report', 'a'),
    search: () => registry.search<Detail>({ type: 'report', state: 'error' }),
  }
  expectTypeOf(calls.start).returns.resolves.toEqualTypeOf<StartedExecution<Detail>>()
  expectTypeOf(calls.status).returns.resolves.toEqualTypeOf<JobStatus<Detail> | undefined>()
  expectTypeOf(calls.running).returns.resolves.toEqualTypeOf<LiveStatus<Detail>[]>()
  expectTypeOf(calls.abort).returns.resolves.toEqualTypeOf<JobStatus<Detail> | undefined>()
  expectTypeOf(calls.reset).returns.resolves.toEqualTypeOf<JobStatus<Detail> | undefined>()
  expectTypeOf(calls.search).returns.resolves.toHaveProperty('hits').toEqualTypeOf<JobStatus<Detail>[]>()
})

it('a detail of which nothing is known is a JSON object', () => {
  const registry = jobRegistry()
  const calls = {
    start: () => registry.start('report', 'a'),
    status: (type: string) => registry.status(type, 'a'),
    running: () => registry.running('report'),
    search: () => registry.search(),
    found: (type: string) => registry.search({ type }),
  }
  expectTypeOf(calls.start).returns.resolves.toEqualTypeOf<StartedExecution>()
  expectTypeOf(calls.status).returns.resolves.toEqualTypeOf<JobStatus | undefined>()
  expectTypeOf(calls.running).returns.resolves.toEqualTypeOf<LiveStatus[]>()
  expectTypeOf(calls.search).returns.resolves.toHaveProperty('hits').toEqualTypeOf<JobStatus[]>()
  expectTypeOf(calls.found).returns.resolves.toHaveProperty('hits').toEqualTypeOf<JobStatus[]>()
})

it('isIngestion narrows the status of an event and of a list', async () => {
  const registry = jobRegistry()
  registry.on('progress', ({ status }) => {
    if (!isIngestion(status)) return
    expectTypeOf(status.detail).toEqualTypeOf<IngestionDetail | undefined>()
    expectTypeOf(status.state).toEqualTypeOf<'running' | 'aborting'>()
  })
  registry.on('error', ({ status }) => {
    if (isIngestion(status)) expectTypeOf(status.detail).toEqualTypeOf<IngestionDetail | undefined>()
    expectTypeOf(status.error).toEqualTypeOf<string[]>()
  })
  registry.on('status', ({ status }) => {
    if (isIngestion(status)) expectTypeOf(status).toEqualTypeOf<IngestionStatus>()
    else expectTypeOf(status).toEqualTypeOf<JobStatus>()
  })
  for (const { status } of await registry.jobs()) {
    if (status && isIngestion(status)) expectTypeOf(status.detail?.percent).toEqualTypeOf<number | undefined>()
  }
})

it('isIngestion goes by the type of the job', () => {
  const status: RunningStatus = { ...{ state: 'running', type: 'ingestion', id: 'a', executionId: 'a0' }, ...base }
  expect(isIngestion(status)).toBe(true)
  expect(isIngestion({ ...status, type: 'report' })).toBe(false)
})

it('a schedule has a time', () => {
  expectTypeOf<{ cron: string; timeZone: string }>().toExtend<Schedule>()
  expectTypeOf<{ every: number; enabled: boolean }>().toExtend<Schedule>()
  expectTypeOf<Record<never, never>>().not.toExtend<Schedule>()
  expectTypeOf<{ enabled: boolean }>().not.toExtend<Schedule>()
  expectTypeOf<{ cron: string; every: number }>().not.toExtend<Schedule>()
  expectTypeOf<{ every: number; timeZone: string }>().not.toExtend<Schedule>()
  const job: Job = { type: 'report', id: 'a', schedule: { every: 1000 }, run }
  // @ts-expect-error It has no time.
  job.schedule = {}
})

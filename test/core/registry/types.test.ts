import {
  type EndedStatus,
  isEnded,
  isLive,
  type Job,
  type JobContext,
  type JobDetail,
  JobRegistry,
  type JobStatus,
  type LiveStatus,
  memoryStorage,
  type Schedule,
} from 'headgate'
import { expectTypeOf, it, onTestFinished } from 'vitest'

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

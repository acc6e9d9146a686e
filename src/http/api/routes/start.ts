import { foundBody } from '../../../wire/index.js'
import { detail, flag } from '../parameters.js'
import { defineRoute } from '../route.js'

export const start = defineRoute({
  name: 'start',
  method: 'POST',
  path: '/{type}/{id}/_start',
  action: 'start',
  summary: 'Starts a job.',
  parameters: {
    force: flag('force', 'Whether the job starts although it is paused. Default: `false`.'),
    fullRefresh: flag('full_refresh', 'Whether to read everything again, from the beginning. Default: `false`.'),
    detail,
  },
  answers: {
    201: { description: 'The job runs, or is queued for a free slot.', body: 'Job' },
    404: { description: 'The job is not defined in the registry that answers.', body: 'Error' },
    409: { description: 'The job already runs, in a process that shares the storage, or is paused.', body: 'Error' },
  },

  async answer({ registry, job: { type, id }, options: { detail: _, ...options }, detailOf, limiter, request }) {
    const { status } = await limiter.run(() => registry.start(type, id, options), request)
    return { status: 201, body: foundBody(type, id, status, detailOf) }
  },
})

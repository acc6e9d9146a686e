import type { StartOptions } from '../../../index.js'
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
  requestBody: 'StartRequest',
  answers: {
    201: { description: 'The job runs, or is queued for a free slot.', body: 'Job' },
    404: { description: 'The job is not defined in the registry that answers.', body: 'Error' },
    409: { description: 'The job already runs, in a process that shares the storage, or is paused.', body: 'Error' },
    413: { description: 'The body of the request is longer than 65,536 bytes.', body: 'Error' },
    415: { description: 'The body of the request is not of the type application/json.', body: 'Error' },
  },

  async answer({ registry, job: { type, id }, options: { detail: _, ...flags }, body, detailOf, limiter, request }) {
    const reading = body('params')
    const read = reading instanceof Promise ? await reading : reading
    if ('refusal' in read) return { status: read.refusal.status, body: read.refusal }
    const options: StartOptions = { ...flags, ...(read.fields as Pick<StartOptions, 'params'>) }
    const { status } = await limiter.run(() => registry.start(type, id, options), request)
    return { status: 201, body: foundBody(type, id, status, detailOf) }
  },
})

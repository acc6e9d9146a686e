import { foundBody, notFoundBody } from '../../../wire/index.js'
import { detail, includeQueued } from '../parameters.js'
import { defineRoute } from '../route.js'

export const status = defineRoute({
  name: 'status',
  method: 'GET',
  path: '/{type}/{id}',
  action: 'read',
  summary: 'Returns the status of the running execution of a job, or of its last execution.',
  parameters: { includeQueued, detail },
  answers: {
    200: { description: 'The job, with its status if it has run.', body: 'Job' },
    404: { description: 'The job is not defined and has never run.', body: 'UnknownJob' },
  },

  async answer({ registry, job: { type, id }, options, detailOf, limiter, request }) {
    const status = await limiter.run(() => registry.status(type, id), request)
    if (!status && !registry.has(type, id)) return { status: 404, body: notFoundBody(type, id) }
    const isHidden = status?.state === 'queued' && !options.includeQueued
    if (!isHidden) return { status: 200, body: foundBody(type, id, status, detailOf) }
    const { hits } = await limiter.run(() => registry.search({ type, id, size: 1 }), request)
    return { status: 200, body: foundBody(type, id, hits[0], detailOf) }
  },
})

import { pausedBody, unpausedBody } from '../../../wire/index.js'
import { shortText } from '../parameters.js'
import { defineRoute, methodOf } from '../route.js'

const parameters = {
  reason: shortText('reason', 'The reason, for people.'),
  by: shortText('by', 'Who pauses.'),
}

const unsupported = { description: 'The storage of the registry does not store pauses.', body: 'Error' } as const

const unknown = { description: 'The job is not defined and has never run.', body: 'Error' } as const

export const pause = defineRoute({
  name: 'pause',
  method: 'POST',
  path: '/{type}/{id}/_pause',
  action: 'pause',
  summary: 'Pauses a job in all processes that share the storage. What runs goes on.',
  parameters,
  answers: { 200: { description: 'The job is paused.', body: 'Paused' }, 404: unknown, 501: unsupported },

  async answer({ registry, job: { type, id }, options, limiter, request }) {
    const pause = methodOf(registry, 'pause')
    return { status: 200, body: pausedBody(await limiter.run(() => pause(type, id, options), request), type, id) }
  },
})

export const unpause = defineRoute({
  name: 'unpause',
  method: 'POST',
  path: '/{type}/{id}/_unpause',
  action: 'pause',
  summary: 'Ends the pause of a job.',
  parameters: {},
  answers: {
    200: { description: 'The job is not paused by itself.', body: 'Unpaused' },
    404: unknown,
    501: unsupported,
  },

  async answer({ registry, job: { type, id }, limiter, request }) {
    const unpause = methodOf(registry, 'unpause')
    return { status: 200, body: unpausedBody(await limiter.run(() => unpause(type, id), request), type, id) }
  },
})

export const pauseAll = defineRoute({
  name: 'pauseAll',
  method: 'POST',
  path: '/_pause',
  action: 'pause',
  summary: 'Pauses all jobs in all processes that share the storage. What runs goes on.',
  parameters,
  answers: { 200: { description: 'All jobs are paused.', body: 'Paused' }, 501: unsupported },

  async answer({ registry, options, limiter, request }) {
    const pauseAll = methodOf(registry, 'pauseAll')
    return { status: 200, body: pausedBody(await limiter.run(() => pauseAll(options), request)) }
  },
})

export const unpauseAll = defineRoute({
  name: 'unpauseAll',
  method: 'POST',
  path: '/_unpause',
  action: 'pause',
  summary: 'Ends the pause of all jobs. Jobs that were paused by themselves stay paused.',
  parameters: {},
  answers: { 200: { description: 'There is no pause of all jobs.', body: 'Unpaused' }, 501: unsupported },

  async answer({ registry, limiter, request }) {
    const unpauseAll = methodOf(registry, 'unpauseAll')
    return { status: 200, body: unpausedBody(await limiter.run(() => unpauseAll(), request)) }
  },
})

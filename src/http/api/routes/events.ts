import { includeQueued, jobFilter, state } from '../parameters.js'
import { defineRoute } from '../route.js'

/** Proxies must not buffer the stream, for compression or otherwise. */
const headers = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
}

export const events = defineRoute({
  name: 'events',
  method: 'GET',
  path: '/_events',
  action: 'events',
  summary: 'Streams the changes of jobs as server-sent events.',
  parameters: { ...jobFilter, state: state('Only executions in this state. Default: every state.'), includeQueued },
  answers: { 200: { description: 'A stream of server-sent events.', mediaType: 'text/event-stream' } },

  async answer({ options: filter, broadcaster, request }) {
    await broadcaster.check({ opens: request.method !== 'HEAD' })
    return { status: 200, body: broadcaster.stream(filter, request.headers.get('last-event-id')), headers }
  },
})

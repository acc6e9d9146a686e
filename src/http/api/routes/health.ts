import { healthBody } from '../../../wire/index.js'
import { duration } from '../parameters.js'
import { defineRoute } from '../route.js'

export const health = defineRoute({
  name: 'health',
  method: 'GET',
  path: '/_health',
  action: 'read',
  summary: 'Returns the health of the registry that answers.',
  parameters: { timeout: duration('timeout', 'How long to wait for the storage. Default: `1s`.') },
  answers: {
    200: { description: 'The registry is healthy.', body: 'Health' },
    503: { description: 'The storage does not answer or is read-only, or the registry is closed.', body: 'Health' },
  },

  /** The error of the storage goes only to the logger. */
  async answer({ registry, options }) {
    const found = await registry.health(options)
    const { error } = found.storage
    return { status: found.status === 'ok' ? 200 : 503, body: healthBody(found), ...(error && { failure: error }) }
  },
})

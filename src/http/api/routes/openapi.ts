import { openApiOf } from '../openapi.js'
import { defineRoute } from '../route.js'

export const openapi = defineRoute({
  name: 'openapi',
  method: 'GET',
  path: '/_openapi',
  action: 'read',
  summary: 'Returns this description.',
  parameters: {},
  answers: { 200: { description: 'An OpenAPI 3.1 document.', body: 'OpenApi' } },

  async answer({ routes, base }) {
    return { status: 200, body: openApiOf(routes, base) }
  },
})

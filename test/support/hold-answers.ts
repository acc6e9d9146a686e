/**
 * Holds every answer of every handler that a test makes against the description of the API: one that is not described as it
 * is fails the test.
 */
import { afterEach, expect, vi } from 'vitest'
import type { Exchange } from '../http/described.js'

const complaints: string[] = []

afterEach(() => {
  expect(complaints.splice(0), 'answers that are not as the API is described').toEqual([])
})

/** Whether an answer is no JSON, and has no end to wait for. */
const isStream = (contentType: string | null) => contentType?.startsWith('text/event-stream') ?? false

vi.mock('../../src/http/handler.js', async (original) => {
  const module = await original<typeof import('../../src/http/handler.js')>()
  const { openApiOf } = await import('../../src/http/_openapi.js')
  const { routes } = await import('../../src/http/_routes.js')
  const { describedBy } = await import('../http/described.js')

  const createJobsHandler: typeof module.createJobsHandler = (registry, options) => {
    const handler = module.createJobsHandler(registry, options)
    const { basePath = '/_siren/connector/jobs' } = options ?? {}
    const complaintsOf = describedBy(openApiOf(routes, basePath === '/' ? '' : basePath))
    const hold = ({ method, url }: { method: string; url: string }, answer: Omit<Exchange, 'method' | 'url'>) => {
      const found = complaintsOf({ method, url, ...answer })
      complaints.push(...found.map((complaint) => `${method} ${url}: ${complaint}`))
    }
    const fetch = async (request: Request) => {
      const response = await handler(request)
      const { status, headers } = response
      if (isStream(headers.get('content-type'))) return response
      hold(request, { status, contentType: headers.get('content-type') ?? '', body: await response.clone().text() })
      return response
    }
    return Object.assign(fetch, {
      ...handler,
      async answer(request: Parameters<typeof handler.answer>[0]) {
        const answer = await handler.answer(request)
        const { status, headers, body } = answer
        if (typeof body === 'string') hold(request, { status, contentType: headers['content-type'] ?? '', body })
        return answer
      },
    })
  }
  return { ...module, createJobsHandler }
})

import { expect, onTestFinished } from 'vitest'
import { openApiOf } from '../../src/http/api/openapi.js'
import { routes } from '../../src/http/api/routes/index.js'
import { createJobsHandler, type JobsHandler, type JobsRequest } from '../../src/http/index.js'
import { describedBy, type Exchange } from './described.js'

/** A handler of the jobs API. The test fails when an answer is not as the OpenAPI document describes it. */
export function describedHandler(...args: Parameters<typeof createJobsHandler>): JobsHandler {
  const handler = createJobsHandler(...args)
  const check = answerCheck(handler.basePath)
  return Object.assign(describedFetch(handler, handler.basePath), {
    ...handler,
    async answer(request: JobsRequest) {
      const answer = await handler.answer(request)
      const { status, headers, body } = answer
      if (typeof body === 'string') check(request, { status, contentType: headers['content-type'] ?? '', body })
      return answer
    },
  })
}

/** The same for a fetch function that serves the jobs API under a base path. */
export function describedFetch<Sent extends Request>(
  fetch: (request: Sent) => Promise<Response>,
  basePath: string,
): (request: Sent) => Promise<Response> {
  const check = answerCheck(basePath)
  return async (request) => {
    const response = await fetch(request)
    const { status, headers } = response
    const contentType = headers.get('content-type') ?? ''
    // A stream of events is no JSON, and has no end to wait for.
    if (!contentType.startsWith('text/event-stream'))
      check(request, { status, contentType, body: await response.clone().text() })
    return response
  }
}

/** Collects what is wrong with answers, and fails the test for it when it ends. */
function answerCheck(basePath: string) {
  const complaints: string[] = []
  onTestFinished(() => expect(complaints, 'answers that are not as the API is described').toEqual([]))
  const complaintsOf = describedBy(openApiOf(routes, basePath === '/' ? '' : basePath))
  return ({ method, url }: { method: string; url: string }, answer: Omit<Exchange, 'method' | 'url'>): void => {
    const found = complaintsOf({ method, url, ...answer })
    complaints.push(...found.map((complaint) => `${method} ${url}: ${complaint}`))
  }
}

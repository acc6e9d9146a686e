import { type AbortOptions, isLive, type JobStatus } from '../../../index.js'
import { foundBody, notFoundBody } from '../../../wire/index.js'
import { detail, duration, executionId, flag, shortText, type Values } from '../parameters.js'
import { defineRoute } from '../route.js'

const parameters = {
  timeout: duration('timeout', 'How long to wait for the job to stop. Default: `30s`.'),
  reason: shortText('reason', 'Who aborts and why, for people.'),
  executionId: executionId(
    'execution_id',
    'Aborts this execution only. Default: whichever is live.',
    'the id of an execution of the job',
  ),
  waitForCompletion: flag('wait_for_completion', 'Whether to wait for the job to stop. Default: `true`.'),
  detail,
}

export const abort = defineRoute({
  name: 'abort',
  method: 'POST',
  path: '/{type}/{id}/_abort',
  action: 'abort',
  summary: 'Aborts a job, in any process that shares the storage, and waits until it has stopped.',
  parameters,
  answers: {
    200: { description: 'The job has stopped, or had already ended.', body: 'Job' },
    202: { description: 'The job is still stopping.', body: 'Job' },
    404: { description: 'The job has never run.', body: 'UnknownJob' },
    409: { description: 'Another execution than `execution_id` is live, or the last one.', body: 'Error' },
  },

  /**
   * Requests the abort through the limiter, also when the client has disconnected. Then waits outside of the limiter
   * for the end of the job, for as long as the client does.
   */
  async answer({ registry, job: { type, id }, options, detailOf, request, limiter }) {
    const wait = toAbortOptions(options)
    const { signal } = wait.timeout === 0 ? {} : request
    const ask = () =>
      new Promise<{ stopped: Promise<JobStatus | undefined> }>((resolve, reject) => {
        const onAsked = () => resolve({ stopped })
        const stopped = registry.abort(type, id, { ...wait, ...(signal && { signal }), onAsked })
        stopped.then(onAsked, reject)
      })
    const { stopped } = await limiter.run(ask)
    const status = await stopped
    if (!status) return { status: 404, body: notFoundBody(type, id) }
    return { status: isLive(status.state) ? 202 : 200, body: foundBody(type, id, status, detailOf) }
  },
})

function toAbortOptions(options: Values<typeof parameters>): AbortOptions {
  const { timeout, waitForCompletion = true, detail: _, ...named } = options
  if (!waitForCompletion) return { ...named, timeout: 0 }
  return timeout === undefined ? named : { ...named, timeout }
}

import { foundBody } from '../../../wire/index.js'
import { detail, executionId, json } from '../parameters.js'
import { defineRoute, methodOf } from '../route.js'

export const reset = defineRoute({
  name: 'reset',
  method: 'POST',
  path: '/{type}/{id}/_reset',
  action: 'reset',
  summary: 'Sets or clears where the next run of a job begins. The records of its target stay.',
  parameters: {
    checkpoint: json('checkpoint', 'Where the next run begins. Default: the beginning.'),
    executionId: executionId(
      'execution_id',
      'Resets the job only if this is its last execution. Default: whichever it is.',
      'the id of an execution of the job',
    ),
    detail,
  },
  answers: {
    200: { description: 'The job was reset. The status is that of its last execution.', body: 'Job' },
    404: { description: 'The job is not defined in the registry that answers.', body: 'Error' },
    409: { description: 'The job runs, or another execution than `execution_id` is its last one.', body: 'Error' },
    501: { description: 'The storage cannot reset jobs.', body: 'Error' },
  },

  async answer({ registry, job: { type, id }, options: { detail: _, ...options }, detailOf, limiter, request }) {
    const reset = methodOf(registry, 'reset')
    const status = await limiter.run(() => reset(type, id, options), request)
    return { status: 200, body: foundBody(type, id, status, detailOf) }
  },
})

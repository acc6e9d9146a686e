import type { DefinedJob, JobStatus } from '../../../index.js'
import { definedJobsBody, toWireJob } from '../../../wire/index.js'
import { hitsText, jsonHeaders, lengthBy, piecesOf } from '../../answers/index.js'
import { detail, noFilters } from '../parameters.js'
import { defineRoute, methodOf } from '../route.js'

/** The longest list of jobs that is serialized at once. */
const longestList = 100

export const jobs = defineRoute({
  name: 'jobs',
  method: 'GET',
  path: '/',
  action: 'read',
  summary: 'Lists the jobs that the registry defines, with their schedules, pauses and last statuses, by type and id.',
  parameters: { detail },
  unknownHint: noFilters,
  answers: {
    200: { description: 'The defined jobs.', body: 'DefinedJobs' },
    501: { description: 'The storage of the registry does not find many jobs at once.', body: 'Error' },
  },

  async answer({ registry, detailOf, limiter, request, broadcaster, indent }) {
    const list = methodOf(registry, 'jobs')
    const jobs = await limiter.run(() => list(), request)
    if (jobs.length <= longestList) return { status: 200, body: definedJobsBody(jobs, detailOf) }
    const onEnd = broadcaster.onEnd.bind(broadcaster)
    const lengthOf = lengthBy(detailOf)
    const pieces = piecesOf(jobs, (job) => lengthOfJob(job, lengthOf))
    const toHit = (job: DefinedJob) => toWireJob(job, detailOf)
    const body = hitsText({ total: jobs.length, pieces, toHit, onEnd }, indent)
    return { status: 200, body, headers: jsonHeaders }
  },
})

/** Estimates the length of a job on the wire, in characters. */
function lengthOfJob({ type, id, paused, status }: DefinedJob, lengthOf: (status: JobStatus) => number): number {
  const { reason = '', by = '' } = paused ?? {}
  return 300 + type.length + 3 * id.length + reason.length + by.length + (status ? lengthOf(status) : 0)
}

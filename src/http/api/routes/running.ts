import type { JobStatus } from '../../../index.js'
import { errorBody, foundBody, jobsBody } from '../../../wire/index.js'
import { hitsText, jsonHeaders, lengthBy, piecesOf } from '../../answers/index.js'
import { detail, includeQueued, noFilters } from '../parameters.js'
import { defineRoute } from '../route.js'

/** The longest list of jobs that is serialized at once. */
const longestList = 100

export const running = defineRoute({
  name: 'running',
  method: 'GET',
  path: '/{type}',
  action: 'read',
  summary: 'Lists the running jobs of a type in all processes that share the storage, oldest start first.',
  parameters: { includeQueued, detail },
  unknownHint: noFilters,
  answers: {
    200: { description: 'The running jobs of the type.', body: 'Jobs' },
    404: { description: 'No job of this type is defined, and the log has none.', body: 'Error' },
  },

  async answer({ registry, job: { type }, options, detailOf, limiter, request, broadcaster, indent }) {
    const live = await limiter.run(() => registry.running(type, { detail: detailOf !== undefined }), request)
    if (live.length === 0 && !registry.has(type)) {
      const { total } = await limiter.run(() => registry.search({ type, size: 0 }), request)
      const reason = `No job of type [${type}] is defined, and the log has none.`
      if (total === 0) return { status: 404, body: errorBody('not_defined', reason) }
    }
    const visible = live.filter(({ state }) => options.includeQueued || state !== 'queued')
    if (visible.length <= longestList) return { status: 200, body: jobsBody(visible, detailOf) }
    const toHit = (status: JobStatus) => foundBody(status.type, status.id, status, detailOf)
    const onEnd = broadcaster.onEnd.bind(broadcaster)
    const body = hitsText(
      { total: visible.length, pieces: piecesOf(visible, lengthBy(detailOf)), toHit, onEnd },
      indent,
    )
    return { status: 200, body, headers: jsonHeaders }
  },
})

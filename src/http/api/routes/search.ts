import type { JobStatus, SearchFilter } from '../../../index.js'
import { searchBody, toEntry } from '../../../wire/index.js'
import { firstPage, hitsText, jsonHeaders, lengthBy, pagesOf } from '../../answers/index.js'
import { detail, executionId, jobFilter, type Parameter, state, time, whole } from '../parameters.js'
import { defineRoute } from '../route.js'

export const search = defineRoute({
  name: 'search',
  method: 'GET',
  path: '/_search',
  action: 'read',
  summary: 'Finds executions in the log, newest first.',
  parameters: {
    ...jobFilter,
    state: state('Only executions in this state. Default: all that have ended.'),
    startTimeFrom: time(
      'start_time_from',
      'Only executions that started at this time or later, in epoch milliseconds.',
    ),
    startTimeTo: time('start_time_to', 'Only executions that started at this time or earlier, in epoch milliseconds.'),
    from: whole('from', 'How many of the newest entries to skip. Default: `0`.'),
    size: whole('size', 'The maximum number of entries. Default: `10`.', 1000),
    searchAfter: executionId(
      'search_after',
      'Continues after the entry with this `_id`, which the log need not hold any more.',
      'the `_id` of an entry of the log',
    ),
    detail,
  } satisfies Record<keyof SearchFilter | 'detail', Parameter>,
  answers: { 200: { description: 'A page of the log.', body: 'Log' } },

  /** Reads and serializes a long page of the log as the client takes it. */
  async answer({ registry, options: { detail: _, ...filter }, detailOf, limiter, request, broadcaster, indent }) {
    const pages = pagesOf(
      (page) => limiter.run(() => registry.search(page, { detail: detailOf !== undefined }), request),
      filter,
      {
        measure: lengthBy(detailOf),
      },
    )
    const { value: first = { total: 0, hits: [] } } = await pages.next()
    if ((filter.size ?? 0) <= firstPage || first.hits.length < firstPage)
      return { status: 200, body: searchBody(first, detailOf) }
    async function* pieces() {
      yield first.hits
      for await (const { hits } of pages) yield hits
    }
    const toHit = (status: JobStatus) => toEntry(status, detailOf)
    const onEnd = broadcaster.onEnd.bind(broadcaster)
    const body = hitsText({ total: first.total, pieces: pieces(), toHit, onEnd }, indent)
    return { status: 200, body, headers: jsonHeaders }
  },
})

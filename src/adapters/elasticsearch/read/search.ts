import { JobError } from '../../../adapter.js'
import { countIn, objectIn, type SearchServer } from '../client/index.js'
import { pathOf } from '../indexes/index.js'
import { parseExact, stringifyExact } from './exact-json.js'

/** Makes the error of a read of what a request has thrown. */
export function datasourceFailure(error: unknown): unknown {
  if (!JobError.isInstance(error) || error.code !== 'target') return error
  return new JobError('datasource', error.message, { cause: error.cause, isTransient: error.isTransient === true })
}

/** What a search has found. */
export interface Found {
  readonly answer: Readonly<Record<string, unknown>>
  /** The length of the answer, in UTF-16 code units. */
  readonly length: number
}

/** Asks for JSON with all digits. A search that finds only a part, as shards are away, is no answer. */
export async function search(
  server: SearchServer,
  path: string,
  body: object,
  query: Readonly<Record<string, string>> = {},
): Promise<Found> {
  let length = 0
  const parse = (text: string) => {
    length = text.length
    return parseExact(text)
  }
  const given = await server.ask({ method: 'POST', path, query, body: stringifyExact(body), parse })
  const answer = objectIn(given, '`_search`')
  const { timed_out: isLate, _shards: shards } = answer
  const { failed } = Object(shards) as { failed?: unknown }
  if (isLate === true || (typeof failed === 'number' && failed > 0)) {
    const what = isLate === true ? 'The search timed out on the server' : `The search failed on ${failed} shards`
    throw new JobError('datasource', `${what}, so documents are missing in its answer.`, { isTransient: true })
  }
  return { answer, length }
}

/** How many documents a query finds now. */
export async function countOf(server: SearchServer, index: string, query: object | undefined): Promise<number> {
  const path = `${pathOf(index)}/_count`
  const { answer } = await search(server, path, query ? { query } : {}, { allow_no_indices: 'false' })
  return countIn(answer, '`_count`')
}

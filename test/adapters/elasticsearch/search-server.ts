import { once } from 'node:events'
import { createServer } from 'node:http'

type Document = Readonly<Record<string, unknown>>

/** A request of a search, as it came. */
export interface SearchRequest {
  readonly path: string
  readonly query: URLSearchParams
  readonly body: Readonly<Record<string, unknown>>
}

/** What the server answers in place of what it is asked for. */
export interface Disturbance {
  readonly status?: number
  readonly body: string
}

/** A server that answers searches in a point in time as Elasticsearch does, which cannot be had in tests: with a value that tells equal documents apart. */
export interface SearchServer {
  readonly url: string
  readonly requests: SearchRequest[]
  /** The points in time that are open. */
  readonly open: Set<string>
  disturb: (request: SearchRequest) => Disturbance | undefined
  close(): Promise<void>
}

/** Serves documents, which are sorted by the field of a search. */
export async function startSearchServer(documents: readonly Document[]): Promise<SearchServer> {
  const requests: SearchRequest[] = []
  const open = new Set<string>()
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
    const asked = { path: pathname, query: searchParams, body: JSON.parse(String(Buffer.concat(chunks)) || '{}') }
    requests.push(asked)
    const { status = 200, body } = it.disturb(asked) ?? answerTo(request.method ?? '', asked)
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  const it: SearchServer = {
    url: '',
    requests,
    open,
    disturb: () => undefined,
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }

  function answerTo(method: string, { path, body }: SearchRequest): Disturbance {
    if (path === '/') return json({ version: { number: '9.0.0' }, tagline: 'You Know, for Search' })
    if (path.endsWith('/_field_caps')) return json({ fields: { time: { long: {} }, id: { long: {} } } })
    if (path.endsWith('/_count')) return json({ count: documents.length })
    if (path === '/_pit' && method === 'DELETE') {
      open.delete(String(body.id))
      return json({ succeeded: true })
    }
    if (path.endsWith('/_pit')) {
      open.add('pit 0')
      return json({ id: 'pit 0' })
    }
    return search(body)
  }

  function search(body: SearchRequest['body']): Disturbance {
    const { id } = Object(body.pit) as { id: string }
    if (!open.has(id)) return { status: 404, body: '{"error":{"type":"search_context_missing_exception"}}' }
    const fields = ((body.sort ?? []) as (string | object)[]).map((key) =>
      typeof key === 'string' ? key : (Object.keys(key)[0] ?? ''),
    )
    const after = body.search_after as number[] | undefined
    if (after && after.length !== fields.length + 1) return { status: 400, body: '{"error":"search_after"}' }
    const hits = documents
      .map((source, at) => ({
        _id: `${at}`,
        _source: source,
        sort: [...fields.map((name) => (name === '_doc' ? at : source[name])), at] as number[],
      }))
      .sort((one, other) => order(one.sort, other.sort))
      .filter(({ sort }) => !after || order(sort, after) > 0)
      .slice(0, Number(body.size))
    // The id of a point in time may change with each search.
    const next = `pit ${requests.length}`
    open.delete(id)
    open.add(next)
    return json({ pit_id: next, timed_out: false, _shards: { failed: 0 }, hits: { total: { value: 0 }, hits } })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(it, { url: `http://127.0.0.1:${(server.address() as { port: number }).port}` })
}

function json(value: unknown): Disturbance {
  return { body: JSON.stringify(value) }
}

function order(one: readonly number[], other: readonly number[]): number {
  for (const [at, value] of one.entries()) if (value !== other[at]) return value - Number(other[at])
  return 0
}

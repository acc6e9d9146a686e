import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { gunzipSync } from 'node:zlib'

/** A document of the server. */
interface Document {
  readonly version: number
  readonly source: Readonly<Record<string, unknown>>
}

/** An item of the answer to a `_bulk`. */
export interface Item {
  readonly status: number
  readonly result?: string
  readonly error?: { readonly type: string; readonly reason?: string }
}

/** What happens to a request in place of what it asks for. */
export type Disturbance =
  /** Another answer, and nothing is done. */
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  /** The connection ends: before anything is done, after it, or in the middle of the answer. */
  | 'reset before'
  | 'reset after'
  | 'cut'
  /** Some documents are refused, by their places. */
  | ReadonlyMap<number, Item>

/** A `_bulk` on its way. */
export interface BulkRequest {
  /** The lines of actions, parsed. */
  readonly actions: readonly Readonly<Record<string, Record<string, unknown>>>[]
  readonly size: number
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
}

/**
 * A server that answers `_bulk` as a search engine does, out of its memory, and is disturbed as told. Its answers are compared with those
 * of a real one in `bulk-answers.test.ts`.
 */
export interface ProtocolServer {
  readonly url: string
  readonly documents: Map<string, Document>
  /** All `_bulk` so far. */
  readonly bulks: BulkRequest[]
  disturb: (request: BulkRequest) => Disturbance | undefined
  close(): Promise<void>
}

export async function startProtocolServer(): Promise<ProtocolServer> {
  const documents = new Map<string, Document>()
  const bulks: BulkRequest[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const given = Buffer.concat(chunks)
    const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(given) : given).toString()
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
    // Clients of Elasticsearch look for it.
    response.setHeader('x-elastic-product', 'Elasticsearch')
    if (!pathname.endsWith('/_bulk')) return answer(response, 200, answerTo(pathname, documents))
    const lines = linesOf(body)
    const bulk = {
      actions: lines.map(({ action }) => action),
      size: given.length,
      query: searchParams,
      headers: request.headers,
    }
    bulks.push(bulk)
    const disturbance = state.disturb(bulk)
    if (disturbance === 'reset before') return void request.socket.destroy()
    if (isAnswer(disturbance)) {
      for (const [name, value] of Object.entries(disturbance.headers ?? {})) response.setHeader(name, value)
      return answer(response, disturbance.status, disturbance.body ?? '')
    }
    const refused = disturbance instanceof Map ? disturbance : undefined
    const items = lines.map((line, place) => ({
      [Object.keys(line.action)[0] as string]: refused?.get(place) ?? write(documents, line),
    }))
    if (disturbance === 'reset after') return void request.socket.destroy()
    const text = JSON.stringify({ took: 1, errors: items.some((item) => Object.values(item)[0]?.error), items })
    if (disturbance !== 'cut') return answer(response, 200, text)
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length })
    response.write(text.slice(0, text.length / 2), () => request.socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const state: ProtocolServer = {
    url: `http://127.0.0.1:${port}`,
    documents,
    bulks,
    disturb: () => undefined,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return state
}

function isAnswer(disturbance: Disturbance | undefined): disturbance is Extract<Disturbance, { status: number }> {
  return typeof disturbance === 'object' && 'status' in disturbance
}

function answer(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(body)
}

/** Calls beside `_bulk`. */
function answerTo(path: string, documents: ReadonlyMap<string, Document>): string {
  if (path.endsWith('/_count')) return JSON.stringify({ count: documents.size })
  const index = path.slice(1)
  return JSON.stringify(/^\w+$/.test(index) ? { [index]: { aliases: {}, settings: { index: { uuid: 'u' } } } } : {})
}

interface Line {
  readonly action: Readonly<Record<string, Record<string, unknown>>>
  readonly source: string | undefined
}

function linesOf(body: string): Line[] {
  const texts = body.split('\n').slice(0, -1)
  const lines: Line[] = []
  for (let at = 0; at < texts.length; ) {
    const action = JSON.parse(texts[at++] as string)
    lines.push({ action, source: 'delete' in action ? undefined : texts[at++] })
  }
  return lines
}

function write(documents: Map<string, Document>, { action, source }: Line): Item {
  const [[name, meta] = []] = Object.entries(action)
  const id = String(meta?._id ?? documents.size)
  const found = documents.get(id)
  if (name === 'delete') return { result: documents.delete(id) ? 'deleted' : 'not_found', status: found ? 200 : 404 }
  const given = parsed(source ?? '')
  const n = given?.n ?? given?.doc?.n
  if (!given || (n !== undefined && typeof n !== 'number'))
    return { status: 400, error: { type: 'mapper_parsing_exception' } }
  const version = meta?.version === undefined ? (found?.version ?? 0) + 1 : Number(meta.version)
  const isOlder = meta?.version !== undefined && found && version <= found.version
  if (isOlder || (name === 'create' && found))
    return { status: 409, error: { type: 'version_conflict_engine_exception' } }
  const merged = name === 'update' ? { ...found?.source, ...given.doc } : given
  const isSame = name === 'update' && found !== undefined && JSON.stringify(merged) === JSON.stringify(found.source)
  if (isSame) return { result: 'noop', status: 200 }
  documents.set(id, { version, source: merged })
  return found ? { result: 'updated', status: 200 } : { result: 'created', status: 201 }
}

function parsed(source: string): (Record<string, unknown> & { doc?: Record<string, unknown> }) | undefined {
  try {
    return JSON.parse(source)
  } catch {
    return undefined
  }
}

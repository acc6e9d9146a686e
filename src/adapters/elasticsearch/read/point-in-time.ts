import { JobError } from '../../../adapter.js'
import { objectIn, type SearchServer } from '../client/index.js'
import { pathOf } from '../indexes/index.js'

/** How long the server may take to close a point in time, in milliseconds. */
const closeTimeout = 2000

/** The documents of an index as they are at one moment, for several searches. */
export class PointInTime {
  readonly #server: SearchServer
  readonly #keepAlive: string
  readonly #isOpensearch: boolean
  #id: string

  private constructor(server: SearchServer, keepAlive: string, isOpensearch: boolean, id: string) {
    this.#server = server
    this.#keepAlive = keepAlive
    this.#isOpensearch = isOpensearch
    this.#id = id
  }

  /** Opens one that the server keeps for `keepAlive` milliseconds after each search. */
  static async open(server: SearchServer, index: string, keepAlive: number): Promise<PointInTime> {
    const time = `${keepAlive}ms`
    const isOpensearch = await isOpensearchAt(server)
    const path = `${pathOf(index)}/${isOpensearch ? '_search/point_in_time' : '_pit'}`
    const answer = await server.ask({ method: 'POST', path, query: { keep_alive: time, allow_no_indices: 'false' } })
    const { id, pit_id: pitId } = objectIn(answer, 'a point in time')
    const found = isOpensearch ? pitId : id
    if (typeof found === 'string') return new PointInTime(server, time, isOpensearch, found)
    throw new JobError('datasource', 'Expected the server to answer with an `id` for a point in time.')
  }

  /** What a search in it says of it. */
  get clause(): object {
    return { pit: { id: this.#id, keep_alive: this.#keepAlive } }
  }

  /** Takes the id that a search has given it. */
  follow({ pit_id: id }: Readonly<Record<string, unknown>>): void {
    if (typeof id === 'string') this.#id = id
  }

  /** Never rejects: the server ends it by itself in the end. */
  async close(): Promise<void> {
    const server = this.#server.withSignal(AbortSignal.timeout(closeTimeout))
    const [path, body] = this.#isOpensearch
      ? ['/_search/point_in_time', { pit_id: [this.#id] }]
      : ['/_pit', { id: this.#id }]
    await server.ask({ method: 'DELETE', path, body, none: 404 }).catch(() => undefined)
  }
}

/** Servers that do not tell are taken for Elasticsearch: a user may lack the right to ask. */
async function isOpensearchAt(server: SearchServer): Promise<boolean> {
  const answer = await server.ask({ method: 'GET', path: '/', none: 403 })
  const { version } = Object(answer) as { version?: unknown }
  return (Object(version) as { distribution?: unknown }).distribution === 'opensearch'
}

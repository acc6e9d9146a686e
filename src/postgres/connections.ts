import type { ResourceNeed, SharedResource } from '../index.js'
import { OwnPool, type PostgresPool } from './pool.js'

/** The connections of a pool, as jobs and storages share them. */
export class PoolConnections implements SharedResource {
  readonly name: string
  /** Of a pool that the application may use too, one stays free for it, and for the functions of jobs. */
  readonly spare: number
  readonly #max: number
  /** How many connections each storage on the pool listens with. */
  readonly #storages = new Set<{ readonly listening: number }>()

  constructor(pool: PostgresPool) {
    this.name = `connections of the pool${titleOf(pool)}`
    this.spare = pool instanceof OwnPool ? 0 : 1
    this.#max = pool.options?.max ?? Number.POSITIVE_INFINITY
  }

  /** A storage keeps what it listens with, and one connection for the statements of all storages. */
  get capacity(): number {
    const listening = [...this.#storages].reduce((sum, storage) => sum + storage.listening, 0)
    return this.#max - listening - Math.min(this.#storages.size, 1)
  }

  remedy(count: number): string {
    const kept = this.#max - this.capacity
    const storage = kept === 0 ? '' : `, of which the storage keeps ${kept}`
    return `the pool has up to ${this.#max}${storage}; raise its \`max\` to ${kept + count} or more, or give the adapters pools of their own`
  }

  /** Keeps connections for a storage, until the function that it gives is called. */
  reserveForStorage(): () => void {
    const storage = { listening: this.#max < 2 ? 0 : 1 }
    this.#storages.add(storage)
    return () => this.#storages.delete(storage)
  }

  /** What an execution holds that uses so many connections. */
  need(count: number): ResourceNeed[] {
    return [{ resource: this, count }]
  }
}

const known = new WeakMap<PostgresPool, PoolConnections>()

/** The connections of a pool: the same for all adapters that share it. */
export function connectionsOf(pool: PostgresPool): PoolConnections {
  const connections = known.get(pool) ?? new PoolConnections(pool)
  known.set(pool, connections)
  return connections
}

/** Where a pool leads, without any secret, or nothing. */
function titleOf({ options }: PostgresPool): string {
  const { host, port, database, connectionString } = Object(options) as Record<string, unknown>
  if (typeof connectionString === 'string' && URL.canParse(connectionString)) {
    const url = new URL(connectionString)
    return ` to ${url.host}${url.pathname}`
  }
  if (typeof host !== 'string') return ''
  return ` to ${host}${port ? `:${port}` : ''}${database ? `/${database}` : ''}`
}

import type { ResourceDemand, ResourceNeed, SharedResource } from '../../../adapter.js'
import { OwnPool, type PostgresPool } from './pool.js'

/** Counts the connections of a pool that jobs and storages share. */
export class PoolConnections implements SharedResource {
  readonly name: string
  /** One connection of a pool that the application may also use stays free for it and for the functions of jobs. */
  readonly spare: number
  readonly #pool: PostgresPool
  readonly #max: number
  /** How many connections the pool has granted. */
  #granted = 0
  /** How many connections each storage of the pool listens with. */
  readonly #storages = new Set<{ readonly listening: number }>()

  constructor(pool: PostgresPool) {
    this.name = `connections of the pool${titleOf(pool)}`
    this.spare = pool instanceof OwnPool ? 0 : 1
    this.#pool = pool
    this.#max = pool.options?.max ?? Number.POSITIVE_INFINITY
    pool.on?.('acquire', () => this.#granted++)
  }

  /** A storage keeps the connection that it listens with, and all storages together keep one for statements. */
  get capacity(): number {
    const listening = [...this.#storages].reduce((sum, storage) => sum + storage.listening, 0)
    return this.#max - listening - Math.min(this.#storages.size, 1)
  }

  /** Known only for a pool that emits `acquire` and has `waitingCount`. */
  demand(): ResourceDemand | undefined {
    const { waitingCount: waiting } = this.#pool
    return waiting === undefined || this.#granted === 0 ? undefined : { waiting, granted: this.#granted }
  }

  remedy(count: number): string {
    const kept = this.#max - this.capacity
    const storage = kept === 0 ? '' : `, of which the storage keeps ${kept}`
    return `the pool has up to ${this.#max}${storage}; raise its \`max\` to ${kept + count} or more, or give the adapters pools of their own`
  }

  /** Reserves connections for a storage until the returned function is called. */
  reserveForStorage(): () => void {
    const storage = { listening: this.#max < 2 ? 0 : 1 }
    this.#storages.add(storage)
    return () => this.#storages.delete(storage)
  }

  /** The need of an execution that uses this many connections. */
  need(count: number): ResourceNeed[] {
    return [{ resource: this, count }]
  }
}

const known = new WeakMap<PostgresPool, PoolConnections>()

/** The connections of a pool. All adapters that share the pool get the same object. */
export function connectionsOf(pool: PostgresPool): PoolConnections {
  const connections = known.get(pool) ?? new PoolConnections(pool)
  known.set(pool, connections)
  return connections
}

/** The address of a pool without secrets, or an empty text. */
function titleOf({ options }: PostgresPool): string {
  const { host, port, database, connectionString } = Object(options) as Record<string, unknown>
  if (typeof connectionString === 'string' && URL.canParse(connectionString)) {
    const url = new URL(connectionString)
    return ` to ${url.host}${url.pathname}`
  }
  if (typeof host !== 'string') return ''
  return ` to ${host}${port ? `:${port}` : ''}${database ? `/${database}` : ''}`
}

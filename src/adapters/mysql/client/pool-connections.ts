import type { ResourceNeed, SharedResource } from '../../../adapter.js'
import { type CallbackPool, OwnPool } from './pool.js'

/** Counts the connections of a pool that jobs share. */
class PoolConnections implements SharedResource {
  readonly name: string
  readonly capacity: number
  /** One connection of a pool that the application may also use stays free for it and for the functions of jobs. */
  readonly spare: number

  constructor(pool: CallbackPool) {
    this.name = `connections of the pool${titleOf(pool)}`
    // 0 means no limit.
    this.capacity = pool.config?.connectionLimit || Number.POSITIVE_INFINITY
    this.spare = pool instanceof OwnPool ? 0 : 1
  }

  remedy(count: number): string {
    return `the pool has up to ${this.capacity}; raise its \`connectionLimit\` to ${count} or more, or give the adapters pools of their own`
  }
}

const known = new WeakMap<CallbackPool, PoolConnections>()

/** The need of an execution that uses this many connections. All adapters that share the pool share its connections. */
export function needOf(pool: CallbackPool, count: number): ResourceNeed[] {
  const resource = known.get(pool) ?? new PoolConnections(pool)
  known.set(pool, resource)
  return [{ resource, count }]
}

/** The address of a pool without secrets, or an empty text. */
function titleOf({ config }: CallbackPool): string {
  const { host, port, database } = config?.connectionConfig ?? {}
  if (typeof host !== 'string') return ''
  return ` to ${host}${port ? `:${port}` : ''}${database ? `/${database}` : ''}`
}

import { signal } from '@preact/signals'
import { fieldsOf } from './detail.js'
import { apiPath } from './settings.js'

/** What `_health` answers, as far as the page shows it. */
export interface Health {
  readonly status: string
  readonly node: string
  readonly latency: number
  readonly error?: string
  readonly overdue: readonly { type: string; id: string; since: number }[]
}

/** The health of the registry that answers. `undefined` until it is known. */
export const health = signal<Health | undefined>(undefined)

/** How often the health is asked for while somebody can see it, in milliseconds. */
const interval = 15_000

/** Asks for the health, for as long as the page is open. */
export function followHealth(): void {
  const ask = () => {
    if (!document.hidden) void readHealth()
  }
  ask()
  setInterval(ask, interval)
}

async function readHealth(): Promise<void> {
  try {
    const response = await fetch(`${apiPath}/_health`)
    const body = fieldsOf(await response.json())
    if (typeof body.status !== 'string') return
    const storage = fieldsOf(body.storage)
    const overdue = Array.isArray(body.overdue) ? body.overdue.map(fieldsOf) : []
    health.value = {
      status: body.status,
      node: String(body.node),
      latency: Number(storage.latency_ms),
      ...(typeof storage.error === 'string' && { error: storage.error }),
      overdue: overdue.map(({ type, _id, since }) => ({ type: String(type), id: String(_id), since: Number(since) })),
    }
  } catch {
    // The list of jobs tells that the server is away.
    health.value = undefined
  }
}

import { signal } from '@preact/signals'
import type { RegistryHealth } from '../../../client/index.js'
import { client } from './server.js'

/** The health of the registry that answers. `undefined` until it is known, and while the server does not answer. */
export const health = signal<RegistryHealth | undefined>(undefined)

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
    health.value = await client.health()
  } catch {
    health.value = undefined
  }
}

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { createDashboardHandler, type DashboardOptions } from '../../src/dashboard/index.js'
import type { ServedRegistry } from '../../src/http/index.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { JobRegistry, type JobRegistryOptions, memoryStorage } from '../../src/index.js'

/** A dashboard that a browser can open. */
export interface ServedDashboard {
  readonly url: string
  /** The connections of streams of events that are open. */
  readonly streams: ReadonlySet<IncomingMessage>
  stop(): Promise<void>
}

/** Serves the dashboard of a registry until the test has finished. */
export async function serveDashboard(
  registry: ServedRegistry,
  { port = 0, ...options }: DashboardOptions & { port?: number } = {},
): Promise<ServedDashboard> {
  const handler = createDashboardHandler(registry, options)
  const serve = toNodeHandler(handler)
  const streams = new Set<IncomingMessage>()
  const server: Server = createServer((request, response) => {
    if (request.url?.includes('/_events')) {
      streams.add(request)
      request.once('close', () => streams.delete(request))
    }
    serve(request, response)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    handler.endStreams()
    server.closeAllConnections()
    server.close()
  }
  onTestFinished(stop)
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dashboard/`
  return { url, streams, stop }
}

/** A registry that notes which methods are called to change something. */
export function watchedRegistry(options: Partial<JobRegistryOptions> = {}) {
  const registry = new JobRegistry({ storage: memoryStorage(), node: 'node-1', ...options })
  onTestFinished(() => registry.close({ timeout: 0 }))
  const calls: unknown[][] = []
  const changes = ['start', 'abort', 'pause', 'unpause', 'reset']
  const watched = new Proxy(registry, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (changes.includes(String(name))) calls.push([name, ...args])
        return value.apply(target, args)
      }
    },
  })
  return { registry, watched: watched as ServedRegistry, calls }
}

/** A job that runs until it is aborted, and counts. */
export function defineCounting(registry: JobRegistry, id: string, type = 'copy'): void {
  registry.define({
    type,
    id,
    async run({ signal, progress, log }) {
      log('It has begun.')
      for (let count = 100; !signal.aborted; count += 100) {
        progress({ count })
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    },
  })
}

/** A job that fails, with a chain of causes. */
export function defineFailing(registry: JobRegistry, id: string): void {
  registry.define({
    type: 'copy',
    id,
    run() {
      throw new Error('Could not copy.', { cause: new Error('The disk is full.', { cause: new Error('ENOSPC') }) })
    },
  })
}

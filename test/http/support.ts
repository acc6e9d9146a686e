import { once } from 'node:events'
import { createServer, type Server as HttpServer, type RequestListener } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import { onTestFinished } from 'vitest'
import type { ExecutionRecord } from '../../src/adapter.js'
import { Registry } from '../../src/core/registry/registry.js'
import {
  type Clock,
  type JobContext,
  JobRegistry,
  type JobRegistryOptions,
  type JobStorage,
  memoryStorage,
} from '../../src/index.js'
import { heldJob } from '../../src/testing/index.js'

export const base = '/_siren/connector/jobs'

export { type Send, sendTo } from './send.js'

/** A listener of node's servers, whatever the version of HTTP. */
export type Listener = (request: never, response: never) => void

/** Serves on a free port until the test has finished. */
export async function listen(
  listener: Listener,
  server: Server = createServer(),
): Promise<{ server: Server; port: number }> {
  server.on('request', listener as RequestListener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    if ('closeAllConnections' in server) (server as HttpServer).closeAllConnections()
    server.close()
  })
  return { server, port: (server.address() as AddressInfo).port }
}

/** A job that runs until the test ends it, in a registry. */
export interface DefinedJob {
  /** Resolves once it runs. */
  running: Promise<JobContext>
  /** Lets it end, or fail. */
  end(error?: unknown): void
}

/** Defines a job that runs until the test ends it, or until it is aborted unless it is deaf. */
export function defineHeld(registry: Registry, type: string, id: string, { isDeaf = false } = {}): DefinedJob {
  const { job, running, finish, fail } = heldJob({ type, id }, { ignoresSignal: isDeaf })
  registry.define(job)
  return { running, end: (error) => (error === undefined ? finish() : fail(error)) }
}

/** A registry that is closed when the test has finished. */
export function newRegistry(options: Partial<JobRegistryOptions> = {}): JobRegistry {
  const registry = new JobRegistry({ storage: memoryStorage(), ...options })
  onTestFinished(() => registry.close({ timeout: 0 }))
  return registry
}

/** The same, for jobs of type `ingestion` that are plain functions: a `JobRegistry` takes only real ingestions. */
export function newPlainRegistry(clock: Clock): Registry {
  const registry = new Registry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
  onTestFinished(() => registry.close({ timeout: 0 }))
  return registry
}

/** A storage that holds what it is given, oldest first, and nothing else. */
export function fixedStorage(...records: readonly ExecutionRecord[]): JobStorage {
  const found = (type: string, id: string) => records.findLast((record) => record.type === type && record.id === id)
  const refuse = async () => undefined
  return {
    begin: async () => ({ started: false, execution: records[0] as ExecutionRecord }),
    renew: refuse,
    claim: refuse,
    run: refuse,
    finish: refuse,
    requestAbort: async ({ type, id }) => found(type, id),
    find: async (type, id) => found(type, id),
    live: async ({ type }) => ({
      hits: records.filter((record) => record.type === type && record.endTime === undefined),
    }),
    orphans: async () => ({ hits: [] }),
    async search({ type, id, size = 10, startTimeTo = Number.POSITIVE_INFINITY }) {
      const hits = records.filter(
        (record) =>
          (type ?? record.type) === record.type &&
          (id ?? record.id) === record.id &&
          record.startTime <= startTimeTo &&
          record.endTime !== undefined,
      )
      return { total: hits.length, hits: hits.reverse().slice(0, size) }
    },
  }
}

/** The record of an execution, with what a status does not show filled in. */
export function record(given: Partial<ExecutionRecord>): ExecutionRecord {
  const id = given.id ?? 'postgres-events'
  return {
    type: 'ingestion',
    id,
    executionId: `${id}019a0000-0000-7000-8000-000000000000`,
    state: 'running',
    epoch: 1,
    node: 'n',
    startTime: 0,
    leaseUntil: Number.MAX_SAFE_INTEGER,
    count: 0,
    ...given,
  }
}

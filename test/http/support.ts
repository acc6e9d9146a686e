import { once } from 'node:events'
import { createServer, type RequestListener, request as requestHttp, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { onTestFinished } from 'vitest'
import { Registry } from '../../src/core/registry.js'
import type { JobsHandler } from '../../src/http/handler.js'
import { toNodeHandler } from '../../src/http/node.js'
import {
  type Clock,
  type ExecutionRecord,
  type JobContext,
  JobRegistry,
  type JobRegistryOptions,
  type JobStorage,
  memoryStorage,
} from '../../src/index.js'

export const base = '/_siren/connector/jobs'

export interface Sent {
  method?: string
  headers?: Record<string, string>
  body?: string
}

export interface Answered {
  status: number
  headers: Headers
  text: string
}

/** Sends a request to wherever a handler is served. The path is sent as it is given. */
export interface Send {
  (path: string, sent?: Sent): Promise<Answered>
  /** Where a path is served. */
  address(path: string): string
}

/** Serves on a free port until the test has finished. */
export async function listen(listener: RequestListener): Promise<{ server: Server; port: number }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { server, port: (server.address() as AddressInfo).port }
}

export function sendTo(port: number, prefix = ''): Send {
  const send = async (path: string, { method = 'GET', headers = {}, body }: Sent = {}) => {
    const request = requestHttp({ port, host: '127.0.0.1', path: prefix + path, method, headers })
    request.end(body)
    const [response] = await once(request, 'response')
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) text += chunk
    return { status: response.statusCode, headers: new Headers(response.headers), text }
  }
  return Object.assign(send, { address: (path: string) => `http://127.0.0.1:${port}${prefix}${path}` })
}

const served = async (listener: RequestListener, prefix?: string) => sendTo((await listen(listener)).port, prefix)

/** Every way to serve a handler whose base path is the default. */
export const faces: Record<string, (handler: JobsHandler) => Promise<Send>> = {
  fetch: async (handler) => {
    const address = (path: string) => `http://localhost${path}`
    const send = async (path: string, sent?: Sent) => {
      const response = await handler(new Request(address(path), sent))
      return { status: response.status, headers: response.headers, text: await response.text() }
    }
    return Object.assign(send, { address })
  },
  'node:http': (handler) => served(toNodeHandler(handler)),
  'Express at the root': (handler) => served(express().use(toNodeHandler(handler))),
  'Express at the base path': (handler) => served(express().use(base, toNodeHandler(handler))),
  'Express at a path in front': (handler) => served(express().use('/api', toNodeHandler(handler)), '/api'),
  'Express behind express.json()': (handler) => served(express().use(express.json(), toNodeHandler(handler))),
}

/** A job that says how far it has come, and stands until it is let go. */
export interface HeldJob {
  /** Resolves once it runs. */
  running: Promise<JobContext>
  /** Lets it end, or fail. */
  end(error?: unknown): void
}

/** Defines a job that stands until it is let go, or aborted unless it is deaf. */
export function defineHeld(registry: Registry, type: string, id: string, { isDeaf = false } = {}): HeldJob {
  const begun = deferred<JobContext>()
  const ended = deferred<void>()
  registry.define({
    type,
    id,
    run: (context) => {
      begun.resolve(context)
      if (!isDeaf) context.signal.addEventListener('abort', () => ended.resolve())
      return ended.promise
    },
  })
  return { running: begun.promise, end: (error) => (error === undefined ? ended.resolve() : ended.reject(error)) }
}

function deferred<T>() {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((...settle) => {
    ;[resolve, reject] = settle
  })
  return { promise, resolve, reject }
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
    save: refuse,
    finish: refuse,
    requestAbort: async (type, id) => found(type, id),
    find: async (type, id) => found(type, id),
    live: async (type) => records.filter((record) => record.type === type && record.endTime === undefined),
    orphans: async () => [],
    async search({ type, id, startTimeTo = Number.POSITIVE_INFINITY }) {
      const hits = records.filter(
        (record) =>
          (type ?? record.type) === record.type &&
          (id ?? record.id) === record.id &&
          record.startTime <= startTimeTo &&
          record.endTime !== undefined,
      )
      return { total: hits.length, hits: hits.reverse() }
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

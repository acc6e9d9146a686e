import type { EventEmitter } from 'node:events'
import { ignoreUnheardErrors } from './unheard-errors.js'

type Verb = (...given: unknown[]) => Promise<unknown>
type Verbs = Record<string, Verb>

/** The part of the backend of a BullMQ queue or worker that is called on every engine. */
export interface Backend {
  on?(event: 'ready', listener: () => void): unknown
  close(force: boolean): Promise<unknown>
  reconnectBlocking(): Promise<unknown>
}

/** A queue or worker of BullMQ 5, which calls Redis itself. */
interface Owner {
  readonly keys: Readonly<Record<string, string>>
  readonly connection: Connection
  toKey(id: string): string
}

interface Worker extends Owner {
  readonly blockingConnection: Connection
  readonly scripts: { moveToActive: Verb }
  createJob(...given: unknown[]): Job
}

/** A job of a worker, which is completed with a value or failed with an error. */
type Job = Record<(typeof endings)[number], (outcome: unknown, token: unknown, fetchNext: unknown) => Promise<unknown>>

interface Connection extends EventEmitter {
  readonly client: Promise<Client>
  close(force: boolean): Promise<unknown>
  reconnect(): Promise<unknown>
}

interface Client {
  bzpopmin(key: string, timeout: number): Promise<unknown>
  hget(key: string, field: string): Promise<string | null>
}

/** The calls that end a job, and may return the next one. */
const endings = ['moveToCompleted', 'moveToFailed'] as const

/** The backends of queues and workers of BullMQ 5. */
const backends = new WeakMap<object, Backend>()

/** Whether queues have backends, as in BullMQ 6. */
export function hasBackends(queue: object): boolean {
  return 'getBackend' in queue
}

/**
 * Returns the backend of a BullMQ queue or worker, of which methods may be replaced. A queue or worker of BullMQ 5 has
 * none, and gets an object with the methods of the backend of BullMQ 6.
 */
export function backendOf(owner: object): Backend {
  if (hasBackends(owner)) return (owner as { getBackend(): Backend }).getBackend()
  const backend = backends.get(owner) ?? createBackend(owner as Owner | Worker)
  backends.set(owner, backend)
  return backend
}

function createBackend(owner: Owner | Worker): Backend {
  const { keys, connection } = owner
  // The client of a connection that closes while it opens is rejected when all listeners are gone.
  ignoreUnheardErrors(connection)
  return {
    ...{ keys, connection, client: connection.client },
    toKey: (id: string) => owner.toKey(id),
    getQueueMetaField: async (field: string) => (await connection.client).hget(keys.meta as string, field),
    on: (event: string, listener: () => void) => connection.on(event, listener),
    close: (force: boolean) => connection.close(force),
    reconnectBlocking: async () => {},
    ...('blockingConnection' in owner && methodsOf(owner)),
  } as Backend
}

/** Lets a worker call its backend. Returns the methods of the backend, which do what the worker did before. */
function methodsOf(worker: Worker): Verbs {
  const { keys, connection, blockingConnection: blocking, scripts } = worker
  const { reconnect } = blocking
  const { moveToActive } = scripts
  const ask = async (verb: string, ...given: unknown[]) => (backendOf(worker) as unknown as Verbs)[verb]?.(...given)
  const popMarker = blocking.client.then((client) => {
    const pop = client.bzpopmin.bind(client)
    client.bzpopmin = (_key, timeout) => ask('waitForJob', timeout)
    return pop
  })
  ignoreUnheardErrors(blocking)
  // The worker reports that it could not connect.
  popMarker.catch(() => undefined)
  scripts.moveToActive = (_client, ...given) => ask('moveToActive', ...given)
  blocking.reconnect = () => ask('reconnectBlocking')
  return {
    waitForJob: async (timeout) => (await popMarker)(keys.marker as string, timeout as number),
    moveToActive: async (...given) => moveToActive.call(scripts, await connection.client, ...given),
    reconnectBlocking: () => reconnect.call(blocking),
    close: async (force) => {
      await blocking.close(force as boolean)
      await connection.close(force as boolean)
    },
    ...endingsOf(worker, ask),
  }
}

/** The same for its jobs. */
function endingsOf(worker: Worker, ask: (verb: string, ...given: unknown[]) => Promise<unknown>): Verbs {
  const { createJob } = worker
  worker.createJob = (...given) => {
    const job = createJob.apply(worker, given)
    for (const verb of endings)
      job[verb] = (outcome, token, fetchNext) => ask(verb, job, outcome, undefined, token, fetchNext)
    return job
  }
  const methods = endings.map((verb): [string, Verb] => [
    verb,
    (job, outcome, _removed, token, fetchNext) => Object.getPrototypeOf(job)[verb].call(job, outcome, token, fetchNext),
  ])
  return Object.fromEntries(methods)
}

import type { EventEmitter } from 'node:events'
import { JobError } from '../../adapter.js'
import { ignoreUnheardErrors } from './unheard-errors.js'

/** Creates the backend of a BullMQ queue or worker. */
export type BackendFactory = (...options: never[]) => unknown

/** A client of `pg`. */
interface Client extends EventEmitter {
  readonly connection?: { readonly stream?: { destroy(): unknown } }
}

type ClientClass = new (...options: unknown[]) => Client

/** The connections of BullMQ's Postgres backend. */
interface Connection {
  readonly ownsPool: boolean
  readonly pool: EventEmitter & { Client: ClientClass }
  readonly isClosing: Promise<void> | undefined
  /** Creates the client that listens, which is not of the pool. */
  pgModule: { readonly Client: ClientClass } | undefined
  getListenClient(): Promise<Client>
}

/** The open clients that each backend created. */
const opened = new WeakMap<object, Set<Client>>()

/** The clients and pools whose errors are handled. */
const guarded = new WeakSet<object>()

/**
 * Creates Postgres backends that do not end the process. BullMQ has clients without error listeners while it connects,
 * creates its tables or closes. When it is closed while it opens, it opens a client afterwards.
 */
export function guardedFactory(factory: BackendFactory): BackendFactory {
  return (...options) => {
    const backend = factory(...options)
    const { connection } = backend as { connection?: Connection }
    if (connection?.pool) guard(connection, backend as object)
    return backend
  }
}

/** Destroys the open connections that a backend created. */
export function destroyClients(backend: object): void {
  for (const { connection } of opened.get(backend) ?? []) connection?.stream?.destroy()
}

function guard(connection: Connection, backend: object): void {
  const { ownsPool, pool, getListenClient } = connection
  if (ownsPool) guardOwn(connection, backend)
  else if (!guarded.has(pool)) pool.on('acquire', ignoreErrors)
  guarded.add(pool)
  connection.getListenClient = async () => {
    if (connection.isClosing) throw new JobError('closed', 'The queue is closed.')
    return getListenClient.call(connection)
  }
}

function guardOwn(connection: Connection, backend: object): void {
  const { pool } = connection
  const clients = new Set<Client>()
  opened.set(backend, clients)
  const Client = class extends pool.Client {
    constructor(...options: unknown[]) {
      super(...options)
      ignoreErrors(this)
      clients.add(this)
      this.once('end', () => clients.delete(this))
    }
  }
  pool.Client = Client
  connection.pgModule = { Client }
}

/** Errors also reject the client's queries. */
function ignoreErrors(client: Client): void {
  if (!guarded.has(client)) ignoreUnheardErrors(client)
  guarded.add(client)
}

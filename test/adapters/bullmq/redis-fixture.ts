import { randomUUID } from 'node:crypto'
import type { Dispatcher } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import type { DispatcherFixture } from 'headgate/testing'
import { Redis } from 'ioredis'

/** Short, so that the turns of a dead process come again soon. */
export const lockDuration = 1000

/** Dispatchers of one queue on Redis for the conformance suite, each with a connection that can be cut. */
export function redisFixture({ url, prefix }: { readonly url: string; readonly prefix: string }): DispatcherFixture {
  const queue = randomUUID()
  const clients = new Map<Dispatcher, Redis>()
  const open = () => {
    const connection = new Redis(url, { maxRetriesPerRequest: null })
    const dispatcher = bullmqDispatcher({ connection, prefix, queue, lockDuration })
    clients.set(dispatcher, connection)
    return dispatcher
  }
  const cut = (dispatcher: Dispatcher) => clients.get(dispatcher)?.disconnect()
  const close = async () => {
    for (const client of clients.values()) client.disconnect()
  }
  return { open, cut, close }
}

import { liftIdleTimeout, type PostgresPool, take } from '../client/index.js'
import type { PostgresQueryable } from './database.js'

/** The part of PGlite that headgate uses. */
export interface ListeningClient extends PostgresQueryable {
  /** Calls `callback` for every notification. Returns a function that stops it. */
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>
}

/** A subscription to a channel, until it is closed or breaks. */
export interface Subscription {
  close(): Promise<void>
}

/** Subscribes to a channel. */
export type Listen = (
  channel: string,
  onNotification: (payload: string) => void,
  onBroken: () => void,
) => Promise<Subscription>

/** Listens with a connection of the pool. Undefined when the pool has only one. */
export function listenOf(pool: PostgresPool): Listen | undefined {
  if ((pool.options?.max ?? Number.POSITIVE_INFINITY) < 2) return undefined
  return async (channel, onNotification, onBroken) => {
    const connection = await take(pool)
    let isOpen = true
    const close = () => {
      if (isOpen) connection.release(true)
      isOpen = false
    }
    const fail = () => {
      close()
      onBroken()
    }
    connection.on('error', fail)
    connection.on('end', fail)
    connection.on('notification', ({ payload }) => onNotification(payload ?? ''))
    try {
      await connection.query(`${liftIdleTimeout}; listen ${channel}`)
    } catch (error) {
      close()
      throw error
    }
    connection.unref?.()
    return { close: async () => close() }
  }
}

/** Listens with a client that supports it, such as PGlite. */
export function listenWith(client: PostgresQueryable): Listen | undefined {
  if (!('listen' in client) || typeof client.listen !== 'function') return undefined
  return async (channel, onNotification) => ({
    close: await (client as ListeningClient).listen(channel, onNotification),
  })
}

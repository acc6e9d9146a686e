import { type PostgresPool, take } from '../postgres/pool.js'
import type { PostgresQueryable } from './_postgres-database.js'

/** The part of PGlite that is called. */
export interface ListeningClient extends PostgresQueryable {
  /** Calls `callback` at every notification. Gives the function that stops it. */
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>
}

/** Hears the notifications of a channel, until it is closed or breaks. */
export interface Ear {
  close(): Promise<void>
}

/** Begins to hear a channel. */
export type Listen = (channel: string, heard: (payload: string) => void, broken: () => void) => Promise<Ear>

/** How a pool of pg listens: with a connection of its own. Not when the pool has no other one. */
export function listenOf(pool: PostgresPool): Listen | undefined {
  if ((pool.options?.max ?? Number.POSITIVE_INFINITY) < 2) return undefined
  return async (channel, heard, broken) => {
    const connection = await take(pool)
    let isOpen = true
    const close = () => {
      if (isOpen) connection.release(true)
      isOpen = false
    }
    const fail = () => {
      close()
      broken()
    }
    connection.on('error', fail)
    connection.on('end', fail)
    connection.on('notification', ({ payload }) => heard(payload ?? ''))
    try {
      await connection.query(`listen ${channel}`)
    } catch (error) {
      close()
      throw error
    }
    connection.unref?.()
    return { close: async () => close() }
  }
}

/** How a client listens that can by itself, as PGlite does. */
export function listenWith(client: PostgresQueryable): Listen | undefined {
  if (!('listen' in client) || typeof client.listen !== 'function') return undefined
  return async (channel, heard) => ({ close: await (client as ListeningClient).listen(channel, heard) })
}

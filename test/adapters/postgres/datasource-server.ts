import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type pg from 'pg'

/** Waits until a query on `pool` gives true: each look is a round trip, so nothing has to sleep. */
export async function untilTrue(pool: pg.Pool, text: string, values: unknown[] = []): Promise<void> {
  for (;;) {
    const { rows } = await pool.query({ text: `select (${text}) as holds`, values, rowMode: 'array' })
    if (rows[0]?.[0] === true) return
  }
}

/** How many queries of the database sleep. */
export const sleepers = `select count(*) from pg_stat_activity
  where datname = current_database() and state = 'active' and wait_event = 'PgSleep'`

/** A way to the server that can be cut. */
export interface ServerProxy {
  /** The url of the server, by way of the proxy. */
  readonly url: string
  /** Nothing passes any more on what is open, which stays open. */
  freeze(): void
  /** New connections are refused; what is open goes on. */
  refuse(): void
  /** What is open is reset. */
  reset(): void
  /** New connections pass, after `refuse`. */
  accept(): Promise<void>
  close(): Promise<void>
}

/** A proxy to the server at `url`, which lets all pass: `latency` milliseconds later, each way. */
export async function proxyTo(url: string, latency = 0): Promise<ServerProxy> {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const upstream = connect(Number(port), hostname)
    join(socket, upstream)
    join(upstream, socket)
  })
  function join(from: Socket, to: Socket): void {
    sockets.add(from)
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
    if (latency === 0) from.pipe(to)
    else from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), latency))
  }
  async function listen(at: number): Promise<void> {
    server.listen(at, '127.0.0.1')
    await once(server, 'listening')
  }
  function reset(): void {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  await listen(0)
  const own = (server.address() as AddressInfo).port
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${own}` }).href,
    freeze() {
      for (const socket of sockets) socket.unpipe().pause()
    },
    refuse: () => void server.close(),
    reset,
    accept: () => listen(own),
    async close() {
      if (server.listening) server.close()
      reset()
    },
  }
}

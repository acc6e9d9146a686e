import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to a server that can fall silent, as a network does that drops every packet. */
export interface MuteProxy {
  readonly url: string
  /** Nothing passes from now on, in either direction, and new connections get no answer. No connection is closed. */
  mute(): void
  /** New connections get through again. Those from before stay dead. */
  heal(): void
  close(): void
}

/** A way to the server at `url`. */
export async function muteProxyTo(url: string): Promise<MuteProxy> {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  let isMute = false
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined))
    if (isMute) return
    const upstream = connect(Number(port), hostname).on('error', () => undefined)
    sockets.add(upstream)
    socket.pipe(upstream)
    upstream.pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as AddressInfo).port
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${own}` }).href,
    mute() {
      isMute = true
      for (const socket of sockets) socket.unpipe().pause()
    },
    heal() {
      isMute = false
    },
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

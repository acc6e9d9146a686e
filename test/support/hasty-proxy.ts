import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'

/** A server's word that it ends the connection, with the code of an administrator's command. */
const farewell = (() => {
  const fields = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0')
  const head = Buffer.from('E....')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
})()

/** A way to the server at `url` on which the first connection is ended in the very moment in which it is ready. */
export async function hastyProxyTo(url: string): Promise<{ url: string; close(): void }> {
  const { hostname, port } = new URL(url)
  let isFirst = true
  const server = createServer((socket) => {
    const upstream = connect(Number(port), hostname)
    socket.pipe(upstream)
    for (const end of [socket, upstream]) end.on('error', () => undefined)
    upstream.on('data', (chunk: Buffer) => {
      // Ready for a query: the last message of a start.
      const isReady = isFirst && chunk.subarray(-6, -1).equals(Buffer.from([0x5a, 0, 0, 0, 5]))
      if (isReady) isFirst = false
      if (isReady) socket.end(Buffer.concat([chunk, farewell]))
      else socket.write(chunk)
    })
    upstream.on('close', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as AddressInfo).port
  return { url: Object.assign(new URL(url), { host: `127.0.0.1:${own}` }).href, close: () => void server.close() }
}

import { connect as openSocket } from 'node:net'

/** The request that every Postgres server and every pooler answers with one byte, before a login. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

/** Resolves when the server of a client answers on a new connection. Rejects when it cannot be reached in time. */
export function reach(client: object, timeout: number): Promise<void> {
  const { host = 'localhost', port = 5432 } = client as { host?: string; port?: number }
  return new Promise((resolve, reject) => {
    const path = `${host}/.s.PGSQL.${port}`
    const socket = host.startsWith('/') ? openSocket(path) : openSocket(port, host)
    const timer = setTimeout(() => {
      socket.destroy(new Error(`The server did not answer on a new connection within ${timeout} ms.`))
    }, timeout)
    socket.on('connect', () => socket.write(sslRequest))
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(timer)
      reject(new Error('The server closed a new connection without answering.'))
    })
    socket.once('data', () => {
      resolve()
      socket.destroy()
    })
  })
}

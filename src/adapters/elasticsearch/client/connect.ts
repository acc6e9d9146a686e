import { ClientConnection } from './client-connection.js'
import type { Connection } from './connection.js'
import type { ConnectionOptions } from './connection-options.js'
import { HttpConnection } from './http-connection.js'

/** Opens a connection. `close` ends it. */
export function connect(options: ConnectionOptions): Connection {
  return options.client ? new ClientConnection(options.client, options.timeout) : new HttpConnection(options)
}

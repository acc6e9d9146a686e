/** What the options of a connection, a client or a pool tell about the server. */
interface Place {
  readonly url?: unknown
  readonly connectionString?: unknown
  readonly host?: unknown
  readonly port?: unknown
  readonly options?: Place
}

/**
 * Where a connection leads, as host and port, for messages: nothing of a password. `undefined` where the options do not tell, as of several
 * servers.
 */
export function placeOf(connection: object, defaultPort: number): string | undefined {
  const { url, connectionString, host, port, options } = connection as Place
  const address = url ?? connectionString
  if (typeof address === 'string') {
    if (!URL.canParse(address)) return undefined
    const { hostname, port } = new URL(address)
    return hostname === '' ? undefined : `${hostname}:${port || defaultPort}`
  }
  if (typeof host === 'string') return `${host}:${Number(port) || defaultPort}`
  return typeof options === 'object' && options !== null ? placeOf(options, defaultPort) : undefined
}

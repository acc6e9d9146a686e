import { JobError, type JobErrorCode } from '../../../adapter.js'
import { loadDriver } from '../../shared/index.js'
import type { MysqlConnection } from './driver.js'
import { isOfServer } from './errors.js'

/** What a connection outside of the pool needs. */
const configNames = [
  ...['host', 'port', 'socketPath', 'localAddress', 'user', 'password', 'password1', 'password2', 'password3'],
  ...['passwordSha1', 'ssl', 'stream', 'authPlugins', 'authSwitchHandler', 'insecureAuth', 'enableCleartextPlugin'],
]

interface SideConnection {
  query(sql: string, callback: (error: Error | null) => void): unknown
  ping(callback: (error: Error | null) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  destroy(): void
  readonly stream: { destroy(): unknown }
}

/**
 * Runs a statement, or a ping, on a new connection with the address and the credentials of another one. It needs no free connection
 * of a pool. Rejects when that failed or took more than `timeout` milliseconds.
 */
export async function runBeside(
  code: JobErrorCode,
  { config }: MysqlConnection,
  sql: string | undefined,
  timeout: number,
): Promise<void> {
  const { default: mysql } = await loadDriver(code, 'mysql2', () => import('mysql2'))
  const known = Object.fromEntries(configNames.flatMap((name) => (config[name] ? [[name, config[name]]] : [])))
  const connection = mysql.createConnection({ ...known, connectTimeout: timeout }) as unknown as SideConnection
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new JobError(code, `The server did not answer on a new connection within ${timeout} ms.`))
      }, timeout)
      const settle = (error: Error | null) => {
        clearTimeout(timer)
        if (error) reject(error)
        else resolve()
      }
      connection.on('error', settle)
      if (sql === undefined) connection.ping(settle)
      else connection.query(sql, settle)
    })
  } finally {
    connection.on('error', ignore)
    connection.destroy()
    connection.stream.destroy()
  }
}

/** Resolves when the server of a connection answers on a new connection, if only with an error. */
export async function reach(connection: MysqlConnection, timeout: number): Promise<void> {
  try {
    await runBeside('datasource', connection, undefined, timeout)
  } catch (error) {
    if (!isOfServer(error)) throw error
  }
}

function ignore(): void {}

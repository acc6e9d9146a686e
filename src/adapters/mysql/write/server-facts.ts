import { JobError, type Row } from '../../../adapter.js'

/** What a session that writes knows of its server. */
export interface ServerFacts {
  readonly connectionId: string
  readonly selectLimit: string
  readonly isMariadb: boolean
  /** The longest statement, in bytes. */
  readonly maxPacket: number
  /** Whether the server may ask the client for a file. */
  readonly takesFiles: boolean
  /** Whether the server has the names of tables in lower case, or finds them in any case. */
  readonly ignoresCase: boolean
  /** Whether the binary log has statements, which the server refuses at the isolation level `read committed`. */
  readonly logsStatements: boolean
  /** The database of the connection. */
  readonly database: string | undefined
}

/** Reads the row of the query. Throws `target` for a connection whose texts are in another character set. */
export function serverFactsOf(row: Row, logFormat: unknown): ServerFacts {
  const [id, limit, charset, version, packet, infile, lowerCase, logBin, database] = row
  if (charset !== 'utf8mb4') {
    const message = `Expected connections with the character set utf8mb4, got ${charset}: make the pool with \`charset: 'utf8mb4'\`.`
    throw new JobError('target', message)
  }
  return {
    connectionId: String(id),
    selectLimit: String(limit),
    isMariadb: /mariadb/i.test(String(version)),
    maxPacket: Number(packet),
    takesFiles: String(infile) === '1',
    ignoresCase: String(lowerCase) !== '0',
    logsStatements: String(logBin) === '1' && logFormat === 'STATEMENT',
    database: typeof database === 'string' ? database : undefined,
  }
}

import type { Row } from '../../../adapter.js'
import { type MysqlConnection, type OkPacket, type QueryCommand, queryClassOf, type Step } from '../client/index.js'
import { MysqlRows } from './encoded-rows.js'
import { packetHeader, packetOf } from './own-packet.js'
import { readFieldOf } from './read-field.js'
import { runQuery } from './row-query.js'
import { RowQueue } from './row-queue.js'

/** What a statement did. */
export interface StatementResult {
  /** The rows of a statement that returns some, as text. */
  readonly rows: readonly Row[]
  /** How many rows were written. */
  readonly affected: number
  /** How many warnings and notes the server has for the statement. */
  readonly warnings: number
}

/** Runs a statement, which is given as text, or as bytes in UTF-8. */
export function runStatement(connection: MysqlConnection, sql: string | Uint8Array): Promise<StatementResult> {
  const queue = new RowQueue(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
  let reads: ReturnType<typeof readFieldOf>[] = []
  let ok: OkPacket | undefined
  return new Promise((resolve, reject) => {
    runQuery(connection, sql, {
      onFields(fields) {
        reads = fields.map(readFieldOf)
      },
      onRow: (buffer, start, end) => queue.add(buffer, start, end),
      onOk(packet) {
        ok = packet
      },
      onEnd(error) {
        if (error) return reject(error)
        const { count = 0, chunks = [] } = queue.take(true) ?? {}
        const rows = new MysqlRows(count, chunks, reads).rows()
        resolve({ rows, affected: Number(ok?.affectedRows ?? 0), warnings: ok?.warningStatus ?? 0 })
      },
    })
  })
}

/** A `load data local infile` that is running: its data are sent piece by piece. */
export interface OpenLoad {
  /** Sends bytes of the file. Resolves when the connection takes more. */
  write(bytes: Uint8Array): Promise<void>
  /** Ends the file. */
  end(): void
  /** What the statement did. Rejects with the error of the server. */
  readonly result: Promise<Omit<StatementResult, 'rows'>>
}

/**
 * Starts such a statement. Resolves when the server asks for the file. Rejects when it refuses the statement. The server takes packets of up
 * to `maxPacket` bytes.
 */
export function startLoad(connection: MysqlConnection, sql: string, maxPacket: number): Promise<OpenLoad> {
  return new Promise((resolve, reject) => {
    const result = new Promise<Omit<StatementResult, 'rows'>>((succeed, fail) => {
      const onFile = () => resolve(openLoad(connection, result, maxPacket))
      runLoad(connection, sql, onFile, (error, { affectedRows = 0, warningStatus = 0 } = noAnswer) => {
        if (error) return fail(error)
        succeed({ affected: Number(affectedRows), warnings: warningStatus })
      })
    })
    result.catch(reject)
  })
}

const noAnswer: Partial<OkPacket> = {}

function runLoad(
  connection: MysqlConnection,
  sql: string,
  onFile: () => void,
  onEnd: (error: Error | null, ok?: Partial<OkPacket>) => void,
): void {
  const Query = queryClassOf(connection)
  let ok: OkPacket | undefined

  class LoadQuery extends Query implements QueryCommand {
    /** Called by mysql2 when the server asks for the file. */
    _streamLocalInfile(): Step {
      // The answer to the statement comes later than this call returns.
      queueMicrotask(onFile)
      return this.infileOk
    }

    override doneInsert(packet: OkPacket): Step | null {
      ok = packet
      return super.doneInsert(packet)
    }
  }

  const query = new LoadQuery({ sql })
  query.onResult = (error) => {
    if (error) Reflect.deleteProperty(error, 'sql')
    onEnd(error, ok)
  }
  connection.addCommand(query)
}

/** The longest piece of data in one packet. */
const longestPiece = 1 << 16

function openLoad(connection: MysqlConnection, result: OpenLoad['result'], maxPacket: number): OpenLoad {
  const pieceLength = Math.min(longestPiece, maxPacket >>> 1)
  // A server that has answered already would take more data as a command.
  let isAnswered = false
  const settle = () => {
    isAnswered = true
  }
  result.then(settle, settle)
  return {
    result,
    async write(bytes) {
      for (let at = 0; at < bytes.length && !isAnswered; at += pieceLength) {
        const piece = bytes.subarray(at, at + pieceLength)
        const buffer = Buffer.allocUnsafe(packetHeader + piece.length)
        buffer.set(piece, packetHeader)
        connection.writePacket(packetOf(buffer))
        if (connection.stream.writableNeedDrain) await drained(connection, result)
      }
    },
    end() {
      if (!isAnswered) connection.writePacket(packetOf(Buffer.allocUnsafe(packetHeader)))
    },
  }
}

/** Resolves when the connection takes more data, or when the statement has ended before. */
async function drained({ stream }: MysqlConnection, result: Promise<unknown>): Promise<void> {
  let resume = () => {}
  const writable = new Promise<void>((resolve) => {
    resume = resolve
  })
  stream.once?.('drain', resume)
  stream.once?.('close', resume)
  try {
    await Promise.race([writable, result])
  } finally {
    stream.off?.('drain', resume)
    stream.off?.('close', resume)
  }
}

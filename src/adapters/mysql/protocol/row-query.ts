import type { MysqlConnection, OkPacket, QueryCommand } from '../client/index.js'
import { type Packet, queryClassOf, type Step } from '../client/index.js'
import { type Field, fieldOf } from './field.js'
import { statementPacket } from './own-packet.js'

/** What a {@link RowQuery} tells of. */
export interface RowListener {
  onFields(fields: readonly Field[]): void
  /** Called for each row: its fields are in `buffer` from `start` to `end`. */
  onRow(buffer: Buffer, start: number, end: number): void
  /** Called with the answer to a statement without rows. */
  onOk?(packet: OkPacket): void
  /** Called once, last. Without an error when all rows have arrived. */
  onEnd(error: Error | null): void
}

/** More results follow the end of this one. */
const moreResults = 8

/**
 * Runs a statement in the text protocol, and passes the bytes of its rows on. The statement is text, or bytes in UTF-8. It is a query of mysql2 with another handling of fields
 * and rows, so that all else is that of mysql2.
 */
export function runQuery(connection: MysqlConnection, sql: string | Uint8Array, listener: RowListener): void {
  const Query = queryClassOf(connection)
  let fields: Field[] = []
  let results = 0

  class RowQuery extends Query implements QueryCommand {
    declare _receivedFieldsCount: number
    declare _fieldCount: number

    override start(packet: Packet | undefined): Step | null {
      if (typeof sql === 'string') return super.start(packet, connection)
      connection.writePacket(statementPacket(connection, sql))
      return this.resultsetHeader
    }

    override doneInsert(packet: OkPacket): Step | null {
      listener.onOk?.(packet)
      return super.doneInsert(packet)
    }

    override readonly readField: Step = (packet) => {
      fields.push(fieldOf(packet))
      if (++this._receivedFieldsCount < this._fieldCount) return this.readField
      results++
      if (results === 1) listener.onFields(fields)
      fields = []
      return this.fieldsEOF
    }

    override readonly row: Step = (packet: Packet) => {
      if (packet.isEOF()) {
        const hasMore = (packet.eofStatusFlags() & moreResults) !== 0
        return hasMore ? this.resultsetHeader : this.done()
      }
      if (results === 1) listener.onRow(packet.buffer, packet.offset, packet.end)
      return this.row
    }
  }

  const query = new RowQuery({ sql: typeof sql === 'string' ? sql : '' })
  query.onResult = (error) => {
    // The statement may hold values.
    if (error) Reflect.deleteProperty(error, 'sql')
    listener.onEnd(error ?? (results > 1 ? new Error('The statement gave several results.') : null))
  }
  connection.addCommand(query)
}

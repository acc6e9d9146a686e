import type { Row } from '../../../adapter.js'
import type { MysqlConnection } from '../client/index.js'
import { MysqlRows } from './encoded-rows.js'
import type { Field } from './field.js'
import { readFieldOf } from './read-field.js'
import { runQuery } from './row-query.js'
import { RowQueue } from './row-queue.js'

/** The raw rows of a small result, and its fields. */
export interface TextResult {
  readonly rows: readonly Row[]
  readonly fields: readonly Field[]
}

/** Runs a statement with a small result. */
export function resultOf(connection: MysqlConnection, sql: string): Promise<TextResult> {
  const queue = new RowQueue(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
  let fields: readonly Field[] = []
  return new Promise((resolve, reject) => {
    runQuery(connection, sql, {
      onFields(found) {
        fields = found
      },
      onRow: (buffer, start, end) => queue.add(buffer, start, end),
      onEnd(error) {
        if (error) return reject(error)
        const { count = 0, chunks = [] } = queue.take(true) ?? {}
        resolve({ fields, rows: new MysqlRows(count, chunks, fields.map(readFieldOf)).rows() })
      },
    })
  })
}

import type { MysqlConnection, PreparedColumn } from '../client/index.js'
import { hasLabels } from './field.js'

/** What is known of a column before the statement runs. */
export interface DescribedColumn {
  /** The column of a table that the query passes on, or empty texts. */
  readonly schema: string
  readonly table: string
  readonly column: string
  /** Whether it is an enumeration or a set. */
  readonly hasLabels: boolean
}

/** The server cannot prepare statements of this kind. */
const unsupported = 1295

/** MariaDB tells no columns of statements that may hold these words. */
const untold = /\b(?:returning|call)\b/i

/**
 * The columns of a statement, which is prepared but not run. Empty for a statement that returns no rows. `undefined` for a statement
 * whose columns the server does not tell.
 */
export function describe(connection: MysqlConnection, sql: string): Promise<readonly DescribedColumn[] | undefined> {
  return new Promise((resolve, reject) => {
    connection.prepare(sql, (error, statement) => {
      if (statement) {
        connection.unprepare(sql)
        const columns = statement.columns.map(describedOf)
        return resolve(columns.length === 0 && untold.test(sql) ? undefined : columns)
      }
      if (Object(error).errno === unsupported) return resolve(undefined)
      if (error) Reflect.deleteProperty(error, 'sql')
      reject(error)
    })
  })
}

function describedOf({ schema, orgTable, orgName, flags }: PreparedColumn): DescribedColumn {
  return { schema, table: orgTable, column: orgName, hasLabels: hasLabels(flags) }
}

import type { DescribedColumn } from '../protocol/index.js'
import type { ReadSession } from './read-session.js'

const query = `select column_type from information_schema.columns
  where table_schema = ? and table_name = ? and column_name = ?`

/** The types of enumerations and sets, such as `enum('a','b')`, by the index of the column, where the query passes the column of a table on. */
export async function labelTypesOf(
  session: ReadSession,
  columns: readonly DescribedColumn[],
): Promise<Map<number, string>> {
  const types = new Map<number, string>()
  for (const [index, { hasLabels, schema, table, column }] of columns.entries()) {
    if (!hasLabels || table === '') continue
    const { rows } = await session.run({ text: query, values: [schema, table, column] })
    const [type] = rows[0] ?? []
    if (typeof type === 'string') types.set(index, type)
  }
  return types
}

import { literal, type MysqlTableName } from '../client/index.js'
import type { WriteSession } from '../write/index.js'

/** A foreign key that a table has, or that refers to it. */
export interface ForeignKey {
  readonly name: string
  /** Where the table is that has it. */
  readonly database: string
  readonly table: string
  /** Whether it refers to the table that was asked for. */
  readonly isReference: boolean
  /** Whether the table that was asked for has it. */
  readonly isOwn: boolean
}

/**
 * The foreign keys of a table, and those that refer to it, in order. They are sorted here: MariaDB has been seen to crash when a statement that
 * sorts rows of `information_schema` is killed.
 */
export async function foreignKeysOf(
  session: WriteSession,
  { database, name }: Required<MysqlTableName>,
): Promise<ForeignKey[]> {
  const columns = 'constraint_name, constraint_schema, table_name'
  const query = (condition: string) =>
    session.query(`select ${columns} from information_schema.referential_constraints where ${condition}`)
  const own = await query(`constraint_schema = ${literal(database)} and table_name = ${literal(name)}`)
  const references = await query(
    `unique_constraint_schema = ${literal(database)} and referenced_table_name = ${literal(name)}`,
  )
  const keys = new Map<string, ForeignKey>()
  for (const row of [...own, ...references]) {
    const [key, schema, table] = row.map(String)
    const id = JSON.stringify([schema, table, key])
    keys.set(id, {
      name: String(key),
      database: String(schema),
      table: String(table),
      isOwn: own.includes(row) || keys.get(id)?.isOwn === true,
      isReference: references.includes(row),
    })
  }
  return [...keys.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, key]) => key)
}

import type { Row } from '../../../adapter.js'
import { literal, type MysqlTableName, sqlOf } from '../client/index.js'
import type { WriteSession } from '../write/index.js'

/** The name of a table, with its database. */
type Named = Required<MysqlTableName>

// Nothing in this file groups or sorts rows of `information_schema`, or combines queries of it: the server keeps them in temporary tables on
// disk, and MariaDB has been seen to crash when such a statement is killed.

const ownOf = ({ database, name }: Named) => `table_schema = ${literal(database)} and table_name = ${literal(name)}`

const columnsQuery = (table: Named) => `
  select column_name, data_type, column_type, is_nullable, extra, datetime_precision, collation_name, ordinal_position
  from information_schema.columns
  where ${ownOf(table)}`

const keysQuery = (table: Named) => `
  select index_name, column_name, sub_part, non_unique, seq_in_index
  from information_schema.statistics
  where ${ownOf(table)}`

/** The rows of a table's columns, and those of its keys, in order. */
export async function readDefinition(
  session: WriteSession,
  table: Named,
): Promise<{ readonly columns: readonly Row[]; readonly keys: readonly Row[] }> {
  const columns = await session.query(columnsQuery(table))
  const keys = await session.query(keysQuery(table))
  const nameOf = ([name]: Row) => String(name)
  return {
    columns: [...columns].sort((one, other) => Number(one.at(-1)) - Number(other.at(-1))),
    keys: [...keys].sort((one, other) =>
      nameOf(one) === nameOf(other) ? Number(one.at(-1)) - Number(other.at(-1)) : nameOf(one) < nameOf(other) ? -1 : 1,
    ),
  }
}

/** The numbers of the errors for a table that is missing, and for a user who has rights on some columns only. */
const [missing, denied] = [1146, 1142]

/** The parts of a definition beside the columns and the unique keys: other keys, checks, and the options behind the last parenthesis. */
const otherKey = /^ {2}(?:KEY|FULLTEXT|SPATIAL) /
const check = /^ {2}CONSTRAINT /

/**
 * A text that tells the columns and the unique keys of a table apart from those of an altered one, with `allKeys` also those of other keys.
 * Undefined when there is no such table. Costs one statement, which uses no temporary table.
 */
export async function shapeOf(session: WriteSession, table: Named, allKeys = false): Promise<string | undefined> {
  try {
    const [[, text] = []] = await session.query(`show create table ${sqlOf(table)}`)
    const [, ...lines] = String(text).split('\n')
    const end = lines.findIndex((line) => line.startsWith(')'))
    const kept = lines.slice(0, end).filter((line) => !check.test(line) && (allKeys || !otherKey.test(line)))
    // The last line ends without a comma.
    return kept.map((line) => line.replace(/,$/, '')).join('\n')
  } catch (error) {
    const { errno } = Object(error) as { errno?: unknown }
    if (errno === missing) return undefined
    if (errno !== denied) throw error
  }
  const { columns, keys } = await readDefinition(session, table)
  return JSON.stringify([columns, keys.filter((key) => allKeys || isUnique(key))])
}

/** Whether a row of {@link readDefinition} belongs to a unique key. */
export function isUnique([, , , nonUnique]: Row): boolean {
  return String(nonUnique) === '0'
}

/** Whether two tables have the same columns and keys. False when one of them does not exist. */
export async function hasSameDefinition(session: WriteSession, one: Named, other: Named): Promise<boolean> {
  const first = await shapeOf(session, one, true)
  return first !== undefined && first === (await shapeOf(session, other, true))
}

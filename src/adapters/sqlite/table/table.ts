import { JobError } from '../../../adapter.js'
import { type FileConnection, quoted } from '../client/index.js'
import { type ColumnKind, kindOf } from './column-kind.js'

/** A column that can be written. */
export interface TableColumn {
  readonly name: string
  readonly kind: ColumnKind
  readonly declared: string
}

/** A table, as it was found. */
export interface Table {
  /** As the schema spells it. */
  readonly name: string
  readonly sql: string
  /** The columns that can be written, by their names in lower case: SQLite does not tell those of ASCII apart. */
  readonly columns: ReadonlyMap<string, TableColumn>
  /** Changes when the table is altered. */
  readonly shape: string
}

/** A name as SQLite compares it. */
export function lowerCase(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** Finds a table. `undefined` when it does not exist. Throws `target` for a view and for a virtual table. */
export function findTable(connection: FileConnection, wanted: string): Table | undefined {
  const [found] = connection.all(
    "select name, type, strict from pragma_table_list where schema = 'main' and name = ? collate nocase",
    wanted,
  )
  if (!found) return undefined
  const [name, type, strict] = found as [string, string, number]
  if (type !== 'table') throw new JobError('target', `Expected \`${name}\` to be a table, found a ${type}.`)
  const all = connection.all('select name, type, hidden from pragma_table_xinfo(?)', name) as [string, string, number][]
  // The others are generated.
  const own = all.filter(([, , hidden]) => hidden === 0)
  return {
    name,
    sql: quoted(name),
    columns: new Map(
      own.map(([column, declared]) => [lowerCase(column), { name: column, kind: kindOf(declared), declared }]),
    ),
    shape: JSON.stringify([name, strict, all]),
  }
}

/** Throws `target` for a table that foreign keys of other tables refer to: its rows cannot be deleted, or rows of others with them. */
export function refuseReferred(connection: FileConnection, { name }: Table): void {
  const found = connection.all(
    `select t.name from pragma_table_list t join pragma_foreign_key_list(t.name) f
      where t.schema = 'main' and t.type = 'table' and f."table" = ? collate nocase and t.name <> ? order by 1 limit 5`,
    name,
    name,
  )
  if (found.length === 0) return
  throw new JobError(
    'target',
    `Foreign keys refer to \`${name}\`: those of ${found.map(([table]) => `\`${table}\``).join(', ')}. Its rows could not be deleted, or rows of other tables ` +
      `would be deleted with them: drop the foreign keys, or merge with \`mode: 'upsert'\`.`,
  )
}

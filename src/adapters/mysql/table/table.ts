import { JobError, type Row } from '../../../adapter.js'
import { literal, type MysqlTableName, quoted, sqlOf } from '../client/index.js'
import type { WriteSession } from '../write/index.js'
import { type ColumnKind, kindOf } from './column-kind.js'
import { isUnique, readDefinition, shapeOf } from './definition.js'

/** Where a table is, or would be created. */
export interface TableRef {
  readonly database: string
  readonly name: string
  /** Database and name, for messages and for the table of checkpoints. */
  readonly title: string
  /** Database and name, as SQL. */
  readonly sql: string
}

/** A table to write to. */
export interface Table extends TableRef {
  /** The columns that can be written, in order. */
  readonly columns: ReadonlyMap<string, ColumnKind>
  readonly keys: readonly UniqueKey[]
  /** What {@link shapeOf} has returned. */
  readonly shape: string
}

/** A unique key of a table. */
export interface UniqueKey {
  readonly name: string
  readonly columns: readonly string[]
  /** Whether it compares only the beginnings of values, or values of expressions. */
  readonly isPartial: boolean
}

/** The table with that name. `undefined` when there is none. Throws `target` for one that cannot be written to exactly once. */
export async function findTable(session: WriteSession, wanted: MysqlTableName): Promise<Table | undefined> {
  const { database, name } = refOf(session, wanted)
  const [found] = await session.query(
    `select table_schema, table_name, table_type, engine from information_schema.tables
      where table_schema = ${literal(database)} and table_name = ${literal(name)}`,
  )
  if (!found) return undefined
  const ref = tableRef(String(found[0]), String(found[1]))
  checkKind(ref, String(found[2]), found[3])
  const { columns, keys } = await readDefinition(session, ref)
  const shape = await shapeOf(session, ref)
  // A table that is dropped after the first query has no columns any more.
  if (columns.length === 0 || shape === undefined) return undefined
  return { ...ref, columns: kindsOf(columns), keys: keysOf(keys.filter(isUnique)), shape }
}

/** Where a table is, whether or not it exists. */
export function refOf({ facts }: WriteSession, { database = facts.database, name }: MysqlTableName): TableRef {
  if (database !== undefined) return tableRef(database, name)
  throw new JobError(
    'target',
    `Expected a database for ${quoted(name)}, got none: name one in \`table\`, or in the address of the server.`,
  )
}

function tableRef(database: string, name: string): TableRef {
  return { database, name, title: `${database}.${name}`, sql: sqlOf({ database, name }) }
}

/** What identifies a table among those of the checkpoints: its names, as the server compares them. */
export function namesOf({ facts }: WriteSession, { database, name }: TableRef): string[] {
  return facts.ignoresCase ? [database.toLowerCase(), name.toLowerCase()] : [database, name]
}

/** Only InnoDB can write rows and a checkpoint in one transaction. */
function checkKind({ title, sql }: TableRef, type: string, engine: unknown): void {
  if (!/TABLE|VERSIONED/.test(type)) {
    const kind = type.toLowerCase()
    throw new JobError('target', `Expected \`${title}\` to be a table, found a ${kind}: name its table in \`table\`.`)
  }
  if (String(engine).toLowerCase() === 'innodb') return
  throw new JobError(
    'target',
    `Expected \`${title}\` to be a table of InnoDB, found one of ${engine ?? 'no engine'}, which has no transactions, so records could be lost or ` +
      `be there twice: run "alter table ${sql} engine = InnoDB".`,
  )
}

function kindsOf(rows: readonly Row[]): Map<string, ColumnKind> {
  return new Map(rows.filter(isWritable).map(([name, ...facts]) => [String(name), kindOf(facts)]))
}

/** Generated columns cannot be written. Those that are invisible can. */
function isWritable([, , , , extra]: Row): boolean {
  return !/GENERATED/i.test(String(extra)) || /DEFAULT_GENERATED/i.test(String(extra))
}

function keysOf(rows: readonly Row[]): UniqueKey[] {
  const keys = new Map<string, { columns: string[]; isPartial: boolean }>()
  for (const [index, column, part] of rows) {
    const key = keys.get(String(index)) ?? { columns: [], isPartial: false }
    if (column !== null) key.columns.push(String(column))
    key.isPartial ||= part !== null || column === null
    keys.set(String(index), key)
  }
  return [...keys].map(([name, key]) => ({ name, ...key }))
}

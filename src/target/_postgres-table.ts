import { JobError } from '../index.js'
import { quoted, sqlOf, type TableName } from '../postgres/identifiers.js'
import type { Session } from './_postgres-session.js'

/** What matters of the type of a column when values are written to it. */
export interface ColumnKind {
  /** The name of its type in SQL, without length or precision. */
  readonly sqlType?: string
  /** Whether it holds JSON. */
  readonly isJson: boolean
  /** For an array, the type of its elements. */
  readonly element?: ColumnKind
  /** What stands between the elements of an array of this type. */
  readonly delimiter: string
}

/** Where a table is, or is to be. */
export interface Place {
  /** Schema and name, for messages. */
  readonly title: string
  readonly schema: string
  readonly name: string
  /** Schema and name, quoted, for SQL. */
  readonly sql: string
}

/** A table, as the server knows it. */
export interface Table extends Place {
  /** The columns that can be written, by name. */
  readonly columns: ReadonlyMap<string, ColumnKind>
}

/** What `name` or `schema.name` names. */
export function parseTableName(table: string | TableName): TableName {
  if (typeof table !== 'string') return table
  const [first = '', second] = table.split('.')
  return second === undefined ? { name: first } : { schema: first, name: second }
}

const tableQuery = `
  select c.oid::text as oid, n.nspname as schema, c.relname as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)`

/** Generated columns cannot be written. A domain counts as the type underneath. */
const columnsQuery = `
  with recursive base (name, number, type) as (
    select attname, attnum, atttypid from pg_attribute
    where attrelid = $1::oid and attnum > 0 and not attisdropped and attgenerated = ''
    union all
    select name, number, typbasetype from base join pg_type on oid = type and typtype = 'd'
  )
  select name, t.typname as type, format_type(t.oid, null) as sql_type,
    case when t.typcategory = 'A' then e.typname end as element, e.typdelim as delimiter
  from base join pg_type t on t.oid = type and t.typtype <> 'd' left join pg_type e on e.oid = t.typelem
  order by number`

/** Finds a table, if there is one. */
export async function findTable(session: Session, wanted: TableName): Promise<Table | undefined> {
  const [found] = await session.query(tableQuery, [sqlOf(wanted)])
  if (!found) return undefined
  const { oid, schema, name } = found as { oid: string; schema: string; name: string }
  const columns = await session.query(columnsQuery, [oid])
  // One that was swapped for another one in between has no columns any more.
  if (columns.length === 0 && (await isGone(session, oid))) return findTable(session, wanted)
  return {
    ...placeOf(schema, name),
    columns: new Map(columns.map((column) => [String(column.name), kindOf(column)])),
  }
}

async function isGone(session: Session, oid: string): Promise<boolean> {
  return (await session.query('select from pg_class where oid = $1::oid', [oid])).length === 0
}

/** Where a table would be made that is missing. */
export async function findPlace(session: Session, { schema, name }: TableName): Promise<Place> {
  if (schema !== undefined) return placeOf(schema, name)
  const [found] = await session.query('select current_schema()::text as schema')
  if (typeof found?.schema === 'string') return placeOf(found.schema, name)
  throw new JobError('target', `Expected a schema to create ${quoted(name)} in, found none: name one in \`table\`.`)
}

function placeOf(schema: string, name: string): Place {
  return { title: `${schema}.${name}`, schema, name, sql: sqlOf({ schema, name }) }
}

function kindOf({ type, sql_type, element, delimiter }: Record<string, unknown>): ColumnKind {
  const own = { sqlType: String(sql_type), isJson: type === 'json' || type === 'jsonb', delimiter: ',' }
  if (typeof element !== 'string') return own
  return { ...own, element: { isJson: element === 'json' || element === 'jsonb', delimiter: String(delimiter) } }
}

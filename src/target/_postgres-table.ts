import { JobError } from '../index.js'
import { dollarQuoted, quoted, sqlOf, type TableName } from '../postgres/identifiers.js'
import type { ResultRow, Session } from './_postgres-session.js'

/** What matters of the type of a column when values are written to it. */
export interface ColumnKind {
  /** The name of its type in SQL, without length or precision. */
  readonly sqlType?: string
  /** Whether it holds JSON. */
  readonly isJson: boolean
  /** Whether it holds dates, with or without a time of day. */
  readonly isDate: boolean
  /** Whether the JSON of an object is a value of it: JSON, text, or a type of the user's own. Others read it as something else, or not at all. */
  readonly takesJson: boolean
  /** Whether no update may set it: an identity that is `generated always`. */
  readonly isFixed?: boolean
  /** For an array, the type of its elements. */
  readonly element?: ColumnKind
  /** What stands between the elements of an array of this type. */
  readonly delimiter: string
}

/** What a transaction that writes to a table looks at first: whether it is still the table that was found. */
export interface Guard {
  /** The statement after which nobody can alter the table; none for a role that may not lock it. */
  readonly lock?: string | undefined
  /** The condition that holds when the table was altered. */
  readonly shape: string
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
  /** Missing for a table that is the job's own. */
  readonly guard?: Guard | undefined
}

/** What `name` or `schema.name` names. */
export function parseTableName(table: string | TableName): TableName {
  if (typeof table !== 'string') return table
  const [first = '', second] = table.split('.')
  return second === undefined ? { name: first } : { schema: first, name: second }
}

/** A table, and the composite types that its columns hold: values of these are read by the places of their attributes. */
const relationsOf = (oid: string) => `
  array(select ${oid} union all (
    with recursive types (oid) as (
      select atttypid from pg_attribute where attrelid = ${oid} and attnum > 0 and not attisdropped
      union
      select part from types join pg_type t on t.oid = types.oid cross join lateral (
        select unnest(array[typbasetype, typelem]) as part
        union all select atttypid from pg_attribute where attrelid = typrelid and attnum > 0 and not attisdropped
      ) parts where part <> 0
    )
    select typrelid from types join pg_type using (oid) where typrelid <> 0))`

const tableQuery = `
  select c.oid::text as oid, ${relationsOf('c.oid')}::text as relations, n.nspname as schema, c.relname as name, c.relkind as kind, c.relpersistence as persistence,
    has_table_privilege(c.oid, 'insert, update, delete, truncate') as can_lock
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)`

/** What of a table and its composite types has to stay while it is written: which column holds what. */
const shapeOf = (relations: string) => `
  (select md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attcollation, attidentity, attgenerated), ','
    order by attrelid, attnum))
  from pg_attribute where attrelid = any(${relations}::oid[]) and attnum > 0 and not attisdropped)`

/** Types from this oid on come with an extension or are the user's own. */
const firstOwn = 16384

/**
 * One row for the type of each column, and one for each level of elements below it. Generated columns cannot be written. A domain
 * counts as the type underneath.
 */
const columnsQuery = `
  with recursive types (name, number, identity, level, type) as (
    select attname, attnum, attidentity, 0, atttypid from pg_attribute
    where attrelid = $1::oid and attnum > 0 and not attisdropped and attgenerated = ''
    union all
    select name, number, identity, case typtype when 'd' then level else level + 1 end, case typtype when 'd' then typbasetype else typelem end
    from types join pg_type on oid = type where typtype = 'd' or (typcategory = 'A' and typelem <> 0)
  )
  select name, level, identity, typname as type, format_type(oid, null) as sql_type, typdelim as delimiter,
    typname in ('json', 'jsonb') or typcategory = 'S' or (oid >= ${firstOwn} and typtype = 'b' and typcategory <> 'A') as takes_json,
    ${shapeOf('$2')} as shape
  from types join pg_type on oid = type and typtype <> 'd'
  order by number, level desc`

/** What can be written to by COPY or `insert`: tables, partitioned and foreign ones, and views. */
const kinds = ['r', 'p', 'f', 'v']

/**
 * Whether values that an index takes for equal may differ, as 1.0 and 1.00 do: its operator class does not promise equal images,
 * or its collation is not deterministic. Both are SQL of an oid.
 */
export const isLoose = (operatorClass: string, collation: string) => `
  (not exists (select from pg_opclass o join pg_amproc on amprocfamily = opcfamily and amproclefttype = opcintype
    where o.oid = ${operatorClass} and amprocnum = 4)
  or exists (select from pg_collation where oid = ${collation} and not collisdeterministic))`

/** Finds a table, if there is one. */
export async function findTable(session: Session, wanted: TableName): Promise<Table | undefined> {
  const [found] = await session.query(tableQuery, [sqlOf(wanted)])
  if (!found) return undefined
  const { oid, relations, schema, name, kind, persistence, can_lock } = found as Record<string, string>
  const place = placeOf(String(schema), String(name))
  checkKind(place, String(kind), persistence === 't')
  const columns = await session.query(columnsQuery, [oid, relations])
  // One that was swapped for another one in between has no columns any more.
  if (columns.length === 0 && (await isGone(session, String(oid)))) return findTable(session, wanted)
  const lock = can_lock && kind !== 'f' ? `lock table ${place.sql} in row exclusive mode` : undefined
  const isOther = `to_regclass(${dollarQuoted(place.sql)}) is distinct from ${oid}::oid`
  const shape = `${isOther} or ${shapeOf(`'${relations}'`)} is distinct from '${columns[0]?.shape}'`
  return { ...place, columns: kindsOf(columns), guard: { lock, shape } }
}

/** Rows of a temporary table are gone with the connection, and no other one sees them. */
function checkKind({ title }: Place, kind: string, isTemporary: boolean): void {
  if (isTemporary) {
    throw new JobError(
      'target',
      `Expected \`${title}\` to be a table that lasts, found a temporary one, which comes before others of its name: name the schema in \`table\`.`,
    )
  }
  if (kinds.includes(kind)) return
  throw new JobError(
    'target',
    `Expected \`${title}\` to be a table, found a relation of the kind \`${kind}\` (pg_class.relkind).`,
  )
}

/** Whether a rule puts something else in the place of a write. COPY goes past rules. */
const isDetour = `is_instead and ev_type <> '1' and ev_enabled <> 'D'`

/** Such rules of a table, or of those that a view is made of. */
const rulesQuery = `
  with recursive relations (oid) as (
    select $1::regclass::oid
    union
    select refobjid from relations join pg_rewrite rule on ev_class = relations.oid and ev_type = '1'
      join pg_depend on classid = 'pg_rewrite'::regclass and objid = rule.oid and refclassid = 'pg_class'::regclass
  )
  select rulename as name, ev_class::regclass::text as relation from pg_rewrite join relations on ev_class = relations.oid
  where ${isDetour} order by 1 limit 1`

/** A guard for statements that such a rule would change: it may come beside a run. */
export function withoutRules({ guard, sql }: Table): Guard | undefined {
  if (!guard) return undefined
  const rules = `select from pg_rewrite where ev_class = to_regclass(${dollarQuoted(sql)}) and ${isDetour}`
  return { ...guard, shape: `${guard.shape} or exists (${rules})` }
}

/** Throws `target` for a table whose rules make something else of a statement that writes rows, or nothing. */
export async function refuseRules(session: Session, { sql, title }: Place): Promise<void> {
  const [found] = await session.query(rulesQuery, [sql])
  if (!found) return
  throw new JobError(
    'target',
    `Expected \`${title}\` to take the rows that are written, found the rule \`${found.name}\` on ${found.relation}, which does something else instead. Use a trigger, or append: COPY passes rules by.`,
  )
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

/** Elements come before the arrays that they are in. */
function kindsOf(rows: readonly ResultRow[]): Map<string, ColumnKind> {
  const kinds = new Map<string, ColumnKind>()
  let element: ColumnKind | undefined
  for (const { name, level, ...type } of rows) {
    const kind = { ...kindOf(type), ...(element && { element }) }
    element = level === 0 ? undefined : kind
    if (level === 0) kinds.set(String(name), kind)
  }
  return kinds
}

function kindOf({ type, sql_type, delimiter, identity, takes_json }: ResultRow): ColumnKind {
  return {
    sqlType: String(sql_type),
    isJson: type === 'json' || type === 'jsonb',
    isDate: type === 'date' || type === 'timestamp' || type === 'timestamptz',
    takesJson: takes_json === true,
    isFixed: identity === 'a',
    delimiter: String(delimiter),
  }
}

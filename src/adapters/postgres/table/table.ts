import { JobError } from '../../../adapter.js'
import { dollarQuoted, quoted, type ResultRow, sqlOf, type TableName, type WriteSession } from '../client/index.js'
import { hasFixedId, TypeGraph, typesQuery } from '../types/index.js'
import type { ColumnKind } from './column-kind.js'
import { checkOf } from './column-limits.js'

/** The check at the start of a writing transaction: whether the table is still the one that was found. */
export interface Guard {
  /** The statement that locks the table against changes. Undefined for a role that may not lock it. */
  readonly lock?: string | undefined
  /** The SQL condition that is true when the table was altered. */
  readonly shape: string
}

/** The location of a table that exists or will be created. */
export interface TableRef {
  /** Schema and name, for messages. */
  readonly title: string
  readonly schema: string
  readonly name: string
  /** Schema and name, quoted, for SQL. */
  readonly sql: string
}

/** A table with its columns. */
export interface Table extends TableRef {
  /** The columns that can be written, by name. */
  readonly columns: ReadonlyMap<string, ColumnKind>
  /** For a staging table, which belongs to the job, only the guard of its types. */
  readonly guard?: Guard | undefined
  /** The check of the composite types of its columns, which may be altered although the table is locked. Undefined without such types. */
  readonly typeGuard?: Guard | undefined
}

/** Parses `name` or `schema.name`. */
export function parseTableName(table: string | TableName): TableName {
  if (typeof table !== 'string') return table
  const [first = '', second] = table.split('.')
  return second === undefined ? { name: first } : { schema: first, name: second }
}

/** A table and the composite types of its columns, whose values are read by the order of their attributes. */
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

const tableQuery = (table: string) => `
  select
    c.oid::text as oid,
    ${relationsOf('c.oid')}::text as relations,
    n.nspname as schema,
    c.relname as name,
    c.relkind as kind,
    c.relpersistence as persistence,
    current_setting('server_version_num')::int as version,
    has_table_privilege(c.oid, 'insert, update, delete, truncate') as can_lock
  from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
  where c.oid = to_regclass(${dollarQuoted(table)})`

/** A digest of the parts of a table and its composite types that must not change while it is written. */
const shapeOf = (relations: string) => `
  (select md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attcollation, attidentity, attgenerated), ','
    order by attrelid, attnum))
  from pg_attribute where attrelid = any(${relations}::oid[]) and attnum > 0 and not attisdropped)`

/** Types from this oid on are custom or come with an extension. */
const firstOwn = 16384

/**
 * One row per column type, and one for each level of elements below it. Generated columns are left out. A domain
 * counts as its base type.
 */
const columnsQuery = (oid: string, relations: string, composites: string) => `
  with recursive types (name, number, identity, is_domain, level, type, modifier) as (
    select
      attname,
      attnum,
      attidentity,
      typtype = 'd',
      0,
      atttypid,
      atttypmod
    from pg_attribute
      join pg_type t on t.oid = atttypid
    where attrelid = ${oid}::oid
      and attnum > 0
      and not attisdropped
      and attgenerated = ''
    union all
    select
      name,
      number,
      identity,
      is_domain,
      case typtype when 'd' then level else level + 1 end,
      case typtype when 'd' then typbasetype else typelem end,
      case typtype when 'd' then typtypmod else modifier end
    from types
      join pg_type on oid = type
    where typtype = 'd' or (typcategory = 'A' and typelem <> 0)
  )
  select
    name,
    level,
    identity,
    is_domain,
    typname as type,
    oid::text as type_id,
    format_type(oid, null) as sql_type,
    format_type(oid, modifier) as full_type,
    scale(0::money::numeric) as money_scale,
    typdelim as delimiter,
    typname in ('json', 'jsonb') or typcategory = 'S' or (oid >= ${firstOwn} and typtype = 'b' and typcategory <> 'A') as takes_json,
    ${shapeOf(`'${relations}'`)} as shape,
    ${shapeOf(`'${composites}'`)} as composite_shape
  from types
    join pg_type on oid = type and typtype <> 'd'
  order by number, level desc`

/** The kinds of relations that COPY or `insert` can write to: tables, partitioned and foreign tables, and views. */
const kinds = ['r', 'p', 'f', 'v']

/**
 * SQL for whether values that an index treats as equal may differ, as 1.0 and 1.00 do: its operator class does not
 * guarantee equal images, or its collation is not deterministic. Both arguments are SQL of an oid.
 */
export const isLoose = (operatorClass: string, collation: string) => `
  (not exists (select from pg_opclass o join pg_amproc on amprocfamily = opcfamily and amproclefttype = opcintype
    where o.oid = ${operatorClass} and amprocnum = 4)
  or exists (select from pg_collation where oid = ${collation} and not collisdeterministic))`

/** Finds a table, if it exists. */
export async function findTable(session: WriteSession, wanted: TableName): Promise<Table | undefined> {
  const [found] = await session.queryUntimed(tableQuery(sqlOf(wanted)))
  if (!found) return undefined
  const { oid, relations, schema, name, kind, persistence, can_lock } = found as Record<string, string>
  const composites = `{${String(relations).slice(1, -1).split(',').slice(1)}}`
  const ref = tableRefOf(String(schema), String(name))
  checkKind(ref, String(kind), persistence === 't')
  const columns = await session.queryUntimed(columnsQuery(String(oid), String(relations), composites))
  // A table that was swapped after the first query has no columns any more.
  if (columns.length === 0 && (await isGone(session, String(oid)))) return findTable(session, wanted)
  const lock = can_lock && kind !== 'f' ? `lock table ${ref.sql} in row exclusive mode` : undefined
  const isOther = `to_regclass(${dollarQuoted(ref.sql)}) is distinct from ${oid}::oid`
  const shape = `${isOther} or ${shapeOf(`'${relations}'`)} is distinct from '${columns[0]?.shape}'`
  const typeShape = `${shapeOf(`'${composites}'`)} is distinct from '${columns[0]?.composite_shape}'`
  // What the types are is asked after their shape, so that the guard notices a change in between.
  const forms = await formsOf(session, columns, Number(found.version))
  return {
    ...{ ...ref, columns: kindsOf(columns, forms), guard: { lock, shape } },
    ...(composites !== '{}' && { typeGuard: { shape: typeShape } }),
  }
}

/** The relations that are no tables, by `pg_class.relkind`. */
const relationNames: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  i: 'an index',
  I: 'an index',
  S: 'a sequence',
  c: 'a composite type',
  f: 'a foreign table',
}

/** Rows of a temporary table disappear with the connection and are invisible to others. */
function checkKind({ title }: TableRef, kind: string, isTemporary: boolean): void {
  if (isTemporary) {
    throw new JobError(
      'target',
      `Expected \`${title}\` to be a permanent table, found a temporary one, which hides others of its name: name the schema in \`table\`.`,
    )
  }
  if (kinds.includes(kind)) return
  throw new JobError(
    'target',
    `Expected \`${title}\` to be a table, found ${relationNames[kind] ?? `a relation of the kind \`${kind}\` (pg_class.relkind)`}.`,
  )
}

/** SQL for whether a rule replaces a write, or adds statements to it. COPY bypasses rules. */
const changesWrites = `ev_type <> '1' and ev_enabled <> 'D'`

/** Such rules of a table, or of the tables under a view. */
const rulesQuery = `
  with recursive relations (oid) as (
    select $1::regclass::oid
    union
    select refobjid
    from relations
      join pg_rewrite rule on ev_class = relations.oid and ev_type = '1'
      join pg_depend on classid = 'pg_rewrite'::regclass and objid = rule.oid and refclassid = 'pg_class'::regclass
  )
  select rulename as name, ev_class::regclass::text as relation
  from pg_rewrite
    join relations on ev_class = relations.oid
  where ${changesWrites}
  order by 1 limit 1`

/** A guard that also detects such rules, which may be added during a run. */
export function withoutRules({ guard, sql }: Table): Guard | undefined {
  if (!guard) return undefined
  const rules = `select from pg_rewrite where ev_class = to_regclass(${dollarQuoted(sql)}) and ${changesWrites}`
  return { ...guard, shape: `${guard.shape} or exists (${rules})` }
}

/** Throws `target` for a table whose rules replace writes, suppress them, or add statements, which a merge does not support. */
export async function refuseRules(session: WriteSession, { sql, title }: TableRef): Promise<void> {
  const [found] = await session.query(rulesQuery, [sql])
  if (!found) return
  throw new JobError(
    'target',
    `The rule \`${found.name}\` on ${found.relation} changes writes to \`${title}\`. Use a trigger, or append: COPY bypasses rules.`,
  )
}

async function isGone(session: WriteSession, oid: string): Promise<boolean> {
  return (await session.queryUntimed(`select from pg_class where oid = ${oid}::oid`)).length === 0
}

/** The location where a missing table would be created. */
export async function findTableRef(session: WriteSession, { schema, name }: TableName): Promise<TableRef> {
  if (schema !== undefined) return tableRefOf(schema, name)
  const [found] = await session.queryUntimed('select current_schema()::text as schema')
  if (typeof found?.schema === 'string') return tableRefOf(found.schema, name)
  throw new JobError('target', `Expected a schema to create ${quoted(name)} in, found none: name one in \`table\`.`)
}

function tableRefOf(schema: string, name: string): TableRef {
  return { title: `${schema}.${name}`, schema, name, sql: sqlOf({ schema, name }) }
}

/** From this version on, servers take other ids of types in bytes than their own, except of built-in types. */
const firstWithoutIds = 150_000

/** Returns the name of the binary form of a type. */
async function formsOf(
  session: WriteSession,
  columns: readonly ResultRow[],
  version: number,
): Promise<(id: number) => string | undefined> {
  const ids = columns.flatMap(({ level, type_id }) => (level === 0 ? Number(type_id) : []))
  const others = ids.filter((id) => !hasFixedId(id))
  const types = others.length === 0 ? [] : await session.queryUntimed(typesQuery(`'{${others}}'::oid[]`))
  const graph = new TypeGraph(types.map(({ type }) => type))
  return (id) => {
    const form = graph.formOf(id)
    return form?.hasIds && version < firstWithoutIds ? undefined : form?.name
  }
}

/** Elements come before their arrays. */
function kindsOf(rows: readonly ResultRow[], formOf: (id: number) => string | undefined): Map<string, ColumnKind> {
  const kinds = new Map<string, ColumnKind>()
  let element: ColumnKind | undefined
  for (const { name, level, ...type } of rows) {
    const form = formOf(Number(type.type_id))
    const known = { ...kindOf(type), form, ...(element && { element }) }
    const kind = { ...known, check: checkOf(known, Number(type.money_scale)) }
    element = level === 0 ? undefined : kind
    if (level === 0) kinds.set(String(name), kind)
  }
  return kinds
}

function kindOf({ type, sql_type, full_type, delimiter, identity, is_domain, takes_json }: ResultRow): ColumnKind {
  return {
    sqlType: String(sql_type),
    fullType: String(full_type),
    isJson: type === 'json' || type === 'jsonb',
    isDate: type === 'date' || type === 'timestamp' || type === 'timestamptz',
    takesJson: takes_json === true,
    isFixed: identity === 'a',
    isDomain: is_domain === true,
    delimiter: String(delimiter),
  }
}

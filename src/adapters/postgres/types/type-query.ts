import { firstUnfixedId } from '../protocol/index.js'

/** The lowest id of an object that is not built in. */
export const firstUserId = 16_384

/** Whether a type is a built-in one whose id is the same on every server. Others, such as the domains of `information_schema`, get theirs when the server is set up. */
export function hasFixedId(id: number): boolean {
  return id < firstUnfixedId
}

/**
 * Whether headgate can create such a type, a row `own` of `pg_type`: an enum, a domain or a composite type that is neither built in, nor of
 * an extension, nor that of a table.
 */
const isMade = `(own.oid >= ${firstUserId}
  and (own.typtype in ('e', 'd') or own.typtype = 'c' and exists (select from pg_class where oid = own.typrelid and relkind = 'c'))
  and not exists (select from pg_depend where classid = 'pg_type'::regclass and objid = own.oid and deptype = 'e'))`

/** The element type of an array type, and null for other types, also those that only look like arrays, such as `name`. */
const elementOf = (type: string) =>
  `(select e.oid from pg_type e where e.oid = ${type}.typelem and e.typarray = ${type}.oid)`

/** The name of a type that headgate can create, or of an array of it, with its schema. Null for other types. */
const madeName = (id: string) => `
  (select format('%I.%I', n.nspname, own.typname) || case when own.oid = named.oid then '' else '[]' end
  from pg_type named
    join pg_type own on own.oid = coalesce(${elementOf('named')}, named.oid)
    join pg_namespace n on n.oid = own.typnamespace
  where named.oid = ${id} and ${isMade})`

/** The type as SQL. Types that headgate does not create have the name by which the session knows them. */
const sqlOf = (id: string, modifier: string) => `coalesce(${madeName(id)}, format_type(${id}, ${modifier}))`

/** The same without the schema of a type that headgate does not create: an extension may be in another schema elsewhere. */
const partOf = (id: string, modifier: string) =>
  `coalesce(${madeName(id)}, regexp_replace(format_type(${id}, ${modifier}), '^("[^"]*"|[^".(]+)[.]', ''))`

/** The collation of a column or a domain where it is not that of its type. */
const collationOf = (id: string, type: string) => `
  (select format(' collate %I.%I', n.nspname, l.collname)
  from pg_collation l join pg_namespace n on n.oid = l.collnamespace
  where l.oid = ${id} and ${id} is distinct from (select typcollation from pg_type where oid = ${type}))`

/**
 * One row of JSON for each of these types and of the types that they consist of, at any depth. `ids` is SQL of an array of oids. Before
 * version 14, there are no multiranges. The planner takes an array for a few rows, and a recursion for thousands: it would compile the query,
 * which takes a second.
 */
export const typesQuery = (ids: string) => `
  with recursive reached (id) as (
    select unnest(${ids})
    union
    select part
    from reached
      join pg_type t on t.oid = id
      cross join lateral (
        select unnest(array[typbasetype, ${elementOf('t')}])
        union all
        select atttypid from pg_attribute where attrelid = typrelid and typrelid <> 0 and attnum > 0 and not attisdropped
        union all
        select rngsubtype from pg_range where rngtypid = t.oid or to_jsonb(pg_range)->>'rngmultitypid' = t.oid::text
      ) as parts (part)
    where part <> 0
  )
  select json_build_object(
    'id', t.oid::text,
    'kind', t.typtype,
    'name', ${madeName('t.oid')},
    'element', ${elementOf('t')}::text,
    'base', typbasetype::text,
    'baseSql', case when typtype = 'd' then concat(${sqlOf('t.typbasetype', 't.typtypmod')}, ${collationOf('t.typcollation', 't.typbasetype')}) end,
    'basePart', case when typtype = 'd' then ${partOf('t.typbasetype', 't.typtypmod')} end,
    'isNotNull', typnotnull,
    'subtype', (select rngsubtype::text from pg_range where rngtypid = t.oid or to_jsonb(pg_range)->>'rngmultitypid' = t.oid::text),
    'labels', array(select enumlabel::text from pg_enum where enumtypid = t.oid order by enumsortorder),
    'attributes', array(
      select json_build_object(
        'id', atttypid::text,
        'sql', concat(quote_ident(attname), ' ', ${sqlOf('atttypid', 'atttypmod')}, ${collationOf('attcollation', 'atttypid')}),
        'part', concat(quote_ident(attname), ' ', ${partOf('atttypid', 'atttypmod')})
      )
      from pg_attribute
      where attrelid = typrelid and typrelid <> 0 and attnum > 0 and not attisdropped
      order by attnum
    )
  )::text as type
  from pg_type t
  where t.oid = any(array(select id from reached))`

/** The defaults and the checks of domains, for a session whose search path is empty, so that all names have their schema. */
export const domainClausesQuery = (ids: readonly number[]) => `
  select json_build_object(
    'id', t.oid::text,
    'default', pg_get_expr(typdefaultbin, 0),
    'checks', array(
      select format('constraint %I %s', conname, regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', ''))
      from pg_constraint c
      where contypid = t.oid and contype = 'c'
      order by conname
    )
  )::text as clauses
  from pg_type t
  where t.oid = any('{${ids}}'::oid[])`

import type { Field } from '../protocol/index.js'
import { firstUserId } from '../types/index.js'

/**
 * Whether a locked table was emptied, rewritten or created after the snapshot of the transaction. Catalog queries
 * show the state of the snapshot; functions show the current state.
 */
export const isStale = `exists (select from pg_locks held left join pg_class c on c.oid = held.relation
  where held.pid = pg_backend_pid() and held.locktype = 'relation' and held.relation >= ${firstUserId}
    and held.database = (select oid from pg_database where datname = current_database())
    and (c.oid is null or (c.relfilenode <> 0 and c.relfilenode is distinct from pg_relation_filenode(c.oid))))`

/** SQL for the name of the table or view column that a field passes on, or null. */
export function sourceOf({ tableID, columnID }: Pick<Field, 'tableID' | 'columnID'>): string {
  if (tableID === 0) return 'null'
  return `(select format('%I.%I.%I', n.nspname, c.relname, a.attname)
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where a.attrelid = ${tableID} and a.attnum = ${columnID})`
}

/**
 * SQL for whether a collation is deterministic, and for its name: its locale has a different catalog column in each
 * version.
 */
export function collationOf(id: string): string {
  const from = `from pg_collation l where l.oid = ${id}`
  const locale = (row: string, prefix: string) =>
    `concat_ws(' ', ${row}.${prefix}collate, to_jsonb(${row}) ->> '${prefix}locale', to_jsonb(${row}) ->> '${prefix}iculocale')`
  const ofDatabase = `(select ${locale('d', 'dat')} from pg_database d where d.datname = current_database())`
  return `(select l.collisdeterministic ${from}),
    (select case l.collprovider when 'd' then ${ofDatabase} else concat_ws(' ', l.collname, ${locale('l', 'coll')}) end ${from})`
}

/** A digest of the attributes of the composite types among these types, at any depth. */
export const attributesQuery = `
  with recursive types (id) as (
    select unnest($1::oid[])
    union
    select part from types join pg_type t on t.oid = id cross join lateral (
      select unnest(array[typbasetype, typelem]) as part
      union all select atttypid from pg_attribute where attrelid = typrelid and attnum > 0 and not attisdropped
    ) parts where part <> 0
  )
  select md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod), ',' order by attrelid, attnum))
  from types join pg_type t on t.oid = id join pg_attribute on attrelid = typrelid
  where typrelid <> 0 and attnum > 0 and not attisdropped`

import { JobError } from '../index.js'
import { quoted, sqlOf } from '../postgres/identifiers.js'
import type { Session } from './_postgres-session.js'
import { raiseSequences, requireSameShape, type Swap } from './_postgres-swap.js'
import type { Table } from './_postgres-table.js'

/** What hangs on a table and would not hang on the one that comes in its place. */
const obstaclesQuery = `
  with t as (select * from pg_class where oid = $1::text::regclass)
  select distinct coalesce(pg_describe_object('pg_class'::regclass, ev_class, 0), pg_describe_object(classid, objid, objsubid)) as obstacle
  from t join pg_depend d on (refclassid, refobjid) in (('pg_class'::regclass, t.oid), ('pg_type'::regclass, t.reltype))
    left join pg_rewrite r on classid = 'pg_rewrite'::regclass and r.oid = objid
  where deptype = 'n' and ev_class is distinct from t.oid and (classid, objid) not in (
    select 'pg_trigger'::regclass, oid from pg_trigger where tgrelid = t.oid
    union all select 'pg_attrdef'::regclass, oid from pg_attrdef where adrelid = t.oid
    union all select 'pg_constraint'::regclass, oid from pg_constraint where conrelid = t.oid and confrelid <> t.oid)
  union select 'policy ' || quote_ident(polname) from pg_policy, t where polrelid = t.oid
  union select 'row-level security' from t where relrowsecurity or relforcerowsecurity
  union select 'the type ' || reloftype::regtype from t where reloftype <> 0
  union select 'security label of ' || quote_ident(provider) from pg_seclabel, t where objoid = t.oid and classoid = 'pg_class'::regclass
  union select 'membership of ' || pg_describe_object(refclassid, refobjid, 0) from pg_depend, t where classid = 'pg_class'::regclass and objid = t.oid and deptype = 'e'
  union select 'subscription ' || srsubid from pg_subscription_rel, t where srrelid = t.oid
  union select 'privileges granted by ' || grantor::regrole from t, aclexplode(relacl) where grantor <> relowner
  union select 'privileges granted by ' || grantor::regrole from t join pg_attribute on attrelid = t.oid, aclexplode(attacl) where grantor <> relowner
  union select 'rule ' || quote_ident(rulename) from pg_rewrite, t where ev_class = t.oid
  union select 'publication ' || quote_ident(pubname) from pg_publication_rel join pg_publication p on p.oid = prpubid, t where prrelid = t.oid
  union select 'inheritance from ' || inhparent::regclass from pg_inherits, t where inhrelid = t.oid
  union select 'its being no plain table' from t where relkind <> 'r'
  order by 1`

/**
 * Constraints and indexes. Their names are taken until the old table is gone, so they get others: $3 and the number of the
 * old one. Foreign keys come last; checking them apart from adding them locks the other table for a moment only.
 */
const preparationsQuery = `
  with made as (
    select contype = 'f' as is_last, conname as name,
      format('set local default_tablespace to %L; alter table %s add constraint %I %s', (select coalesce(max(spcname), '') from pg_class i join pg_tablespace s on s.oid = i.reltablespace where i.oid = conindid), $2::text, $3 || oid, pg_get_constraintdef(oid) || case when contype = 'f' and convalidated then ' not valid' else '' end) as make,
      case when contype = 'f' and convalidated then format('alter table %s validate constraint %I', $2::text, $3 || oid) end as check,
      format('alter table %s rename constraint %I to %I', $1::text, $3 || oid, conname) as rename,
      format('comment on constraint %I on %s is %L', conname, $1::text, obj_description(oid, 'pg_constraint')) as comment
    from pg_constraint where conrelid = $1::text::regclass and contype in ('p', 'u', 'x', 'f')
    union all
    select false, c.relname,
      format('set local default_tablespace to %L; create %sindex %I on %s %s', (select coalesce(max(spcname), '') from pg_tablespace s where s.oid = c.reltablespace), case when indisunique then 'unique ' else '' end, $3 || c.oid, $2::text,
        substr(pg_get_indexdef(c.oid), 1 + length(format('CREATE %sINDEX %I ON %I.%I ', case when indisunique then 'UNIQUE ' else '' end, c.relname, n.nspname, t.relname)))),
      null,
      format('alter index %I.%I rename to %I', n.nspname, $3 || c.oid, c.relname),
      null
    from pg_index join pg_class c on c.oid = indexrelid join pg_class t on t.oid = indrelid join pg_namespace n on n.oid = t.relnamespace
    where indrelid = $1::text::regclass and indisvalid and indexrelid not in (select conindid from pg_constraint where contype in ('p', 'u', 'x'))
  )
  select make, "check", rename, comment from made order by is_last, name`

/** What else the old table has, as statements over the name that the new one then has: $1. The new one is now called $2. */
const carriedQuery = `
  with t as (select * from pg_class where oid = $1::text::regclass),
    made as (select * from pg_class where oid = $2::text::regclass),
    columns as (select a.* from pg_attribute a, t where attrelid = t.oid and attnum > 0 and not attisdropped),
    indexes as (select i.*, format('%I.%I', nspname, c.relname) as name from pg_index i, t, pg_class c join pg_namespace n on n.oid = c.relnamespace
      where indrelid = t.oid and c.oid = indexrelid),
    sequences as (select s.*, format('%I.%I', nspname, s.relname) as name, m.oid as other, m.relacl as made_acl, m.relowner as maker
      from columns join pg_class s on s.oid = pg_get_serial_sequence($1::text, attname)::regclass join pg_namespace n on n.oid = s.relnamespace
        join pg_class m on m.oid = pg_get_serial_sequence($2::text, attname)::regclass
      where attidentity <> ''),
    acls (object, old, made, owner, maker) as (
      select 'table ' || $1::text, t.relacl, made.relacl, t.relowner, made.relowner from t, made
      union all select 'sequence ' || name, relacl, made_acl, relowner, maker from sequences
      union all select 'type ' || $1::text, y.typacl, null, y.typowner, y.typowner from t join pg_type y on y.oid = t.reltype),
    roles (id, name) as (select oid, quote_ident(rolname) from pg_roles union all select 0, 'public')
  select 1 as place, format('alter table %s alter %I set statistics %s', $1::text, attname, attstattarget) as statement from columns where attstattarget >= 0
  union all select 1, format('alter table %s alter %I set (%s)', $1::text, attname, array_to_string(attoptions, ', ')) from columns where attoptions is not null
  union all select 1, format('alter sequence %s rename to %I', other::regclass, relname) from sequences
  union all select 2, format('alter sequence %s as %s', name, format_type(seqtypid, null)) from sequences join pg_sequence on seqrelid = sequences.oid
  union all select 2, format('comment on sequence %s is %L', name, obj_description(oid, 'pg_class')) from sequences
  union all select 1, format('comment on table %s is %L', $1::text, obj_description(oid, 'pg_class')) from t
  union all select 1, format('comment on type %s is %L', $1::text, obj_description(reltype, 'pg_type')) from t
  union all select 1, format('comment on index %s is %L', name, obj_description(indexrelid, 'pg_class')) from indexes where indisvalid
  union all select 1, format('alter index %s alter column %s set statistics %s', name, attnum, attstattarget)
    from indexes join pg_attribute on attrelid = indexrelid where indisvalid and attstattarget >= 0
  union all select 1, format('alter index %s set (%s)', name, array_to_string(reloptions, ', ')) from indexes join pg_class c on c.oid = indexrelid where indisvalid and reloptions is not null
  union all select 1, format('alter table %s cluster on %I', $1::text, relname) from indexes join pg_class c on c.oid = indexrelid where indisclustered
  union all select 1, case relreplident when 'f' then format('alter table %s replica identity full', $1::text) when 'n' then format('alter table %s replica identity nothing', $1::text)
    when 'i' then (select format('alter table %s replica identity using index %I', $1::text, relname) from indexes join pg_class i on i.oid = indexrelid where indisreplident) end from t
  union all select 2, pg_get_triggerdef(g.oid) from pg_trigger g, t where tgrelid = t.oid and not tgisinternal
  union all select 3, format('comment on trigger %I on %s is %L', tgname, $1::text, obj_description(g.oid, 'pg_trigger')) from pg_trigger g, t where tgrelid = t.oid and not tgisinternal
  union all select 3, format('alter table %s %s trigger %I', $1::text, case tgenabled when 'D' then 'disable' when 'A' then 'enable always' else 'enable replica' end, tgname)
    from pg_trigger g, t where tgrelid = t.oid and not tgisinternal and tgenabled <> 'O'
  union all select 5, format('revoke all on %s from %s', object, roles.name) from acls, aclexplode(made) join roles on id = grantee where grantee <> maker
  union all select 5, format('revoke all on %s from public, %I', object, pg_get_userbyid(owner)) from acls where old is not null
  union all select 6, format('grant %s on %s to %s%s', privilege_type, object, roles.name, case when is_grantable then ' with grant option' else '' end)
    from acls, aclexplode(old) join roles on id = grantee
  union all select 6, format('grant %s (%I) on %s to %s%s', privilege_type, attname, $1::text, roles.name, case when is_grantable then ' with grant option' else '' end)
    from columns, aclexplode(attacl) join roles on id = grantee
  order by place`

/** Statistics over several columns: \`like\` makes the same ones in the same order, and names them itself. */
const statisticsQuery = `
  with known as (
    select s.*, row_number() over (partition by stxrelid order by s.oid) as place, to_jsonb(s) ->> 'stxstattarget' as target,
      format('%I.%I', nspname, stxname) as name, format('%I', nspname) as schema
    from pg_statistic_ext s join pg_namespace n on n.oid = stxnamespace where stxrelid in ($1::text::regclass, $2::text::regclass)
  ), pairs as (
    select old.*, made.name as made, format('%s.%s', made.schema, quote_ident($3::text || old.oid)) as moved
    from known old join known made using (place) where old.stxrelid = $1::text::regclass and made.stxrelid = $2::text::regclass
  )
  select 1 as place, format('alter statistics %s rename to %I', made, $3 || oid) as statement from pairs
  union all select 2, format('alter statistics %s set schema %s', moved, schema) from pairs
  union all select 3, format('alter statistics %s.%I rename to %I', schema, $3 || oid, stxname) from pairs
  union all select 4, format('alter statistics %s owner to %I', name, pg_get_userbyid(stxowner)) from pairs where stxowner <> (select relowner from pg_class where oid = $2::text::regclass)
  union all select 4, format('alter statistics %s set statistics %s', name, target) from pairs where target::int >= 0
  union all select 4, format('comment on statistics %s is %L', name, obj_description(oid, 'pg_statistic_ext')) from pairs
  order by place`

/** The owner, and the sequences that would go with the old table, as those of `serial` columns: both have one owner. */
const ownedQuery = `
  select format('alter table %s owner to %I', $1::text, pg_get_userbyid(t.relowner)) as statement
  from pg_class t join pg_class n on n.oid = $2::text::regclass and n.relowner <> t.relowner where t.oid = $1::text::regclass
  union all
  select format('alter sequence %s owned by %s.%I', d.objid::regclass, $1::text, attname) as statement
  from pg_depend d join pg_attribute on attrelid = refobjid and attnum = refobjsubid
  where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and refobjid = $1::text::regclass and deptype = 'a'
    and objid in (select oid from pg_class where relkind = 'S')`

/**
 * Gives the staging table the name of the table, with all that it has, and drops the old one. The lock is held for
 * milliseconds whatever the size, but readers wait for it.
 */
export class RenameSwap implements Swap {
  readonly #table: Table
  readonly #staging: string
  /** What the names begin with that are taken until the old table is gone. */
  readonly #prefix: string
  /** What is done once they are free. */
  #renames: string[] = []

  constructor(table: Table, staging: string, mark: string) {
    this.#table = table
    this.#staging = staging
    this.#prefix = `headgate_${mark}_`
  }

  async check(session: Session): Promise<void> {
    const found = await session.query(obstaclesQuery, [this.#table.sql])
    if (found.length === 0) return
    const obstacles = found.map(({ obstacle }) => obstacle).join(', ')
    const message = `Expected nothing to hang on \`${this.#table.title}\` that the swap \`rename\` would cut off, found: ${obstacles}. Use the swap \`rows\`.`
    throw new JobError('target', message)
  }

  accept(): void {}

  async preparations(session: Session): Promise<readonly string[]> {
    const { sql } = this.#table
    const found = await session.query(preparationsQuery, [sql, this.#staging, this.#prefix])
    const textsOf = (...names: string[]) => found.flatMap((row) => names.map((name) => row[name])).filter(isText)
    this.#renames = textsOf('rename', 'comment')
    const [unlogged] = await session.query(
      `select from pg_class where oid = $1::text::regclass and relpersistence = 'u'`,
      [sql],
    )
    const settings = unlogged ? [`alter table ${this.#staging} set unlogged`] : []
    return [...settings, ...textsOf('make', 'check'), `analyze ${this.#staging}`]
  }

  async swap(session: Session): Promise<void> {
    const { sql, schema, name } = this.#table
    const old = `${this.#prefix}old`
    await session.query(`lock table ${sql} in access exclusive mode`)
    await this.check(session)
    await requireSameShape(session, this.#table, this.#staging)
    await session.query(raiseSequences, [this.#staging, sql])
    const carried = await session.query(carriedQuery, [sql, this.#staging])
    const owned = await session.query(ownedQuery, [sql, this.#staging])
    const statistics = await session.query(statisticsQuery, [sql, this.#staging, this.#prefix])
    const statements = [
      `alter table ${sql} rename to ${quoted(old)}`,
      `alter table ${this.#staging} rename to ${quoted(name)}`,
      ...owned.map(({ statement }) => statement),
      `drop table ${sqlOf({ schema, name: old })}`,
      ...this.#renames,
      ...statistics.map(({ statement }) => statement),
      ...carried.map(({ statement }) => statement),
    ]
    for (const statement of statements.filter(isText)) await session.query(statement)
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

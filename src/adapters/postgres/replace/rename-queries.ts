/**
 * Constraints and indexes. Their names are in use until the old table is dropped, so the new ones get $3 and the oid
 * of the old one. Foreign keys come last: adding and checking them in two steps locks the other table only for a
 * moment.
 */
export const preparationsQuery = `
  with made as (
    select
      contype = 'f' as is_last,
      conname as name,
      format(
        'set local default_tablespace to %L; alter table %s add constraint %I %s',
        (
          select coalesce(max(spcname), '')
          from pg_class i
            join pg_tablespace s on s.oid = i.reltablespace
          where i.oid = conindid
        ),
        $2::text,
        $3 || oid,
        pg_get_constraintdef(oid) || case when contype = 'f' and convalidated then ' not valid' else '' end
      ) as make,
      case when contype = 'f' and convalidated then format('alter table %s validate constraint %I', $2::text, $3 || oid) end as check,
      format('alter table %s rename constraint %I to %I', $1::text, $3 || oid, conname) as rename,
      format('comment on constraint %I on %s is %L', conname, $1::text, obj_description(oid, 'pg_constraint')) as comment
    from pg_constraint
    where conrelid = $1::text::regclass
      and contype in ('p', 'u', 'x', 'f')
    union all
    select
      false,
      c.relname,
      format(
        'set local default_tablespace to %L; create %sindex %I on %s %s',
        (
          select coalesce(max(spcname), '')
          from pg_tablespace s
          where s.oid = c.reltablespace
        ),
        case when indisunique then 'unique ' else '' end,
        $3 || c.oid,
        $2::text,
        substr(
          pg_get_indexdef(c.oid),
          1 + length(
            format(
              'CREATE %sINDEX %I ON %I.%I ',
              case when indisunique then 'UNIQUE ' else '' end,
              c.relname,
              n.nspname,
              t.relname
            )
          )
        )
      ),
      null,
      format('alter index %I.%I rename to %I', n.nspname, $3 || c.oid, c.relname),
      null
    from pg_index
      join pg_class c on c.oid = indexrelid
      join pg_class t on t.oid = indrelid
      join pg_namespace n on n.oid = t.relnamespace
    where indrelid = $1::text::regclass
      and indisvalid
      and indexrelid not in (
        select conindid
        from pg_constraint
        where contype in ('p', 'u', 'x')
      )
  )
  select make, "check", rename, comment
  from made
  order by is_last, name`

/**
 * Everything else of the old table, as statements on the name that the new table will have: $1. Its current name is
 * $2.
 */
export const carriedQuery = `
  with t as (
    select *
    from pg_class
    where oid = $1::text::regclass
  ),
  made as (
    select *
    from pg_class
    where oid = $2::text::regclass
  ),
  columns as (
    select a.*
    from pg_attribute a, t
    where attrelid = t.oid
      and attnum > 0
      and not attisdropped
  ),
  indexes as (
    select i.*, format('%I.%I', nspname, c.relname) as name
    from pg_index i, t, pg_class c
      join pg_namespace n on n.oid = c.relnamespace
    where indrelid = t.oid
      and c.oid = indexrelid
  ),
  sequences as (
    select
      s.*,
      format('%I.%I', nspname, s.relname) as name,
      m.oid as other,
      m.relacl as made_acl,
      m.relowner as maker
    from columns
      join pg_class s on s.oid = pg_get_serial_sequence($1::text, attname)::regclass
      join pg_namespace n on n.oid = s.relnamespace
      join pg_class m on m.oid = pg_get_serial_sequence($2::text, attname)::regclass
    where attidentity <> ''
  ),
  acls (object, old, made, owner, maker) as (
    select
      'table ' || $1::text,
      t.relacl,
      made.relacl,
      t.relowner,
      made.relowner
    from t, made
    union all
    select
      'sequence ' || name,
      relacl,
      made_acl,
      relowner,
      maker
    from sequences
    union all
    select
      'type ' || $1::text,
      y.typacl,
      null,
      y.typowner,
      y.typowner
    from t
      join pg_type y on y.oid = t.reltype
  ),
  roles (id, name) as (
    select oid, quote_ident(rolname)
    from pg_roles
    union all
    select 0, 'public'
  )
  select
    1 as place,
    format('alter table %s alter %I set statistics %s', $1::text, attname, attstattarget) as statement
  from columns
  where attstattarget >= 0
  union all
  select 1, format('alter table %s alter %I set (%s)', $1::text, attname, string_agg(option, ', '))
  from columns, unnest(attoptions) as option
  where not starts_with(option, 'pg_')
  group by attname
  union all
  select 1, format('alter sequence %s rename to %I', other::regclass, relname)
  from sequences
  union all
  select 2, format('alter sequence %s as %s', name, format_type(seqtypid, null))
  from sequences
    join pg_sequence on seqrelid = sequences.oid
  union all
  select 2, format('comment on sequence %s is %L', name, obj_description(oid, 'pg_class'))
  from sequences
  union all
  select 1, format('comment on table %s is %L', $1::text, obj_description(oid, 'pg_class'))
  from t
  union all
  select 1, format('comment on type %s is %L', $1::text, obj_description(reltype, 'pg_type'))
  from t
  union all
  select 1, format('comment on index %s is %L', name, obj_description(indexrelid, 'pg_class'))
  from indexes
  where indisvalid
  union all
  select 1, format('alter index %s alter column %s set statistics %s', name, attnum, attstattarget)
  from indexes
    join pg_attribute on attrelid = indexrelid
  where indisvalid
    and attstattarget >= 0
  union all
  select 1, format('alter index %s set (%s)', name, array_to_string(reloptions, ', '))
  from indexes
    join pg_class c on c.oid = indexrelid
  where indisvalid
    and reloptions is not null
  union all
  select 1, format('alter table %s cluster on %I', $1::text, relname)
  from indexes
    join pg_class c on c.oid = indexrelid
  where indisclustered
  union all
  select
    1,
    case relreplident
      when 'f' then format('alter table %s replica identity full', $1::text)
      when 'n' then format('alter table %s replica identity nothing', $1::text)
      when 'i' then (
        select format('alter table %s replica identity using index %I', $1::text, relname)
        from indexes
          join pg_class i on i.oid = indexrelid
        where indisreplident
      )
    end
  from t
  union all
  select 2, pg_get_triggerdef(g.oid)
  from pg_trigger g, t
  where tgrelid = t.oid
    and not tgisinternal
  union all
  select
    3,
    format('comment on trigger %I on %s is %L', tgname, $1::text, obj_description(g.oid, 'pg_trigger'))
  from pg_trigger g, t
  where tgrelid = t.oid
    and not tgisinternal
  union all
  select
    3,
    format(
      'alter table %s %s trigger %I',
      $1::text,
      case tgenabled when 'D' then 'disable' when 'A' then 'enable always' else 'enable replica' end,
      tgname
    )
  from pg_trigger g, t
  where tgrelid = t.oid
    and not tgisinternal
    and tgenabled <> 'O'
  union all
  select 5, format('revoke all on %s from %s', object, roles.name)
  from acls, aclexplode(made)
    join roles on id = grantee
  where grantee <> maker
  union all
  select 5, format('revoke all on %s from public, %I', object, pg_get_userbyid(owner))
  from acls
  where old is not null
  union all
  select
    6,
    format(
      'grant %s on %s to %s%s',
      privilege_type,
      object,
      roles.name,
      case when is_grantable then ' with grant option' else '' end
    )
  from acls, aclexplode(old)
    join roles on id = grantee
  union all
  select
    6,
    format(
      'grant %s (%I) on %s to %s%s',
      privilege_type,
      attname,
      $1::text,
      roles.name,
      case when is_grantable then ' with grant option' else '' end
    )
  from columns, aclexplode(attacl)
    join roles on id = grantee
  order by place`

/** Extended statistics. \`like\` creates the same ones in the same order, with names of its own. */
export const statisticsQuery = `
  with known as (
    select
      s.*,
      row_number() over (partition by stxrelid order by s.oid) as place,
      to_jsonb(s) ->> 'stxstattarget' as target,
      format('%I.%I', nspname, stxname) as name,
      format('%I', nspname) as schema
    from pg_statistic_ext s
      join pg_namespace n on n.oid = stxnamespace
    where stxrelid in ($1::text::regclass, $2::text::regclass)
  ),
  pairs as (
    select old.*, made.name as made, format('%s.%s', made.schema, quote_ident($3::text || old.oid)) as moved
    from known old
      join known made using (place)
    where old.stxrelid = $1::text::regclass
      and made.stxrelid = $2::text::regclass
  )
  select 1 as place, format('alter statistics %s rename to %I', made, $3 || oid) as statement
  from pairs
  union all
  select 2, format('alter statistics %s set schema %s', moved, schema)
  from pairs
  union all
  select 3, format('alter statistics %s.%I rename to %I', schema, $3 || oid, stxname)
  from pairs
  union all
  select 4, format('alter statistics %s owner to %I', name, pg_get_userbyid(stxowner))
  from pairs
  where stxowner <> (select relowner from pg_class where oid = $2::text::regclass)
  union all
  select 4, format('alter statistics %s set statistics %s', name, target)
  from pairs
  where target::int >= 0
  union all
  select 4, format('comment on statistics %s is %L', name, obj_description(oid, 'pg_statistic_ext'))
  from pairs
  order by place`

/**
 * The owner, and the sequences that would be dropped with the old table, such as those of `serial` columns. Table and
 * sequences need the same owner.
 */
export const ownedQuery = `
  select format('alter table %s owner to %I', $1::text, pg_get_userbyid(t.relowner)) as statement
  from pg_class t
    join pg_class n on n.oid = $2::text::regclass and n.relowner <> t.relowner
  where t.oid = $1::text::regclass
  union all
  select format('alter sequence %s owned by %s.%I', d.objid::regclass, $1::text, attname) as statement
  from pg_depend d
    join pg_attribute on attrelid = refobjid and attnum = refobjsubid
  where classid = 'pg_class'::regclass
    and refclassid = 'pg_class'::regclass
    and refobjid = $1::text::regclass
    and deptype = 'a'
    and objid in (select oid from pg_class where relkind = 'S')`

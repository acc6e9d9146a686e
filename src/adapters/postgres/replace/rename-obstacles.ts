/** Finds objects that depend on a table and would not depend on its replacement. */
export const obstaclesQuery = `
  with t as (
    select *
    from pg_class
    where oid = $1::text::regclass
  )
  select distinct
    coalesce(pg_describe_object('pg_class'::regclass, ev_class, 0), pg_describe_object(classid, objid, objsubid)) as obstacle
  from t
    join pg_depend d on (refclassid, refobjid) in (
      ('pg_class'::regclass, t.oid),
      ('pg_type'::regclass, t.reltype),
      ('pg_type'::regclass, (select typarray from pg_type where oid = t.reltype))
    )
    left join pg_rewrite r on classid = 'pg_rewrite'::regclass and r.oid = objid
  where deptype = 'n'
    and ev_class is distinct from t.oid
    and (classid, objid) not in (
      select 'pg_trigger'::regclass, oid
      from pg_trigger
      where tgrelid = t.oid
      union all
      select 'pg_attrdef'::regclass, oid
      from pg_attrdef
      where adrelid = t.oid
      union all
      select 'pg_constraint'::regclass, oid
      from pg_constraint
      where conrelid = t.oid
        and confrelid <> t.oid
    )
  union
  select 'policy ' || quote_ident(polname)
  from pg_policy, t
  where polrelid = t.oid
  union
  select 'row-level security'
  from t
  where relrowsecurity or relforcerowsecurity
  union
  select 'the type ' || reloftype::regtype
  from t
  where reloftype <> 0
  union
  select 'security label of ' || quote_ident(provider)
  from pg_seclabel, t
  where objoid = t.oid
    and classoid = 'pg_class'::regclass
  union
  select 'membership of ' || pg_describe_object(refclassid, refobjid, 0)
  from pg_depend, t
  where classid = 'pg_class'::regclass
    and objid = t.oid
    and deptype = 'e'
  union
  select 'subscription ' || srsubid
  from pg_subscription_rel, t
  where srrelid = t.oid
  union
  select 'privileges granted by ' || grantor::regrole
  from t, aclexplode(relacl)
  where grantor <> relowner
  union
  select 'privileges granted by ' || grantor::regrole
  from t
    join pg_attribute on attrelid = t.oid, aclexplode(attacl)
  where grantor <> relowner
  union
  select 'rule ' || quote_ident(rulename)
  from pg_rewrite, t
  where ev_class = t.oid
  union
  select 'publication ' || quote_ident(pubname)
  from pg_publication_rel
    join pg_publication p on p.oid = prpubid, t
  where prrelid = t.oid
  union
  select 'inheritance from ' || inhparent::regclass
  from pg_inherits, t
  where inhrelid = t.oid
  union
  select 'its being no plain table'
  from t
  where relkind <> 'r'
  order by 1`

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests } from './target-support.js'

/** All that the catalogs say of the table `t`, a line for each fact, without ids. */
const catalog = `
  with t as (select * from pg_class where oid = 't'::regclass),
    relations as (
      select oid, 'table' as what from t union all select reltoastrelid, 'toast' from t
      union all select indexrelid, 'index ' || indexrelid::regclass from pg_index, t where indrelid = t.oid
      union all select objid, 'sequence ' || objid::regclass from pg_depend, t
        where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and refobjid = t.oid and deptype in ('a', 'i')
          and exists (select from pg_class where oid = objid and relkind = 'S'))
  select line from (
    select format('%s: %s %s owner %s acl %s options %s storage %s method %s replica %s security %s %s of %s comment %s label %s', what, relkind, relpersistence,
      case when what <> 'toast' then relowner::regrole end,
      (select array_agg(item::text order by item::text) from unnest(coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))) item), reloptions, reltablespace,
      relam, relreplident, relrowsecurity, relforcerowsecurity, reloftype::regtype, case when what <> 'toast' then obj_description(c.oid, 'pg_class') end,
      (select string_agg(label, ',') from pg_seclabel s where s.objoid = c.oid and classoid = 'pg_class'::regclass)) as line
    from relations r join pg_class c on c.oid = r.oid
    union all
    select format('column %s %s %s: collation %s not null %s identity %s generated %s target %s storage %s compression %s options %s acl %s default %s comment %s local %s',
      what, attname, format_type(atttypid, atttypmod), attcollation, attnotnull, attidentity, attgenerated, nullif(attstattarget, -1), attstorage, attcompression, array(select o from unnest(attoptions) o where not starts_with(o, 'pg_')),
      (select array_agg(item::text order by item::text) from unnest(attacl) item), pg_get_expr(adbin, adrelid), col_description(attrelid, attnum), attislocal)
    from relations r join pg_attribute a on attrelid = r.oid left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where what not like 'sequence%' and what <> 'toast' and attnum > 0 and not attisdropped
    union all
    select format('constraint %s %s valid %s index %s comment %s', conname, pg_get_constraintdef(c.oid), convalidated, case when contype <> 'f' then conindid::regclass end, obj_description(c.oid, 'pg_constraint'))
    from pg_constraint c, t where conrelid = t.oid
    union all
    select format('index %s valid %s primary %s clustered %s replica %s tablespace %s', pg_get_indexdef(indexrelid), indisvalid, indisprimary, indisclustered, indisreplident, i.reltablespace)
    from pg_index join pg_class i on i.oid = indexrelid, t where indrelid = t.oid
    union all
    select format('trigger %s enabled %s comment %s', pg_get_triggerdef(g.oid), tgenabled, obj_description(g.oid, 'pg_trigger')) from pg_trigger g, t where tgrelid = t.oid and not tgisinternal
    union all
    select format('statistics %s target %s owner %s comment %s', pg_get_statisticsobjdef(s.oid), nullif((to_jsonb(s)->>'stxstattarget')::int, -1), stxowner::regrole, obj_description(s.oid, 'pg_statistic_ext')) from pg_statistic_ext s, t where stxrelid = t.oid
    union all
    select format('sequence %s: %s', seqrelid::regclass, to_jsonb(q) - 'seqrelid') from pg_sequence q where seqrelid in (select oid from relations)
    union all
    select format('type owner %s acl %s comment %s', typowner::regrole, typacl, obj_description(y.oid, 'pg_type')) from pg_type y, t where y.oid = t.reltype
  ) as lines order by line collate "C"`

// Roles and tablespaces are the server's, not the database's.
const role = `headgate_catalog_${randomUUID().slice(0, 8)}`
const space = `headgate_space_${randomUUID().slice(0, 8)}`

describePostgres('the catalogs of a table, before and after the swap `rename`', (database) => {
  const tests = targetTests(database)
  const execute = (sql: string) => tests.pool.query(sql)
  const look = async () => (await tests.rows(catalog)).flat()
  const replace = () =>
    tests.complete(tests.target({ strategy: 'replace', swap: 'rename', maxShrink: 1 }), [{ id: 1 }, { id: 2 }])

  beforeAll(async () => {
    await execute(`create role ${role}; grant all on schema public to ${role}`)
    const client = await tests.pool.connect()
    await client.query('set allow_in_place_tablespaces = on')
    await client.query(`create tablespace ${space} location ''`)
    client.release(true)
  })
  afterAll(async () => {
    await execute(`drop table if exists t; drop owned by ${role}; drop role ${role}`)
    await execute(`drop tablespace ${space}`)
  })
  beforeEach(() =>
    execute(`drop table if exists t, parent, headgate_checkpoint cascade; drop type if exists shape cascade; drop schema if exists elsewhere cascade;
      create table parent (id int primary key, other int unique); create or replace function note() returns trigger language plpgsql as $$ begin return new; end $$`),
  )

  test.each<[string, string]>([
    ['plain', 'create table t (id int)'],
    [
      'with storage, compression and statistics of columns',
      `create table t (id int, a text compression pglz, b text, c text collate "C", d numeric(5,2));
      alter table t alter b set storage external; alter table t alter a set storage main; alter table t alter c set storage plain;
      alter table t alter b set statistics 77; alter table t alter c set (n_distinct = -0.5); alter table t alter id set (n_distinct = 9, n_distinct_inherited = 8)`,
    ],
    [
      'with options of it and its TOAST table',
      `create table t (id int, a text) with (fillfactor = 60, autovacuum_enabled = false, toast.autovacuum_enabled = false, toast_tuple_target = 4000)`,
    ],
    [
      'with comments on everything',
      `create table t (id int primary key, a text constraint no_a check (a <> 'a'), p int constraint to_parent references parent);
      create index by_a on t (a); create trigger noting before insert on t for each row execute function note(); create statistics st on id, p from t;
      comment on table t is 'table''s'; comment on column t.a is 'column'; comment on constraint no_a on t is 'check'; comment on constraint to_parent on t is 'foreign';
      comment on constraint t_pkey on t is 'key'; comment on index t_pkey is 'index of the key'; comment on index by_a is 'index'; comment on trigger noting on t is 'trigger'; comment on statistics st is 'statistics'; comment on type t is 'type'`,
    ],
    [
      'with checks that are not valid',
      `create table t (id int, v text); insert into t values (0, 'bad'); alter table t add constraint c check (v <> 'bad') not valid;
      alter table t add constraint d check (id < 10) no inherit; comment on constraint c on t is 'not valid'`,
    ],
    [
      'with foreign keys of every kind',
      `create table t (id int, a int references parent on delete cascade, b int references parent (other) match full on update set null deferrable initially deferred);
      alter table t add constraint lazy foreign key (id) references parent not valid; alter table t drop constraint lazy; alter table t add constraint lazy foreign key (a) references parent (other) not valid`,
    ],
    [
      'with indexes of every kind',
      `create table t (id int, a text, b int[], c int4range, constraint "The key" primary key (id) include (a) with (fillfactor = 50), unique (a) deferrable initially deferred, exclude using gist (c with &&) where (id > 1));
      create index "by "" name" on t (lower(a) desc nulls last) where id > 0; create unique index on t (a text_pattern_ops, id) nulls not distinct; create index on t using gin (b); create index on t using hash (a); create index on t using brin (id) with (pages_per_range = 7);
      create index on t ((id + 1), (id + 2)); alter index t_expr_expr1_idx alter column 1 set statistics 55`,
    ],
    [
      'that is clustered and has its identity for replicas by an index',
      `create table t (id int not null unique); create index by_id on t (id); alter table t cluster on by_id; alter table t replica identity using index t_id_key`,
    ],
    [
      'that is clustered on its key',
      `create table t (id int primary key); alter table t cluster on t_pkey; alter table t replica identity full`,
    ],
    [
      'with triggers of every kind and state',
      `create table t (id int);
      create trigger a before insert or update of id on t for each row when (new.id > 0) execute function note('x', 'y'); create trigger b after update on t referencing old table as o new table as n for each statement execute function note();
      create constraint trigger c after insert on t deferrable initially deferred for each row execute function note(); create trigger d after truncate on t execute function note();
      alter table t disable trigger a; alter table t enable always trigger b; alter table t enable replica trigger c`,
    ],
    [
      'with identities and sequences',
      `create table t (id int generated always as identity (start 5 increment 3 minvalue 2 maxvalue 5000 cycle cache 4), b int generated by default as identity, s serial, own int default 7, made int generated always as (own * 2) stored);
      alter sequence t_id_seq rename to counter; create sequence free; alter sequence free owned by t.own; comment on sequence counter is 'counts'; grant usage on sequence counter to ${role}; grant select on sequence t_b_seq to public; grant all on sequence t_s_seq to ${role}`,
    ],
    [
      'with grants',
      `create table t (id int, a text); grant select on t to ${role} with grant option; grant insert, update on t to public; grant update (a) on t to ${role}; grant references (id), select (id) on t to public; revoke delete on t from current_user; grant usage on type t to ${role}`,
    ],
    [
      'of another owner',
      `create table t (id int generated always as identity, s serial); alter table t owner to ${role}; create statistics st on id, s from t; grant select on t to public`,
    ],
    [
      'with statistics',
      `create table t (id int, a int, b int); create statistics "St" (ndistinct, mcv) on a, b from t; alter statistics "St" set statistics 33;
      create schema elsewhere; create statistics elsewhere.st (dependencies) on a, id from t; create statistics ex on (a + b), (a - b) from t`,
    ],
    [
      'in tablespaces',
      `create table t (id int primary key using index tablespace ${space}, a text, unique (a)) tablespace ${space};
      create index by_a on t (a) tablespace ${space} where a <> ''; create index by_id on t (id)`,
    ],
    [
      'unlogged, with an identity',
      'create unlogged table t (id int generated by default as identity primary key, a text)',
    ],
  ])('%s: the same', async (_, statements) => {
    await execute(statements)
    const before = await look()
    for (const _ of [1, 2]) {
      await replace()
      expect(await look()).toEqual(before)
    }
    expect(await tests.rows('select id from t order by id')).toEqual([[1], [2]])
  })

  describe('what cannot be kept is refused before anything is loaded', () => {
    test.each<[string, string]>([
      ['create type shape as (id int); create table t of shape', 'the type shape'],
      ['create table t (id int); alter table t force row level security', 'row-level security'],
      [
        `create table t (id int); grant select on t to ${role} with grant option; set role ${role}; grant select on t to public; reset role`,
        `privileges granted by ${role}`,
      ],
    ])('%s', async (statements, name) => {
      await execute(statements)
      await expect(replace()).rejects.toMatchObject({
        code: 'target',
        message: `The swap \`rename\` would break objects that depend on \`public.t\`: ${name}. Use the swap \`rows\`.`,
      })
    })
  })
})

import { randomUUID } from 'node:crypto'
import type { JobRecord } from 'headgate'
import type { PostgresTargetOptions } from 'headgate/postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests } from './target-support.js'

describePostgres('what hangs on a table that is replaced', (database) => {
  const tests = targetTests(database)
  const { rows } = tests
  const execute = (sql: string) => tests.pool.query(sql)
  const replaceBy = (records: JobRecord[], more: Partial<PostgresTargetOptions> = {}) =>
    tests.complete(tests.target({ strategy: 'replace', maxShrink: 1, lockTimeout: 1000, ...more }), records)

  // Roles are the server's, not the database's.
  const [reader, owner] = ['reader', 'owner'].map((name) => `headgate_${name}_${randomUUID().slice(0, 8)}`)
  beforeAll(() => execute(`create role ${reader}; create role ${owner}`))
  afterAll(() => execute(`drop owned by ${reader}, ${owner}; drop role ${reader}, ${owner}`))
  beforeEach(() => execute('drop table if exists t, parent, child, headgate_checkpoint cascade; ')) // biome-ignore format: one line

  describe('by the swap `rows`', () => {
    test('stays: views, grants, foreign keys and the rows that refer to it', async () => {
      await execute(`create table parent (id int primary key); insert into parent values (1), (2);
        create table t (id int primary key, parent int references parent, boss int references t, name text);
        insert into t values (1, 1, null, 'a'), (2, 1, 1, 'b'), (3, 2, 2, 'c');
        create table child (id int references t on delete cascade); insert into child values (1), (2), (3);
        create view seen as select name from t; grant select (name) on t to ${reader}`)
      const before = await rows(`select oid, relacl from pg_class where relname = 't'`)
      await replaceBy([{ id: 1, parent: 2, boss: 4, name: 'A' }, { id: 2, parent: 1, boss: 1, name: 'b' }, { id: 4, name: 'd' }]) // biome-ignore format: one line
      expect(await rows()).toEqual([[1, 2, 4, 'A'], [2, 1, 1, 'b'], [4, null, null, 'd']]) // biome-ignore format: one line
      expect(await rows('select * from child')).toEqual([[1], [2]])
      expect(await rows('select * from seen order by 1')).toEqual([['A'], ['b'], ['d']])
      expect(await rows(`select oid, relacl from pg_class where relname = 't'`)).toEqual(before)
      await execute('drop view seen')
    })

    test('a row that others refer to, and that is gone, is an error, and all stays', async () => {
      await execute(`create table t (id int primary key, name text); insert into t values (1, 'a'), (2, 'b');
        create table child (id int references t); insert into child values (2)`)
      const error = await replaceBy([{ id: 1, name: 'new' }]).then(undefined, (error: unknown) => error)
      expect(error).toMatchObject({ code: 'target', message: 'Could not replace `public.t` (SQLSTATE 23503).' })
      expect(await rows()).toEqual([[1, 'a'], [2, 'b']]) // biome-ignore format: one line
    })

    test('a unique key that foreign keys refer to tells rows too', async () => {
      await execute(`create table t (id int unique, code text unique not null, name text);
        insert into t values (1, 'x', 'a'), (null, 'n', null);
        create table child (code text references t (code)); insert into child values ('x')`)
      await replaceBy([{ id: 7, code: 'x', name: 'new' }, { id: null, code: 'm', name: null }]) // biome-ignore format: one line
      expect(await rows()).toEqual([[7, 'x', 'new'], [null, 'm', null]]) // biome-ignore format: one line
    })

    test('rows that are the same are not touched; those that only look the same are', async () => {
      await execute(`create table t (id int primary key, amount numeric, doc json, note text, twice int generated always as (id * 2) stored);
        insert into t values (1, 1.0, '{"a": 1}', 'x'), (2, 1.0, '{"a":1}', null), (3, 5, null, 'z'), (4, 7, '[]', 'w')`)
      const versions = async () =>
        Object.fromEntries((await rows('select id, xmin::text from t')) as [number, string][])
      const before = await versions()
      const json = (value: unknown) => value as JobRecord
      await replaceBy([
        json({ id: 1, amount: '1.0', doc: '{"a": 1}', note: 'x' }),
        json({ id: 2, amount: '1.00', doc: '{"a":1}', note: null }),
        json({ id: 3, amount: '5', doc: null, note: 'z' }),
        json({ id: 4, amount: '7', doc: '[ ]', note: 'w' }),
      ])
      const after = await versions()
      expect([1, 2, 3, 4].map((id) => before[id] === after[id])).toEqual([true, false, true, false])
      expect(await rows('select amount::text, doc::text, twice from t order by id')).toEqual([['1.0', '{"a": 1}', 2], ['1.00', '{"a":1}', 4], ['5', null, 6], ['7', '[ ]', 8]]) // biome-ignore format: one line
    })

    test('without a key, every row is a new one', async () => {
      await execute(`create table t (id int, name text); insert into t values (1, 'a'), (1, 'a')`)
      await replaceBy([{ id: 1, name: 'a' }, { id: 1, name: 'a' }, { id: 2, name: 'b' }]) // biome-ignore format: one line
      expect(await rows()).toEqual([[1, 'a'], [1, 'a'], [2, 'b']]) // biome-ignore format: one line
    })

    test('a unique value of a row that is gone may be that of a new one', async () => {
      await execute(`create table t (id int primary key, name text unique); insert into t values (1, 'a'), (2, 'b')`)
      await replaceBy([
        { id: 1, name: 'b' },
        { id: 3, name: 'a' },
      ])
      expect(await rows()).toEqual([[1, 'b'], [3, 'a']]) // biome-ignore format: one line
    })

    test('of a key alone', async () => {
      await execute('create table t (id int, name text, primary key (name, id)); insert into t values (1, $$a$$)')
      await replaceBy([{ id: 1, name: 'a' }, { id: 1, name: 'b' }]) // biome-ignore format: one line
      expect(await rows()).toEqual([[1, 'a'], [1, 'b']]) // biome-ignore format: one line
    })

    test('triggers see what changes', async () => {
      await execute(`create table t (id int primary key, name text); insert into t values (1, 'a'), (2, 'b'), (3, 'c');
        create table child (what text);
        create or replace function note() returns trigger language plpgsql as $$ begin insert into child values (tg_op); return null; end $$;
        create trigger noting after insert or update or delete on t for each row execute function note()`)
      await replaceBy([{ id: 1, name: 'a' }, { id: 2, name: 'B' }, { id: 4, name: 'd' }]) // biome-ignore format: one line
      expect(await rows('select * from child order by 1')).toEqual([['DELETE'], ['INSERT'], ['UPDATE']])
    })

    test.each([
      'id int generated always as identity primary key',
      'id int generated by default as identity primary key',
      'id serial primary key',
      'id uuid default gen_random_uuid() primary key',
      'id timestamptz default current_timestamp primary key',
      'id serial unique',
    ])('refuses records without the key where the table makes a new one each time: %s', async (columns) => {
      const [type = 'int'] = /uuid|timestamptz/.exec(columns) ?? []
      await execute(`create table t (${columns}, name text); insert into t (name) values ('a');
        create table child (id ${type} references t (id) on delete cascade); insert into child select id from t`)
      const before = await rows('select * from t')
      await expect(replaceBy([{ name: 'a' }])).rejects.toMatchObject({
        code: 'target',
        message: expect.stringMatching(/^Expected records with the column `id`.* use the swap `rename`\.$/),
      })
      expect(await rows('select * from t')).toEqual(before)
      expect(await rows('select from child')).toHaveLength(1)
    })

    test('takes records without a part of the key that is the same by default', async () => {
      await execute(`create table t (tenant text default 'me', id int, name text, primary key (tenant, id));
        insert into t values ('me', 1, 'a'), ('me', 2, 'b')`)
      const before = await rows(`select xmin::text from t where id = 1`)
      await replaceBy([{ id: 1, name: 'a' }, { id: 3, name: 'c' }]) // biome-ignore format: one line
      expect(await rows()).toEqual([['me', 1, 'a'], ['me', 3, 'c']]) // biome-ignore format: one line
      expect(await rows(`select xmin::text from t where id = 1`)).toEqual(before)
    })

    test('a partitioned table', async () => {
      await execute(`create table t (id int primary key, name text) partition by range (id);
        create table t1 partition of t for values from (0) to (10); create table t2 partition of t for values from (10) to (20);
        insert into t values (1, 'a'), (11, 'b')`)
      await replaceBy([{ id: 1, name: 'A' }, { id: 12, name: 'c' }]) // biome-ignore format: one line
      expect(await rows('select tableoid::regclass::text, * from t order by id')).toEqual([['t1', 1, 'A'], ['t2', 12, 'c']]) // biome-ignore format: one line
    })
  })

  describe('by the swap `rename`', () => {
    const rename = { swap: 'rename' } as const

    test('is carried over', async () => {
      await execute(`create table parent (id int primary key); insert into parent values (1);
        create table t (id serial, name text not null default 'none' check (name <> ''), parent int references parent, span int4range,
          twice int generated always as (id * 2) stored, constraint "The key" primary key (id) include (name), unique (name) deferrable,
          exclude using gist (span with &&)) with (fillfactor = 70);
        create index "by "" name" on t (lower(name) desc) where parent is not null;
        create unique index by_both on t (parent, name) nulls not distinct;
        create statistics corr on name, parent from t;
        comment on table t is 'the table'; comment on column t.name is 'the name'; comment on index by_both is 'both';
        comment on constraint "The key" on t is 'the key';
        create or replace function note() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger noting before update of name on t for each row execute function note(); alter table t disable trigger noting;
        alter table t alter name set statistics 500; grant select on t to ${reader} with grant option; grant update (name) on t to public;
        alter default privileges grant select on tables to public; insert into t (name, parent) values ('old', 1), ('older', 1);
        alter table t replica identity full; alter table t owner to ${owner}; grant all on schema public to ${owner}`)
      /** All that tells one table from another, but for ids. */
      const look = async () => ({
        columns:
          await rows(`select attname::text, format_type(atttypid, atttypmod), attnotnull, attgenerated, attstattarget, attacl::text,
          pg_get_expr(adbin, adrelid), col_description(attrelid, attnum) from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
          where attrelid = 't'::regclass and attnum > 0 order by attnum`),
        constraints: await rows(`select conname::text, pg_get_constraintdef(oid), convalidated, obj_description(oid) from pg_constraint where conrelid = 't'::regclass order by 1`), // biome-ignore format: one line
        indexes: await rows(`select pg_get_indexdef(indexrelid), indisvalid, indisprimary, indisunique, obj_description(indexrelid) from pg_index where indrelid = 't'::regclass order by 1`), // biome-ignore format: one line
        triggers: await rows(`select pg_get_triggerdef(oid), tgenabled from pg_trigger where tgrelid = 't'::regclass and not tgisinternal`), // biome-ignore format: one line
        table: await rows(`select relacl::text, reloptions, relreplident, relpersistence, pg_get_userbyid(relowner)::text, obj_description(oid) from pg_class where oid = 't'::regclass`), // biome-ignore format: one line
        sequence: await rows(`select pg_get_serial_sequence('t', 'id')`),
      })
      const before = await look()
      for (const _ of [1, 2]) {
        await replaceBy([{ id: 7, name: 'new', parent: 1 }, { id: 8, name: 'newer' }], rename) // biome-ignore format: one line
        expect(await look()).toEqual(before)
      }
      expect(await rows('select id, name, parent, twice from t order by id')).toEqual([[7, 'new', 1, 14], [8, 'newer', null, 16]]) // biome-ignore format: one line
      expect(await rows(`insert into t (name) values ('app') returning id`)).toEqual([[9]])
      expect(
        await rows(`select from pg_class where relname like 'headgate%' and relname not like 'headgate_checkpoint%'`),
      ).toEqual([])
      await execute('alter default privileges revoke select on tables from public')
    })

    test('identity columns go on where they were', async () => {
      for (const [swap, key] of [
        ['rows', ''],
        ['rename', 'primary key'],
      ] as const) {
        await execute(`drop table if exists t; create table t (id int generated always as identity ${key}, name text);
          insert into t (name) select 'old' from generate_series(1, 5)`)
        await replaceBy([{ name: 'new' }, { name: 'new' }], { swap })
        await execute(`insert into t (name) values ('app')`)
        expect([swap, await rows('select id from t order by id')]).toEqual([swap, [[6], [7], [8]]])
        expect(await rows(`select pg_get_serial_sequence('t', 'id')`)).toEqual([['public.t_id_seq']])
      }
    })

    test.each([
      ['create view seen as select id from t', 'view seen'],
      ['create materialized view seen as select id from t', 'materialized view seen'],
      ['create table child (id int references t)', 'constraint child_id_fkey on table child'],
      ['create table child (t t)', 'column t of table child'],
      ['create table child (t t[])', 'column t of table child'],
      ['create table child () inherits (t)', 'table child'],
      ['alter table t add boss int references t', 'constraint t_boss_fkey on table t'],
      ['alter table t enable row level security', 'row-level security'],
      ['create policy p on t using (true)', 'policy p'],
      ['create rule r as on delete to t do instead nothing', 'rule r'],
      ['create publication p for table t', 'publication p'],
      [`create function seen() returns setof int begin atomic; select id from t; end`, 'function seen()'],
      [
        'drop table t; create table t (id int primary key, name text) partition by range (id)',
        'its being no plain table',
      ],
    ])('refuses before it loads: %s', async (statement, obstacle) => {
      await execute(`create table t (id int primary key, name text); insert into t values (1, 'old'); ${statement}`)
      await expect(replaceBy([{ id: 1, name: 'new' }], rename)).rejects.toMatchObject({
        code: 'target',
        message: `The swap \`rename\` would break objects that depend on \`public.t\`: ${obstacle}. Use the swap \`rows\`.`,
      })
      await execute(
        'drop publication if exists p; drop table t, child cascade'.replace(
          ', child',
          statement.includes('child') ? ', child' : '',
        ),
      )
    })

    test('refuses what came to hang on it while it was loaded', async () => {
      for (const [statement, message] of [
        ['create view seen as select id from t', 'depend on `public.t`: view seen'],
        ['alter table t add more int', 'was altered while the job replaced it'],
      ] as const) {
        await execute(`drop table if exists t cascade; create table t (id int primary key); insert into t values (1)`)
        const writer = await tests.opened(tests.target({ strategy: 'replace', ...rename }))
        await writer.flush?.({ at: 1 })
        await execute(statement)
        await execute('delete from t')
        await expect(writer.commit?.()).rejects.toMatchObject({ message: expect.stringContaining(message) })
        await writer.abort?.({ reason: 'over', leaseLost: false })
        expect(await rows('select from t')).toEqual([])
      }
    })

    test('an unlogged table stays one', async () => {
      await execute('create unlogged table t (id int primary key)')
      await replaceBy([{ id: 1 }], rename)
      expect(await rows(`select relpersistence from pg_class where oid = 't'::regclass`)).toEqual([['u']])
    })
  })
})

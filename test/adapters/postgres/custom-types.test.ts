import fc from 'fast-check'
import { errorMessages, JobRegistry, memoryStorage, type Target } from 'headgate'
import type { Column, RecordBatch } from 'headgate/adapter'
import { type PostgresTargetOptions, postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { type FreshDatabase, freshDatabase } from '../../support/postgres.js'
import { untilTrue } from './datasource-server.js'
import { targetTests, writeContext } from './target-support.js'

const types = `
  create type mood as enum ('sad', 'it''s "fine", {or} \\not', '');
  create domain moods as mood[];
  create domain positive as int check (value > 0);
  create type inner_pair as (a numeric(9, 2), b mood);
  create type pair as (a mood, b positive, c text[], d moods, e inner_pair, f inner_pair[]);
  create domain boxed as pair;
  create type float_range as range (subtype = float8);
  create type mood_range as range (subtype = mood)`

const columns = {
  a: 'mood',
  b: 'mood[]',
  c: 'positive',
  d: 'positive[]',
  e: 'pair',
  f: 'pair[]',
  g: 'boxed',
  h: 'boxed[]',
  i: 'moods',
  j: 'float_range[]',
  k: 'mood_range',
  l: 'inner_pair[]',
}

const modes: Partial<PostgresTargetOptions>[] = [
  {},
  { mode: 'upsert', key: 'id' },
  { strategy: 'replace', maxShrink: 1 },
  { strategy: 'replace', maxShrink: 1, swap: 'rename' },
]

describePostgres('types that users have created', (database) => {
  const tests = targetTests(database)
  let other: FreshDatabase
  let source: pg.Pool
  beforeAll(async () => {
    other = await freshDatabase(database.url)
    source = new pg.Pool({ connectionString: other.url })
    source.on('error', () => undefined)
    // From here on, no type has the same id in both databases.
    await tests.pool.query('create table filler (a int); create type filling as enum ()')
  })
  afterAll(async () => {
    await source.end()
    await other.drop()
  })
  beforeEach(async () => {
    for (const pool of [source, tests.pool]) {
      await pool.query(`drop schema if exists "Shop 1" cascade; drop schema public cascade; create schema public`)
      await pool.query(types)
    }
  })

  /** Runs a job that copies `t`. Gives its end, and in which formats the rows were offered and taken. */
  const copy = async (more: Partial<PostgresTargetOptions> = {}, to: Target = tests.target(more)) => {
    await using registry = new JobRegistry({ storage: memoryStorage() })
    const taken: boolean[] = []
    const target = spiedOn(to, taken)
    registry.define({ id: 'copy', datasource: postgresDatasource({ pool: source }), query: 'select * from t', target })
    const { finished } = await registry.start('ingestion', 'copy')
    return { end: await finished, taken }
  }
  const textOf = async (pool: pg.Pool) => (await pool.query('select t::text from t order by id')).rows

  describe('travel in binary form', () => {
    const value = fc.option(fc.constantFrom('sad', 'it\'s "fine", {or} \\not', ''))
    const positive = fc.option(fc.integer({ min: 1, max: 2 ** 31 - 1 }))
    const list = <T>(item: fc.Arbitrary<T>) =>
      fc.option(fc.oneof(fc.array(item, { maxLength: 3 }), fc.tuple(fc.tuple(item, item), fc.tuple(item, item))))
    const inner = fc.option(
      fc.record({
        a: fc.option(fc.integer({ min: -999_999_999, max: 999_999_999 })).map((n) => n && n / 100),
        b: value,
      }),
    )
    const pair = fc.option(
      fc.record({
        a: value,
        b: positive,
        c: list(fc.string({ unit: 'grapheme' }).map(clean)),
        d: list(value),
        e: inner,
        f: list(inner),
      }),
    )
    const range = fc.option(fc.tuple(fc.nat(99), fc.nat(99)).map(([from, size]) => `[${from},${from + size}.5)`))
    const row = fc.record({
      a: value,
      b: list(value),
      c: positive,
      d: list(positive),
      e: pair,
      f: list(pair),
      g: pair,
      h: list(pair),
      i: list(value),
      j: list(range),
      k: fc.option(fc.constantFrom('[sad,)', 'empty', '(,"")')),
      l: list(inner),
    })

    test.each(modes)('with the values of the source, although its ids are others: %j', async (mode) => {
      for (const pool of [source, tests.pool]) {
        await pool.query(
          `create table t (id int primary key, ${Object.entries(columns).map((pair) => pair.join(' '))})`,
        )
      }
      await fc.assert(
        fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 12 }), async (rows) => {
          await source.query('truncate t')
          await tests.pool.query('truncate t; drop table if exists headgate_checkpoint')
          const records = JSON.stringify(rows.map((record, id) => ({ id, ...record })))
          await source.query('insert into t select * from json_populate_recordset(null::t, $1)', [records])
          const { end, taken } = await copy(mode)
          expect(end).toMatchObject({ state: 'successful', count: rows.length })
          expect(taken).toEqual([true])
          expect(await textOf(tests.pool)).toEqual(await textOf(source))
        }),
        { numRuns: 3 },
      )
    })

    interface Case {
      readonly change: string
      readonly type: string
      readonly value: string
      readonly isTaken: boolean
      readonly copied?: string
      readonly error?: RegExp
    }
    const cases: Case[] = [
      { change: 'other labels', type: 'mood', value: `'sad'`, isTaken: true, copied: 'sad' },
      {
        change: 'other labels',
        type: 'mood',
        value: `''`,
        isTaken: true,
        error: /invalid input value for enum mood/,
      },
      { change: 'another name', type: 'mood[]', value: `'{sad}'`, isTaken: true, copied: '{sad}' },
      { change: 'wider domain', type: 'positive', value: '7', isTaken: false, copied: '7' },
      { change: 'wider domain', type: 'positive[]', value: `'{7}'`, isTaken: false, copied: '{7}' },
      { change: 'base type', type: 'positive', value: '7', isTaken: true, copied: '7' },
      { change: 'base type', type: 'positive[]', value: `'{7}'`, isTaken: false, copied: '{7}' },
      { change: 'stricter domain', type: 'positive', value: '7', isTaken: true, error: /violates check constraint/ },
      {
        change: 'stricter domain',
        type: 'positive[]',
        value: `'{7}'`,
        isTaken: true,
        error: /violates check constraint/,
      },
      { change: 'fewer attributes', type: 'inner_pair', value: `'(1,sad)'`, isTaken: false, error: /Too many columns/ },
      {
        change: 'other attributes',
        type: 'inner_pair',
        value: `'(1,sad)'`,
        isTaken: false,
        copied: '(sad,1.00)',
        error: /invalid input/,
      },
      { change: 'renamed attributes', type: 'inner_pair', value: `'(1,sad)'`, isTaken: true, copied: '(1.00,sad)' },
      {
        change: 'less precision',
        type: 'inner_pair[]',
        value: `'{"(1.25,sad)"}'`,
        isTaken: true,
        copied: '{"(1.3,sad)"}',
      },
    ]
    const changes: Readonly<Record<string, (column: string) => string>> = {
      'other labels': (type) =>
        `drop type mood cascade; create type mood as enum ('x', 'sad'); create table t (id int, v ${type})`,
      'another name': (type) =>
        `alter type mood rename to feeling; create table t (id int, v ${type.replace('mood', 'feeling')})`,
      'wider domain': (type) =>
        `drop domain positive cascade; create domain positive as int8; create table t (id int, v ${type})`,
      'base type': (type) => `create table t (id int, v ${type.replace('positive', 'int')})`,
      'stricter domain': (type) => `alter domain positive add check (value > 9); create table t (id int, v ${type})`,
      'fewer attributes': (type) => `alter type inner_pair drop attribute b; create table t (id int, v ${type})`,
      'other attributes': (type) =>
        `alter type inner_pair drop attribute a, add attribute a numeric(9, 2); create table t (id int, v ${type})`,
      'renamed attributes': (type) =>
        `alter type inner_pair rename attribute a to z; create table t (id int, v ${type})`,
      'less precision': (type) =>
        `alter type inner_pair alter attribute a type numeric(9, 1); create table t (id int, v ${type})`,
    }

    test.each(cases)('or as text, as text would be read: $type, $value, in the target $change', async (given) => {
      const { change, type, value, isTaken, copied, error } = given
      await source.query(`create table t (id int, v ${type}); insert into t values (1, ${value})`)
      await tests.pool.query(`drop table if exists t; ${changes[change]?.(type)}`)
      const { end, taken } = await copy()
      expect(taken.at(-1) ?? false).toBe(isTaken)
      if (error) expect(JSON.stringify(end)).toMatch(error)
      else expect(await tests.rows('select v::text from t')).toEqual([[copied]])
    })
  })

  describe('that change beside a run', () => {
    const pairs = `create table t (id int primary key, v inner_pair); insert into t select n, row(n, 'sad')::inner_pair from generate_series(1, 3) n`
    const open = async (mode: Partial<PostgresTargetOptions>, text = 'select * from t order by id') => {
      const writer = await tests.opened(tests.target(mode))
      const signal = new AbortController().signal
      const encoded = {
        keys: [],
        accepts: (format: string, columns: readonly Column[]) => writer.acceptsEncoded?.(format, columns) ?? false,
      }
      const query = { text, values: [] }
      const batches = postgresDatasource({ pool: source })
        .read(query, { signal, batchSize: 1, lastId: undefined, encoded })
        [Symbol.asyncIterator]()
      const next = async () => (await batches.next()).value as RecordBatch
      return { writer, next, end: () => batches.return?.() }
    }

    test.each(modes)('fail the transaction in which a composite type of the target was altered: %j', async (mode) => {
      await source.query(pairs)
      await tests.pool.query('create table t (id int primary key, v inner_pair)')
      const { writer, next, end } = await open(mode)
      const batch = await next()
      expect(batch.encoded?.format).toBe('postgres-binary')
      await writer.write(batch, writeContext)
      await tests.pool.query('alter type inner_pair drop attribute b, add attribute b positive')
      const failing = (async () => writer.flush?.({ at: 1 }))()
      const error = await failing.then(undefined, (error: unknown) => error)
      expect(errorMessages(error)[0]).toMatch(
        /was altered, renamed or recreated while the job wrote to it|Could not write/,
      )
      expect(await tests.rows()).toEqual([])
      await end()
    })

    test('fail the read when a composite type of the source has other attributes before its first row', async () => {
      await source.query(pairs)
      await source.query(`create table touched (a int); create function wait() returns int language plpgsql as
        'begin perform pg_advisory_lock(7); perform pg_advisory_unlock(7); return (select count(*) from touched); end'`)
      await tests.pool.query('create table t (id int primary key, v inner_pair, wait int)')
      const blocker = await source.connect()
      await blocker.query('select pg_advisory_lock(7)')
      const { next, end } = await open({}, 'select *, wait() from t order by id')
      const failing = next().then(undefined, (error: unknown) => error)
      await untilTrue(source, `exists (select from pg_locks where locktype = 'advisory' and not granted)`)
      await source.query('alter type inner_pair drop attribute b, add attribute b positive')
      await blocker.query('select pg_advisory_unlock(7)')
      blocker.release()
      expect(errorMessages(await failing)[0]).toContain('while it was read: the attributes of a composite type differ.')
      await end()
    })

    test('fail the record with a label that the target lacks, and load it once the target has it', async () => {
      await source.query(`create table t (id int primary key, v mood[]); insert into t values (1, '{sad}')`)
      await tests.pool.query('create table t (id int primary key, v mood[])')
      await source.query(`alter type mood add value 'glad'`)
      await source.query(`insert into t values (2, '{glad}')`)
      const { end } = await copy()
      expect(JSON.stringify(end)).toMatch(/invalid input value for enum mood: \\"glad\\"/)
      await tests.pool.query(`alter type mood add value 'glad'`)
      expect((await copy()).end).toMatchObject({ state: 'successful', count: 2 })
      expect(await textOf(tests.pool)).toEqual(await textOf(source))
    })

    test('fail the next transaction when a type was dropped and created again', async () => {
      await source.query(`create table t (id int primary key, v mood); insert into t values (1, 'sad'), (2, 'sad')`)
      await tests.pool.query('create table t (id int primary key, v mood)')
      const { writer, next, end } = await open({})
      await writer.write(await next(), writeContext)
      await writer.flush?.({ at: 1 })
      await tests.pool.query(`drop type mood cascade; create type mood as enum ('sad'); alter table t add v mood`)
      const failing = (async () => {
        await writer.write(await next(), writeContext)
        await writer.flush?.({ at: 2 })
      })()
      await expect(failing).rejects.toMatchObject({
        message: expect.stringContaining('was altered, renamed or recreated'),
      })
      await end()
    })
  })

  describe('are created with the table', () => {
    const created = { createTable: true } as const
    beforeEach(() => tests.pool.query('drop schema public cascade; create schema public'))

    /** Each type with all that makes it up. */
    const typesIn = async (pool: pg.Pool) =>
      (
        await pool.query(`select n.nspname, typname, typtype, typnotnull, format_type(typbasetype, typtypmod), typdefault,
          array(select enumlabel::text from pg_enum where enumtypid = t.oid order by enumsortorder) as labels,
          array(select replace(pg_get_constraintdef(oid), ' NOT VALID', '') from pg_constraint where contypid = t.oid order by conname) as checks,
          array(select format('%s %s %s', attname, format_type(atttypid, atttypmod), attcollation)
            from pg_attribute where attrelid = typrelid and attnum > 0 order by attnum) as attributes, typcollation
        from pg_type t join pg_namespace n on n.oid = typnamespace
        where t.oid >= 16384 and typtype in ('e', 'd', 'c') and n.nspname !~ '^pg_'
          and not exists (select from pg_class where oid = typrelid and relkind <> 'c')
        order by 1, 2`)
      ).rows

    test('enums, domains and composite types of one another, in their schemas', async () => {
      for (const pool of [source, tests.pool]) await pool.query('create schema "Shop 1"')
      await source.query(`
        create domain "Shop 1".code as varchar(5) collate "C" default 'a' || 'b' not null check (value <> 'x');
        alter domain "Shop 1".code add check (length(value) > 1) not valid;
        create type "Shop 1"."Kind" as enum ('$headgate', '$headgate$', E'a\\\\b', 'it''s');
        create domain "Shop 1".kinds as "Shop 1"."Kind"[];
        create type "Shop 1".part as ("A b" "Shop 1".code, b text collate "C", c "Shop 1".kinds, d inner_pair[], e timestamptz(3));
        create table t (id int, a "Shop 1".code, b "Shop 1".code[], c "Shop 1".kinds, d "Shop 1".part[], e mood, f boxed, g numeric(9, 2));
        insert into t values (1, 'xy', '{ab}', '{it''s}', array[row('ab', 'b', '{$headgate$}', '{"(1,sad)"}', 'now')::"Shop 1".part], 'sad',
          row('sad', 1, '{x}', '{sad}', row(1, 'sad'), null), 1.1)`)
      const { end } = await copy(created)
      expect(end).toMatchObject({ state: 'successful', count: 1 })
      const columnsOf = `select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 't'::regclass and attnum > 0 order by attnum`
      expect((await tests.pool.query(columnsOf)).rows).toEqual((await source.query(columnsOf)).rows)
      expect(await textOf(tests.pool)).toEqual(await textOf(source))
      const used = (await typesIn(source)).filter(({ typname }) => typname !== 'unused')
      expect(await typesIn(tests.pool)).toEqual(used)
      await tests.pool.query('truncate t; drop table headgate_checkpoint')
      expect((await copy(created)).taken).toEqual([true])
      expect(await textOf(tests.pool)).toEqual(await textOf(source))
    })

    test('those of the columns that are written, also from a view and by a cursor', async () => {
      await source.query(
        `create table t (id int, a mood, b positive); insert into t values (1, 'sad', 1); create view v as select * from t`,
      )
      await using registry = new JobRegistry({ storage: memoryStorage() })
      registry.define({
        id: 'copy',
        datasource: postgresDatasource({ pool: source }),
        query: 'select * from v',
        cursor: 'id',
        target: tests.target({ ...created, columns: { id: 'id', b: 'c' } }),
      })
      expect(await (await registry.start('ingestion', 'copy')).finished).toMatchObject({ state: 'successful' })
      expect((await typesIn(tests.pool)).map(({ typname }) => typname)).toEqual(['positive'])
      expect(await tests.rows('select c::text, pg_typeof(c)::text from t')).toEqual([['1', 'positive']])
    })

    const refused: [there: string, message: string][] = [
      [
        `drop type mood cascade; create type mood as enum ('sad')`,
        `Expected the type public.mood of the target to be that of the source, enum (sad, it's "fine", {or} \\not, ), found enum (sad).`,
      ],
      ['drop type mood cascade; create domain mood as text', ', found domain (text).'],
      ['drop type mood cascade; create table mood (a int)', ', found a type of another kind.'],
      [
        'drop domain positive cascade; create domain positive as int8',
        'public.positive of the target to be that of the source, domain (integer), found domain (bigint).',
      ],
      ['alter type inner_pair drop attribute b', 'found composite (a numeric(9,2)).'],
    ]
    test.each(refused)('but not over others of their names: %s', async (there, message) => {
      await source.query(`create table t (id int, a pair); insert into t values (1, null)`)
      await tests.pool.query(types)
      await tests.pool.query(there)
      const before = await typesIn(tests.pool)
      expect(JSON.stringify((await copy(created)).end)).toContain(JSON.stringify(message).slice(1, -1))
      expect(await typesIn(tests.pool)).toEqual(before)
      expect(await tests.rows(`select to_regclass('t')`)).toEqual([[null]])
    })

    test('and use those that hold the same values and more', async () => {
      await source.query(`create table t (id int, a mood); insert into t values (1, 'sad')`)
      await tests.pool.query(`${types}; alter type mood add value 'glad' before 'sad'`)
      expect((await copy(created)).end).toMatchObject({ state: 'successful' })
    })

    test.each([
      [
        `create function fits(int) returns bool language sql as 'select true'; create domain fitting as int check (fits(value))`,
        'fitting',
        'function public.fits(integer) does not exist',
      ],
      [
        'create schema elsewhere; create type elsewhere.kind as enum ()',
        'elsewhere.kind',
        'schema \\"elsewhere\\" does not exist',
      ],
      [`create type floats as range (subtype = float8)`, 'floats', 'type \\"floats\\" does not exist'],
    ])('or say what is missing, before the first row, and leave nothing: %s', async (there, type, message) => {
      await source.query(
        `drop schema if exists elsewhere cascade; ${there}; create table t (id int, a mood, b ${type}); insert into t values (1, null, null)`,
      )
      const { end } = await copy(created)
      expect(end).toMatchObject({ state: 'error', count: 0 })
      expect(JSON.stringify(end)).toContain(message)
      expect(await typesIn(tests.pool)).toEqual([])
    })
  })
})

/** Keeps what the writer of a target answers to the question whether it takes encoded rows. */
function spiedOn(target: Target, taken: boolean[]): Target {
  return {
    ...target,
    async open(context) {
      const opened = await target.open(context)
      const { writer } = opened
      const accepts = writer.acceptsEncoded?.bind(writer)
      writer.acceptsEncoded = (format, columns) => {
        const isTaken = accepts?.(format, columns) ?? false
        taken.push(isTaken)
        return isTaken
      }
      return opened
    },
  }
}

/** JSON of Postgres has no NUL. */
function clean(text: string): string {
  return text.replaceAll('\0', '')
}

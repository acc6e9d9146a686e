import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { newExecutionId } from 'headgate/adapter'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

const truncates = { onFullRefresh: 'truncate' } as const

describePostgres('a full refresh of a table is checked before it is started', (database) => {
  let admin: pg.Pool
  let storage: JobStorage
  let registry: JobRegistry
  const pools: pg.Pool[] = []
  beforeAll(() => {
    admin = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => admin.end())
  beforeEach(async () => {
    await admin.query(`drop schema if exists shop cascade; create schema shop;
      create table shop.source (id int primary key); insert into shop.source select generate_series(1, 10);
      create table shop.t (id int primary key)`)
    storage = memoryStorage()
    registry = new JobRegistry({ storage })
  })
  afterEach(async () => {
    await registry.close()
    await Promise.all(pools.splice(0).map((pool) => pool.end()))
  })

  const poolAs = (role: string) => {
    const pool = new pg.Pool({ connectionString: database.url, options: `-c role=${role}` })
    pools.push(pool)
    return pool
  }
  const define = (options: Partial<PostgresTargetOptions>, id = 'job') => {
    registry.define({
      id,
      datasource: postgresDatasource({ pool: admin }),
      query: 'table shop.source',
      cursor: 'id',
      target: postgresTarget({ pool: admin, table: 'shop.t', ...options } as PostgresTargetOptions),
    })
  }
  const run = async (fullRefresh = false) => (await registry.start('ingestion', 'job', { fullRefresh })).finished
  const refresh = () => run(true)

  test.each<[string, string, Partial<PostgresTargetOptions>, string]>([
    [
      'a foreign key of another table',
      'create table shop.child (id int constraint to_t references shop.t)',
      truncates,
      '`shop.t` has to_t of shop.child: drop the foreign key, or merge',
    ],
    [
      'a foreign key to a partition of the table',
      `drop table shop.t; create table shop.t (id int primary key) partition by range (id);
       create table shop.t1 partition of shop.t for values from (0) to (1000);
       create table shop.child (id int constraint to_t1 references shop.t1)`,
      truncates,
      'has to_t1 of shop.child:',
    ],
    [
      'a foreign key to the table that it is a partition of',
      `drop table shop.t; create table shop.whole (id int primary key) partition by range (id);
       create table shop.t partition of shop.whole for values from (0) to (1000);
       create table shop.child (id int references shop.whole)`,
      truncates,
      'of shop.child:',
    ],
    [
      'several foreign keys of a partitioned table',
      `create table shop.child (id int constraint one references shop.t, other int constraint two references shop.t)
         partition by range (id); create table shop.child1 partition of shop.child for values from (0) to (9)`,
      truncates,
      'has one of shop.child, two of shop.child:',
    ],
    [
      'a view',
      'create view shop.v as table shop.t',
      { ...truncates, table: 'shop.v' },
      '`shop.v` is a view, and Postgres truncates only tables: name its table in `table`.',
    ],
    ['an upsert without its index', '', { mode: 'upsert', key: 'other' }, 'to have the column `other` of the key'],
    [
      'a swap of rows that a rule replaces',
      'create rule kept as on delete to shop.t do instead nothing',
      { strategy: 'replace' },
      'The rule `kept`',
    ],
    [
      'a swap by renaming that a view depends on',
      'create view shop.v as table shop.t',
      { strategy: 'replace', swap: 'rename' },
      'would break objects that depend on `shop.t`: view shop.v. Use the swap `rows`.',
    ],
    ['a missing table', 'drop table shop.t', truncates, 'Expected a table "shop"."t" to write to, found none.'],
  ])('%s refuses the start, and plain starts go on', async (_, change, options, message) => {
    define(options)
    const before = await run()
    if (change) await admin.query(change)
    const kept = (await storage.find('ingestion', 'job'))?.checkpoint
    await expect(refresh()).rejects.toMatchObject({
      code: 'invalid_options',
      message: expect.stringContaining(message),
    })
    const record = await storage.find('ingestion', 'job')
    expect([record?.checkpoint, record?.state]).toEqual([kept, before.state])
  })

  test('a foreign table that its server does not let truncate refuses it, also as a partition', async () => {
    await admin.query(`create extension if not exists postgres_fdw; drop server if exists far cascade;
      create server far foreign data wrapper postgres_fdw options (truncatable 'false');
      drop table shop.t; create table shop.t (id int) partition by range (id);
      create foreign table shop.far_t partition of shop.t for values from (0) to (5) server far`)
    define(truncates)
    await expect(refresh()).rejects.toThrow('Postgres cannot truncate the foreign table shop.far_t of the server far.')
    await admin.query(`alter foreign table shop.far_t options (add truncatable 'true')`)
    await registry.remove('ingestion', 'job')
    define(truncates)
    await expect(
      postgresTarget({ pool: admin, table: 'shop.t', ...truncates }).checkFullRefresh?.(AbortSignal.timeout(5000)),
    ).resolves.toBeUndefined()
    await admin.query('drop server far cascade')
  })

  test('a role that may not truncate refuses it', async () => {
    await admin.query(`drop role if exists headgate_writer; create role headgate_writer;
      grant usage, create on schema shop to headgate_writer; grant select, insert, update, delete on shop.t to headgate_writer`)
    try {
      define({ ...truncates, pool: poolAs('headgate_writer') })
      await expect(refresh()).rejects.toThrow(
        'A full refresh is not possible. The role headgate_writer may not truncate `shop.t`: grant it `truncate`. Or remove the rows of',
      )
      await admin.query('grant truncate on shop.t to headgate_writer')
      expect(await refresh()).toMatchObject({ state: 'successful', count: 10 })
      await admin.query('alter table shop.headgate_checkpoint enable row level security, force row level security')
      await admin.query('create policy own on shop.headgate_checkpoint using (true)')
      await expect(refresh()).rejects.toThrow('Row-level security hides the checkpoints')
    } finally {
      await admin.query('drop owned by headgate_writer; drop role headgate_writer')
    }
  })

  test.each<[string, string, Partial<PostgresTargetOptions>]>([
    ['a foreign key of the table to itself', 'alter table shop.t add parent int references shop.t', truncates],
    [
      'a foreign key to another table',
      'create table shop.u (id int primary key); insert into shop.u select generate_series(1, 10); alter table shop.t add foreign key (id) references shop.u',
      truncates,
    ],
    [
      'a foreign key between partitions',
      `drop table shop.t; create table shop.t (id int primary key, up int) partition by range (id);
       create table shop.t1 partition of shop.t for values from (0) to (5); create table shop.t2 partition of shop.t for values from (5) to (99);
       alter table shop.t add foreign key (up) references shop.t`,
      truncates,
    ],
    ['a foreign key, of a merge', 'create table shop.child (id int references shop.t)', { mode: 'upsert', key: 'id' }],
    ['a table that is still to be created', 'drop table shop.t', { ...truncates, createTable: true }],
  ])('%s is no obstacle', async (_, change, options) => {
    await admin.query(change)
    define(options)
    expect(await refresh()).toMatchObject({ state: 'successful', count: 10 })
    expect(await refresh()).toMatchObject({ state: 'successful', count: 10 })
    expect(await run()).toMatchObject({ state: 'successful', count: 0 })
  })

  test('what changes after the check fails the run, which says how to get back to the last checkpoint', async () => {
    define(truncates)
    await run()
    await admin.query('create table shop.child (id int references shop.t)')
    const last = await storage.find('ingestion', 'job')
    // As an earlier version of headgate, which checks nothing, or a change in between leaves it.
    await storage.begin({
      ...{ type: 'ingestion', id: 'job', state: 'queued', node: null, lease: null },
      checkpoint: { origin: newExecutionId('job', Date.now()), sequence: 0, refresh: true },
    })
    await registry.abort('ingestion', 'job')
    const failed = await run()
    expect(failed).toMatchObject({ state: 'error', count: 0 })
    expect('error' in failed && failed.error).toEqual([
      'Could not write to target [postgres].',
      expect.stringMatching(
        /^The full refresh could not remove the earlier records\. .* call `reset`: with the checkpoint of the last run before it/,
      ),
      'Could not truncate `shop.t` (SQLSTATE 0A000).',
      expect.stringContaining('cannot truncate a table referenced in a foreign key constraint'),
    ])
    expect(await run()).toMatchObject({ state: 'error' })
    await registry.reset('ingestion', 'job', { checkpoint: last?.checkpoint })
    await admin.query('insert into shop.source values (11)')
    expect(await run()).toMatchObject({ state: 'successful', count: 1 })
  })

  test('a check that waits for a lock ends when the job is aborted, and when the registry closes', async () => {
    define({ mode: 'upsert', key: 'id' })
    await run()
    const client = await admin.connect()
    const waits = `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
    const isWaiting = () => vi.waitUntil(async () => (await admin.query(waits)).rows.length > 0)
    try {
      await client.query('begin; lock table shop.t in access exclusive mode')
      const start = refresh()
      await isWaiting()
      const [aborted] = await Promise.allSettled([start, registry.abort('ingestion', 'job')])
      expect(aborted).toMatchObject({ status: 'rejected', reason: { code: 'aborted' } })
      await vi.waitUntil(async () => (await admin.query(waits)).rows.length === 0)
      const another = refresh()
      await isWaiting()
      const [closed] = await Promise.allSettled([another, registry.close()])
      expect(closed).toMatchObject({ status: 'rejected', reason: { code: 'closed' } })
      await vi.waitUntil(async () => (await admin.query(waits)).rows.length === 0)
    } finally {
      await client.query('rollback')
      client.release()
    }
  })
})

import type { JobEvent } from 'headgate'
import { recordEvents } from 'headgate/testing'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { postgresTarget } from '../../../src/adapters/postgres/target.js'
import { describedHandler } from '../../http/described-handler.js'
import { describePostgres } from '../../support/describe-postgres.js'
import { deferred, Gate, PartWorld, whole } from './partitions-support.js'

describePostgres('an ingestion in parts', (database) => {
  let world: PartWorld
  beforeEach(async () => {
    world = new PartWorld(database.url)
    await world.fill(300)
    await world.admin.query('drop table if exists headgate_checkpoint')
  })
  afterEach(() => world.close())

  const run = async (registry = world.registries[0], id = 'copy') => {
    const { finished } = await (registry as NonNullable<typeof registry>).start('ingestion', id)
    return finished
  }

  it('is spread over the registries that share storage and line', async () => {
    world.registry({ concurrency: 2 })
    world.registry({ concurrency: 2 })
    let begun = 0
    const all = deferred()
    const begin = async () => {
      if (++begun === 3) all.resolve()
      await all.promise
    }
    const seen = new Set<number>()
    const third = (record: object) => Math.floor((Number((record as { id: string }).id) - 1) / 100)
    world.define({
      partitions: [101, 201],
      transform: async (record) => {
        if (!seen.has(third(record))) {
          seen.add(third(record))
          await begin()
        }
        return record
      },
    })
    expect(await run()).toMatchObject({
      state: 'successful',
      count: 300,
      lastId: '300',
      detail: { read: 300, written: 300, parts: { total: 3, done: 3 }, consistency: 'snapshot', split: false },
    })
    expect(await world.difference()).toEqual(whole)
    const nodes = (await world.partsOf()).map(({ node }) => node)
    expect(nodes).toHaveLength(3)
    expect(new Set(nodes).size).toBe(2)
  })

  it.each([
    ['a line of its own', 1, true],
    ['a line of its own', 2, true],
    ['a shared line', 1, false],
  ])(
    'does all parts in its own slot where there is no other, also two at once (%s, %i)',
    async (_, concurrency, isAlone) => {
      const registry = world.registry({ concurrency, isAlone })
      await world.admin.query('drop table if exists other; create table other (like copy)')
      const target = postgresTarget({ connectionString: database.url, table: 'other' })
      world.define()
      world.define({ id: 'other', target, partitions: 4 })
      const other = run(registry, 'other')
      expect(await run()).toMatchObject({ state: 'successful', count: 300 })
      expect(await other).toMatchObject({ state: 'successful', count: 300 })
      expect(await world.difference()).toEqual(whole)
      expect((await world.admin.query('select count(distinct id)::int, count(*)::int as n from other')).rows).toEqual([
        { count: 300, n: 300 },
      ])
      expect(await registry.queued()).toEqual({ total: 0, hits: [] })
      expect(await world.partsOf()).toHaveLength(3)
    },
  )

  it('moves last_id only past what no part before it is missing', async () => {
    const registry = world.registry({ isAlone: true })
    const gate = new Gate((id) => id === 50)
    world.define({ transform: gate.transform })
    const events = recordEvents(registry)
    const finished = run()
    await gate.reached
    const { status } = await events.waitFor(
      'progress',
      ({ status }) => (status.detail as { parts?: { done: number } })?.parts?.done === 2,
    )
    expect(status.count).toBeGreaterThanOrEqual(199)
    expect(events.events.every(({ status }) => Number(status.lastId ?? 0) <= 40 || status.state === 'successful')).toBe(
      true,
    )
    gate.open()
    expect(await finished).toMatchObject({ state: 'successful', count: 300, lastId: '300' })
  })

  it('goes on after the last record, in parts and without', async () => {
    world.registry()
    world.define()
    await run()
    await world.admin.query(`insert into source select id, 'more' from generate_series(301, 450) id`)
    expect(await run()).toMatchObject({ state: 'successful', count: 150, lastId: '450', detail: { split: true } })
    await world.admin.query(`insert into source select id, 'more' from generate_series(451, 460) id`)
    world.registry().define(world.job({ partitions: undefined } as never))
    expect(await run(world.registries[1])).toMatchObject({ state: 'successful', count: 10, lastId: '460' })
    await world.admin.query(`insert into source select id, 'more' from generate_series(461, 470) id`)
    expect(await run()).toMatchObject({ state: 'successful', count: 10, lastId: '470' })
    expect(await world.difference()).toEqual(whole)
  })

  it.each(['without parts', 'in parts'])(
    'goes on by what the target keeps where storage has lost it (%s)',
    async (how) => {
      world.registry()
      world.define()
      await run()
      await world.admin.query(`insert into source select id, 'more' from generate_series(301, 350) id`)
      const { registries } = world
      world = new PartWorld(database.url)
      const other = world.registry({ isAlone: true })
      other.define(world.job(how === 'in parts' ? {} : ({ partitions: undefined } as never)))
      expect(await run(other)).toMatchObject({ state: 'successful', count: 50, lastId: '350' })
      expect(await world.difference()).toEqual(whole)
      world.registries.push(...registries)
    },
  )

  it('begins anew when the table is gone', async () => {
    world.registry()
    world.define()
    await run()
    await world.admin.query('alter table copy rename to gone')
    world
      .registry({ isAlone: true })
      .define(
        world.job({ target: postgresTarget({ connectionString: database.url, table: 'copy', createTable: true }) }),
      )
    expect(await run(world.registries[1])).toMatchObject({ state: 'successful', count: 300 })
    expect(await world.difference()).toEqual(whole)
    await world.admin.query('drop table gone')
  })

  it('reads in all parts what was there when it was cut', async () => {
    world.registry({ isAlone: true, concurrency: 1 })
    const gate = new Gate((id) => id === 5)
    world.define({ transform: gate.transform })
    const finished = run()
    await gate.reached
    await world.admin.query(`update source set name = 'changed' where id = 150; delete from source where id = 160;
      insert into source values (301, 'late'); update source set id = 302 where id = 250`)
    gate.open()
    expect(await finished).toMatchObject({ state: 'successful', count: 300, lastId: '300', detail: { split: false } })
    const { rows } = await world.admin.query(
      `select string_agg(name, ',' order by id) as names from copy where id in (150, 160, 250)`,
    )
    expect(rows).toEqual([{ names: 'name 150,name 160,name 250' }])
  })

  it('reads on when the connection is gone that held the snapshot, and says that it is split', async () => {
    world.registry({ isAlone: true, concurrency: 1 })
    const gate = new Gate((id) => id === 5)
    world.define({ transform: gate.transform })
    const finished = run()
    await gate.reached
    await world.admin.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and state = 'idle in transaction' and query like 'select%' and query like '%candidates (value)%'`)
    gate.open()
    expect(await finished).toMatchObject({ state: 'successful', count: 300, detail: { split: true } })
    expect(await world.difference()).toEqual(whole)
  })

  it.each([
    ['an empty table', 'delete from source', 0, 1],
    ['one value', 'delete from source where id > 1', 1, 1],
    ['fewer values than parts', 'delete from source where id > 2', 2, 2],
  ])('copes with %s', async (_, change, count, parts) => {
    await world.admin.query(change)
    world.registry()
    world.define({ partitions: 8 })
    const { detail, ...status } = await run()
    expect(status).toMatchObject({ state: 'successful', count })
    expect((detail as { parts: { total: number } }).parts.total).toBe(parts)
    expect(await world.difference()).toEqual(whole)
    await world.admin.query(`insert into source select id, 'more' from generate_series(1001, 1100) id`)
    expect(await run()).toMatchObject({ state: 'successful', count: 100, lastId: '1100' })
    expect(await world.difference()).toEqual(whole)
  })

  it.each([
    ['uuid', 'md5(id::text)::uuid'],
    ['timestamptz', `timestamptz '2024-01-01' + id * interval '1.234567 s'`],
    ['timestamp', `timestamp '2024-01-01' + id * interval '0.000001 s'`],
    ['date', `date '2024-01-01' + (id / 20)::int`],
    ['numeric', 'id / 7.0'],
    ['float8', 'sqrt(id)'],
    ['int2', 'id::int2'],
  ])('is cut by a column of the type %s', async (type, value) => {
    await world.admin.query(`alter table source add key ${type}; update source set key = ${value};
      alter table copy add key ${type}`)
    world.registry()
    world.define({ query: 'select id, name, key from source', cursor: ['key', 'id'], partitions: 5 })
    const { detail, ...status } = await run()
    expect(status).toMatchObject({ state: 'successful', count: 300 })
    expect((detail as { parts: object }).parts).toEqual({ total: 5, done: 5 })
    expect(await world.difference()).toEqual(whole)
  })

  it('is cut behind the last record, also where its value comes again', async () => {
    await world.admin.query(
      'alter table source add key numeric; update source set key = 1.00; alter table copy add key numeric',
    )
    world.registry()
    world.define({ query: 'select id, name, key from source', cursor: ['key', 'id'], partitions: 4 })
    expect(await run()).toMatchObject({ state: 'successful', count: 300, detail: { parts: { total: 1 } } })
    await world.admin.query(`insert into source select id, 'more', 1.000 from generate_series(301, 310) id`)
    expect(await run()).toMatchObject({ state: 'successful', count: 10 })
    expect(await world.difference()).toEqual(whole)
  })

  it('merges on a key, and makes the table by whichever part comes first', async () => {
    await world.admin.query('drop table copy')
    world.registry()
    world.registry()
    const options = { connectionString: database.url, table: 'copy', createTable: true }
    world.define({ partitions: 6, target: postgresTarget({ ...options, mode: 'upsert', key: 'id' }) })
    expect(await run()).toMatchObject({ state: 'successful', count: 300 })
    expect(await world.difference()).toEqual(whole)
  })

  it('leaves records without a cursor out, or fails before anything is read', async () => {
    await world.admin.query(
      'alter table source drop constraint source_pkey, alter id drop not null; insert into source values (null, 1)',
    )
    world.registry({ isAlone: true }).define(world.job({ cursor: { columns: 'id', nulls: 'skip' } }))
    world.registry({ isAlone: true }).define(world.job())
    expect(await run(world.registries[1])).toMatchObject({
      state: 'error',
      error: [
        'Could not execute datasource query [postgres].',
        expect.stringMatching(/has null in the cursor column `id`/),
      ],
    })
    expect(await world.partsOf()).toEqual([])
    expect(await run()).toMatchObject({ state: 'successful', count: 300, detail: { withoutCursor: 1 } })
  })

  it('puts records aside, in the name of the whole', async () => {
    await world.admin.query(`drop table if exists dead; create table dead (type text, id text, "executionId" text, key text, time timestamptz,
      phase text, error json, record json)`)
    world.registry()
    world.registry()
    world.define({
      transform: (record) => {
        if (Number((record as { id: string }).id) % 100 === 7) throw new Error('seven')
        return record
      },
      failures: { deadLetters: postgresTarget({ connectionString: database.url, table: 'dead' }) },
    })
    const status = await run()
    expect(status).toMatchObject({ state: 'successful', count: 300, detail: { read: 300, written: 297, failed: 3 } })
    const { rows } = await world.admin.query(
      `select type, id, "executionId", record->>'id' as n from dead order by (record->>'id')::int`,
    )
    const of = { type: 'ingestion', id: 'copy', executionId: status.executionId }
    expect(rows).toEqual(['7', '107', '207'].map((n) => ({ ...of, n })))
  })

  it('shows nothing of its parts', async () => {
    const registry = world.registry()
    const other = world.registry()
    const gate = new Gate((id) => id === 50)
    world.define({ transform: gate.transform })
    const told: JobEvent[] = []
    const batches: unknown[] = []
    for (const each of world.registries) {
      each.on('status', (event) => told.push(event))
      each.on('status', (event) => told.push(event), { scope: 'cluster' })
      each.onBatch(({ type, id, executionId, records }) => batches.push({ type, id, executionId, records }))
    }
    const { executionId, finished } = await registry.start('ingestion', 'copy')
    await gate.reached
    expect((await other.running('ingestion')).map(({ id }) => id)).toEqual(['copy'])
    expect(await other.search({ state: 'running' })).toMatchObject({ total: 1, hits: [{ id: 'copy' }] })
    expect(registry.has('ingestion', 'copy#0')).toBe(false)
    await expect(registry.start('ingestion', 'copy#0')).rejects.toMatchObject({ code: 'not_defined' })
    await expect(registry.search({ includePartitions: true } as never)).rejects.toMatchObject({
      code: 'invalid_options',
    })
    const handler = describedHandler(registry, { authorize: () => true })
    for (const path of ['/ingestion/copy%230', '/ingestion/copy%230/_abort'])
      expect((await handler(new Request(`http://localhost/jobs${path}`))).status).toBe(404)
    gate.open()
    await finished
    expect(await registry.search()).toMatchObject({ total: 1, hits: [{ id: 'copy', type: 'ingestion' }] })
    expect(new Set(told.map(({ type, id }) => `${type}/${id}`))).toEqual(new Set(['ingestion/copy']))
    expect(batches.length).toBeGreaterThanOrEqual(30)
    expect(batches).toContainEqual({ type: 'ingestion', id: 'copy', executionId, records: 10 })
    expect(new Set(batches.map((batch) => (batch as { executionId: string }).executionId))).toEqual(
      new Set([executionId]),
    )
  })
})

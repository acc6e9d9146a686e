import { setTimeout } from 'node:timers/promises'
import { isLive } from 'headgate'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { fillSource, rowCount } from './source.js'

/** How long a lease holds, in milliseconds: short, as every crash is noticed after one. */
const lease = 600

/** Storage is further away than the targets: it has seldom heard of what they have committed last. */
const saveDelay = 100

/** One record of so many is refused. */
const spacing = 30

/** Checkpoints that take their time: most crashes come between the commit of dead letters and that of the records. */
const slowCheckpoints = `
  create table headgate_checkpoint (
    key bytea primary key, type text not null, id text not null, target text not null,
    execution text collate "C" not null, checkpoint json, changed_at timestamptz not null default now());
  create function be_slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.03); return new; end $$;
  create trigger be_slow before update on headgate_checkpoint for each row
    when (new.target not like '%-dead' and new.checkpoint::text is distinct from old.checkpoint::text)
    execute function be_slow()`

describePostgres('jobs that put records aside', (database) => {
  let admin: pg.Pool
  let cluster: Cluster
  beforeAll(async () => {
    await fillSource(database.url)
    admin = new pg.Pool({ connectionString: database.url })
    await admin.query(slowCheckpoints)
  })
  afterEach(() => cluster.close())
  afterAll(() => admin.end())

  /** Neither table has a key: what comes twice is to be seen, not refused. */
  const makeTables = async (id: string) => {
    await admin.query(`
      create table "${id}" (id bigint check (id % ${spacing} <> 0), name text, pause text);
      create table "${id}-dead" (type text, id text, "executionId" text, key text, time timestamptz, phase text,
        error json, record json)`)
  }

  const idsIn = async (table: string, id: string) =>
    (await admin.query(`select (${id})::int as id from "${table}" order by 1`)).rows.map(({ id }) => id)

  const killInMidRun = async (lane: number, wanted: number): Promise<number> => {
    let kills = 0
    for (let round = 0; kills < wanted; round++) {
      const id = `picky-${lane + 4 * round}`
      await makeTables(id)
      await cluster.start('ingestion', id)
      // The ones that go on are killed too.
      for (let isOver = false; !isOver; ) {
        await setTimeout(Math.random() * 500)
        const record = await cluster.storage.find('ingestion', id)
        isOver = !record || kills >= wanted || !isLive(record.state)
        if (isOver) break
        kills++
        await cluster.replace((record as { node: string }).node)
        await cluster.until('ingestion', id, ({ state, isOrphaned }) => isLive(state) || !isOrphaned)
      }
      expect(await cluster.ended('ingestion', id)).toMatchObject({ state: 'successful', lastId: String(rowCount) })
      const ids = Array.from({ length: rowCount }, (_, index) => index + 1)
      expect(await idsIn(id, 'id')).toEqual(ids.filter((each) => each % spacing !== 0))
      expect(await idsIn(`${id}-dead`, "record->>'id'")).toEqual(ids.filter((each) => each % spacing === 0))
    }
    return kills
  }

  test('and whose processes are killed at 8 random moments have every good record once, and every bad one', async () => {
    const storage = { kind: 'postgres', url: database.url } as const
    cluster = await Cluster.open({ storage, source: database.url, kinds: ['picky'], lease, saveDelay }, 4)
    expect(await Promise.all([killInMidRun(0, 4), killInMidRun(1, 4)])).toEqual([4, 4])
  }, 150_000)
})

import { setTimeout } from 'node:timers/promises'
import { runMigrations } from 'bullmq'
import type { ExecutionRecord } from 'headgate/adapter'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { fillSource, rowCount } from './source.js'

/** How long a lease holds, in milliseconds: short, as every crash is noticed after one. */
const lease = 1000

/** How many jobs there are, and how many of them run at once. */
const jobs = { count: 8, atOnce: 4 }

describePostgres('copies in parts', (database) => {
  let admin: pg.Pool
  let cluster: Cluster
  beforeAll(async () => {
    await fillSource(database.url)
    admin = new pg.Pool({ connectionString: database.url })
    await runMigrations(admin)
  })
  afterEach(() => cluster.close())
  afterAll(() => admin.end())

  /** What differs from the source. A row that comes twice is to be seen, not refused: the table has no key. */
  const look = async (id: string) => {
    const { rows } = await admin.query(`select
      (select count(*)::int from "${id}") as count,
      (select count(*)::int from (select id, name from source except select id, name from "${id}") as d) as missing,
      (select count(*)::int from (select id, name from "${id}" except select id, name from source) as d) as foreign`)
    return rows[0]
  }

  const copy = async (id: string) => {
    await admin.query(`create table "${id}" (id bigint, name text, pause text)`)
    await cluster.start('ingestion', id)
    const { state, error, lastId, detail } = await cluster.ended('ingestion', id, 110_000)
    const seen = [id, state, error, lastId, await look(id)]
    expect(seen).toEqual([id, 'successful', undefined, String(rowCount), { count: rowCount, missing: 0, foreign: 0 }])
    // When the job was killed after the target had all, the next execution has nothing left to cut.
    const { total, done } = (detail as { parts: { total: number; done: number } }).parts
    expect([id, total === 4 || total === 1, done]).toEqual([id, true, total])
  }

  const copyInTurn = async (ids: string[]) => {
    for (let id = ids.shift(); id !== undefined; id = ids.shift()) await copy(id)
  }

  /** Kills a process that holds a whole, then one that holds a part, until it is told to stop. Tells how many. */
  const killAtRandom = (isOver: () => boolean) =>
    (async () => {
      let kills = 0
      for (; !isOver(); await setTimeout(Math.random() * 800)) {
        const { hits: live } = await cluster.storage.live({ type: 'ingestion', includePartitions: true })
        const ofKind = live.filter(({ partition }) => (partition === undefined) === (kills % 2 === 0))
        const held = ofKind.filter(({ node, state }) => node !== null && state === 'running')
        const victim = held[Math.floor(Math.random() * held.length)]
        if (!victim?.node || !cluster.nodes.has(victim.node)) continue
        kills++
        await cluster.replace(victim.node)
        // A machine that is busy starts none as fast as they could be killed.
        await Promise.all([...cluster.nodes.values()].map(({ ready }) => ready))
      }
      return kills
    })()

  const orphans = async (ofPartitions: boolean) => {
    const found: ExecutionRecord[] = []
    for (let page: ExecutionRecord[] | undefined; page === undefined || page.length === 1000; found.push(...page)) {
      const last = found.at(-1)?.executionId
      page = (
        await cluster.storage.search({
          includePartitions: true,
          size: 1000,
          ...(last !== undefined && { searchAfter: last }),
        })
      ).hits
    }
    return found.filter(({ isOrphaned, partition }) => isOrphaned && (partition !== undefined) === ofPartitions)
  }

  test('whose processes are killed at random moments have every row once', async () => {
    const storage = { kind: 'postgres', url: database.url } as const
    cluster = await Cluster.open(
      { storage, source: database.url, kinds: ['insert-parts'], lease, line: database.url },
      3,
    )
    const ids = Array.from({ length: jobs.count }, (_, n) => `insert-parts-${n}`)
    let isOver = false
    const killing = killAtRandom(() => isOver)
    await Promise.all(Array.from({ length: jobs.atOnce }, () => copyInTurn(ids))).finally(() => {
      isOver = true
    })
    const kills = await killing
    const hit = { whole: (await orphans(false)).length, parts: (await orphans(true)).length }
    expect(kills).toBeGreaterThanOrEqual(3)
    expect(hit.whole).toBeGreaterThanOrEqual(3)
    expect(hit.parts).toBeGreaterThanOrEqual(5)
    expect((await cluster.storage.live({ type: 'ingestion', includePartitions: true })).hits).toEqual([])
  }, 120_000)
})

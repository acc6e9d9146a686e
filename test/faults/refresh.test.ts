import { setTimeout } from 'node:timers/promises'
import { isLive } from 'headgate'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { fillSource, rowCount } from './source.js'

describePostgres('full refreshes', (database) => {
  let admin: pg.Pool
  beforeAll(async () => {
    await fillSource(database.url)
    admin = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => admin.end())

  const refresh = async (cluster: Cluster, id: string, wanted: number) => {
    const key = id.startsWith('refresh') ? '' : 'primary key'
    await admin.query(`create table "${id}" (id bigint ${key}, name text, pause text);
      insert into "${id}" (id, name) select id, 'old' from generate_series(1, 1000) id`)
    await cluster.start('ingestion', id, { fullRefresh: true })
    let kills = 0
    for (; kills < wanted; kills++) {
      await setTimeout(Math.random() * 300)
      const record = await cluster.storage.find('ingestion', id)
      if (!record?.node || !isLive(record.state)) break
      await cluster.replace(record.node)
      await cluster.until('ingestion', id, ({ state, isOrphaned }) => isLive(state) || !isOrphaned)
    }
    expect(await cluster.ended('ingestion', id, 60_000)).toMatchObject({ state: 'successful' })
    const { rows } = await admin.query(`select count(*)::int as rows, count(distinct id)::int as ids,
      count(*) filter (where name = 'old')::int as old from "${id}"`)
    expect([id, rows[0]]).toEqual([id, { rows: rowCount, ids: rowCount, old: 0 }])
    return kills
  }

  test('whose processes are killed at 50 random moments leave every row once, and none from before', async () => {
    const kinds = ['refresh', 'refresh-cursor', 'refresh-parts', 'upsert', 'rows']
    const storage = { kind: 'postgres', url: database.url } as const
    const cluster = await Cluster.open({ storage, source: database.url, kinds, lease: 500 }, 4)
    try {
      const lanes = kinds.map(async (kind) => {
        let kills = 0
        for (let n = 0; kills < 10; n++) kills += await refresh(cluster, `${kind}-${n}`, 10 - kills)
        return kills
      })
      expect(await Promise.all(lanes)).toEqual(kinds.map(() => 10))
    } finally {
      await cluster.close()
    }
  }, 120_000)
})

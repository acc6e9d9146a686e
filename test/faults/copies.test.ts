import { setTimeout } from 'node:timers/promises'
import { isLive } from 'headgate'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { fillSource, rowCount } from './source.js'

/** How long a lease holds, in milliseconds: short, as every crash is noticed after one. */
const lease = 600

/** Storage is further away than the target: it has seldom heard of what the target has committed last. */
const saveDelay = 100

describePostgres('copies from Postgres to Postgres', (database) => {
  let admin: pg.Pool
  let cluster: Cluster
  beforeAll(async () => {
    await fillSource(database.url)
    admin = new pg.Pool({ connectionString: database.url })
  })
  afterEach(() => cluster.close())
  afterAll(() => admin.end())

  const open = async (nodes: number) => {
    const storage = { kind: 'postgres', url: database.url } as const
    cluster = await Cluster.open({ storage, source: database.url, lease, saveDelay }, nodes)
    return cluster
  }

  /** Makes the table of a job. Only that of an upsert has a key: a row that comes twice is to be seen, not refused. */
  const makeTable = async (id: string) => {
    const key = id.startsWith('upsert') ? 'primary key' : ''
    await admin.query(
      `create table "${id}" (id bigint ${key}, name text, pause text, backend int default pg_backend_pid())`,
    )
  }

  /** What differs from the source, and how many rows the connection has written that wrote the last one. */
  const look = async (id: string) => {
    const { rows } = await admin.query(`select
      (select count(*)::int from "${id}") as count,
      (select count(*)::int from (select id, name from source except select id, name from "${id}") as d) as missing,
      (select count(*)::int from (select id, name from "${id}" except select id, name from source) as d) as foreign,
      (select count(*)::int from "${id}" where backend = (select backend from "${id}" order by id desc limit 1)) as last`)
    return rows[0]
  }

  const killInMidRun = async (cluster: Cluster, mode: string, lane: number, wanted: number): Promise<number> => {
    let kills = 0
    for (let round = 0; kills < wanted; round++) {
      const id = `${mode}-${lane + 4 * round}`
      await makeTable(id)
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
      const { state, count, lastId } = await cluster.ended('ingestion', id)
      const { last, ...seen } = await look(id)
      expect([id, state, lastId, seen]).toEqual([
        id,
        'successful',
        String(rowCount),
        { count: rowCount, missing: 0, foreign: 0 },
      ])
      // None, if it was killed between the last commit and the end.
      expect([id, [0, last].includes(count)]).toEqual([id, true])
      const log = await cluster.log(id)
      expect(log.reduce((sum, execution) => sum + execution.count, 0)).toBeLessThanOrEqual(rowCount)
    }
    return kills
  }

  test('whose processes are killed at 40 random moments have every row once', async () => {
    const opened = await open(4)
    const lanes = ['insert', 'insert', 'upsert', 'upsert'].map((mode, lane) => killInMidRun(opened, mode, lane, 10))
    expect(await Promise.all(lanes)).toEqual([10, 10, 10, 10])
  }, 150_000)

  test.each(['insert', 'upsert'])(
    'whose process is frozen have every row once, before it wakes and after (%s)',
    async (mode) => {
      const id = `${mode}-399`
      await makeTable(id)
      const opened = await open(2)
      const [frozen] = [...opened.nodes.values()]
      await frozen?.tell({ do: 'start', type: 'ingestion', id })
      const { executionId } = await opened.until('ingestion', id, ({ count }) => count > 0)
      frozen?.signal('SIGSTOP')
      const { resumedFrom, state } = await opened.ended('ingestion', id)
      expect({ resumedFrom, state }).toEqual({ resumedFrom: executionId, state: 'successful' })
      const whole = { count: rowCount, missing: 0, foreign: 0, last: expect.any(Number) }
      expect(await look(id)).toEqual(whole)
      const log = await opened.log(id)
      frozen?.signal('SIGCONT')
      // It answers once it has woken up, and can stop by then what it was at.
      await frozen?.tell({ do: 'close' })
      expect(await look(id)).toEqual(whole)
      expect(await opened.log(id)).toEqual(log)
    },
    60_000,
  )
})

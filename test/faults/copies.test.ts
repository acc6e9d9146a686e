import { setTimeout } from 'node:timers/promises'
import { isLive } from 'headgate'
import pg from 'pg'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { fillSource, rowCount } from './source.js'

/** How long a lease holds, in milliseconds: short, as every crash is noticed after one. */
const lease = 600

/** Storage is further away than the target: it has seldom heard of what the target has committed last. */
const saveDelay = 100

/** How many rows there are that are to be replaced. */
const oldCount = 1000

/** How long a swap takes at least, in milliseconds. */
const swapTime = 60

const isReplace = (id: string) => /^(rows|rename)/.test(id)

describePostgres('copies from Postgres to Postgres', (database) => {
  let admin: pg.Pool
  let swapKills = 0
  beforeAll(async () => {
    await fillSource(database.url)
    admin = new pg.Pool({ connectionString: database.url })
    await admin.query(`
      create function pause_swap() returns trigger language plpgsql as $$ begin perform pg_sleep(${swapTime / 1000}); return null; end $$;
      create function pause_rename() returns event_trigger language plpgsql as $$ begin
        perform pg_sleep(${swapTime / 1000}) from pg_event_trigger_dropped_objects() where object_type = 'table' and object_name like 'headgate%old';
      end $$;
      create event trigger slow on sql_drop execute function pause_rename()`)
  })
  afterAll(() => admin.end())

  const open = async ({ onTestFinished }: TestContext, nodes: number, kinds: string[]) => {
    const storage = { kind: 'postgres', url: database.url } as const
    const cluster = await Cluster.open({ storage, source: database.url, kinds, lease, saveDelay }, nodes)
    onTestFinished(() => cluster.close())
    return cluster
  }

  /**
   * Makes the table of a job. Only those of an upsert and of replaces have a key: a row that comes twice is to be seen, not refused.
   * What is to be replaced has old rows, and takes its time to be.
   */
  const makeTable = async (id: string) => {
    const isInsert = id.startsWith('insert')
    await admin.query(`create table "${id}" (id bigint ${isInsert ? '' : 'primary key'}, name text, pause text)`)
    if (!isReplace(id)) return
    await admin.query(`insert into "${id}" (id, name) select id + 7, 'old' from generate_series(1, ${oldCount}) id`)
    if (id.startsWith('rows')) {
      await admin.query(`create trigger slow before insert on "${id}" execute function pause_swap()`)
    }
  }

  /** What differs from the source. */
  const look = async (id: string) => {
    const { rows } = await admin.query(`select
      (select count(*)::int from "${id}") as count,
      (select count(*)::int from (select id, name from source except select id, name from "${id}") as d) as missing,
      (select count(*)::int from (select id, name from "${id}" except select id, name from source) as d) as foreign`)
    return rows[0]
  }

  /** Looks at a table that is replaced until it is told to stop: whoever reads it sees the old rows, or all of the new ones. */
  const readAll = (id: string) => {
    const seen = new Set<string>()
    let isOver = false
    const reading = (async () => {
      for (; !isOver; await setTimeout(5)) {
        const { rows } = await admin.query(
          `select count(*)::int, count(*) filter (where name = 'old')::int as old from "${id}"`,
        )
        seen.add(`${rows[0].old} of ${rows[0].count}`)
      }
    })()
    return async () => {
      isOver = true
      await reading
      return [...seen]
    }
  }

  /** Waits until the table is locked by its swap, or the job is over. */
  const untilSwap = async (cluster: Cluster, id: string) => {
    const locks = `select from pg_locks where relation = to_regclass('"${id}"') and granted and mode in ('ExclusiveLock', 'AccessExclusiveLock')`
    for (; ; await setTimeout(2)) {
      if ((await admin.query(locks)).rowCount) return true
      const record = await cluster.storage.find('ingestion', id)
      if (record && !isLive(record.state) && !record.isOrphaned) return false
    }
  }

  const killInMidRun = async (cluster: Cluster, mode: string, lane: number, wanted: number): Promise<number> => {
    let kills = 0
    for (let round = 0; kills < wanted; round++) {
      const id = `${mode}-${lane + 8 * round}`
      await makeTable(id)
      const stopReading = isReplace(id) ? readAll(id) : async () => []
      await cluster.start('ingestion', id)
      // The ones that go on are killed too.
      for (let isOver = false; !isOver; ) {
        const isAtSwap = isReplace(id) && kills % 2 === 1 && (await untilSwap(cluster, id))
        await setTimeout(Math.random() * (isAtSwap ? 2 * swapTime : 500))
        const record = await cluster.storage.find('ingestion', id)
        isOver = !record || kills >= wanted || !isLive(record.state)
        if (isOver) break
        kills++
        if (isAtSwap) swapKills++
        await cluster.replace((record as { node: string }).node)
        await cluster.until('ingestion', id, ({ state, isOrphaned }) => isLive(state) || !isOrphaned)
      }
      const { state, count, lastId, error, detail } = await cluster.ended('ingestion', id, 60_000)
      expect([id, error, state, lastId, await look(id)]).toEqual([
        id,
        undefined,
        'successful',
        String(rowCount),
        { count: rowCount, missing: 0, foreign: 0 },
      ])
      const expected = isReplace(id) ? [`${oldCount} of ${oldCount}`, `0 of ${rowCount}`] : []
      expect([id, (await stopReading()).filter((state) => !expected.includes(state))]).toEqual([id, []])
      expect([id, detail]).toMatchObject([id, { read: count, written: count, failed: 0, skipped: 0 }])
      // A replace that was killed between its swap and its end begins anew, and counts anew.
      if (isReplace(id)) continue
      const log = await cluster.log(id)
      expect([id, log.reduce((sum, execution) => sum + execution.count, 0)]).toEqual([id, rowCount])
    }
    return kills
  }

  test.for<[string[], number]>([
    [
      [
        'insert',
        'insert-two',
        'insert-cursor',
        'insert-ranges',
        'upsert',
        'upsert-two',
        'upsert-cursor',
        'upsert-ranges',
      ],
      3,
    ],
    [['rows', 'rename', 'rows', 'rename'], 4],
  ])(
    'whose processes are killed at random moments have every row once (%j)',
    { timeout: 150_000 },
    async ([modes, wanted], context) => {
      const opened = await open(context, 6, [...new Set(modes)])
      const lanes = modes.map((mode, lane) => killInMidRun(opened, mode, lane, wanted))
      expect(await Promise.all(lanes)).toEqual(modes.map(() => wanted))
      const { rows } = await admin.query(`select relname from pg_class where relname ~ 'headgate_[0-9a-f]{8}'`)
      expect(rows).toEqual([])
      expect(swapKills).toBeGreaterThanOrEqual(modes.includes('rows') ? 4 : 0)
    },
  )

  // At once: they wait for leases to run out.
  test.concurrent.for(['insert', 'upsert', 'rows', 'rename'])(
    'whose process is frozen have every row once, before it wakes and after (%s)',
    { timeout: 60_000 },
    async (mode, context) => {
      const id = `${mode}-199`
      await makeTable(id)
      const opened = await open(context, 2, [mode])
      const [frozen] = [...opened.nodes.values()]
      await frozen?.tell({ do: 'start', type: 'ingestion', id })
      const { executionId } = await opened.until('ingestion', id, ({ count }) => count > 0)
      frozen?.signal('SIGSTOP')
      const { resumedFrom, state } = await opened.ended('ingestion', id)
      expect({ resumedFrom, state }).toEqual({ resumedFrom: executionId, state: 'successful' })
      const whole = { count: rowCount, missing: 0, foreign: 0 }
      expect(await look(id)).toEqual(whole)
      const log = await opened.log(id)
      frozen?.signal('SIGCONT')
      // It answers once it has woken up, and can stop by then what it was at.
      await frozen?.tell({ do: 'close' })
      expect(await look(id)).toEqual(whole)
      expect(await opened.log(id)).toEqual(log)
    },
  )
})

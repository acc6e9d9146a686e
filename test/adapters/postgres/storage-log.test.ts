import type { EndedState, JobStorage } from 'headgate'
import type { StorageFilter } from 'headgate/adapter'
import pg from 'pg'
import { expect, test } from 'vitest'
import { namesIn } from '../../../src/adapters/postgres/storage/migrations.js'
import { describePostgres } from '../../support/describe-postgres.js'
import { begin, interceptedPool, newSchema, run, storagesOn } from './storage-support.js'

const states = ['successful', 'error', 'aborted'] as const
const hour = 3_600_000

describePostgres('the log of postgresStorage', (database) => {
  const storages = storagesOn(database)

  /** The tally, added up, beside what it counts. */
  async function tallyIn(schema: string): Promise<[string, string]> {
    const groups = (
      from: string,
      n: string,
    ) => `select string_agg(concat_ws(' ', hour, type, state, is_partition, n), ', '
      order by hour, type, state, is_partition) from (select ${
        from === 'log' ? `start_time / ${hour} as hour, partition is not null as is_partition` : 'hour, is_partition'
      }, type, state, ${n} as n from ${schema}.${from} group by 1, 2, 3, 4 having ${n} <> 0) groups`
    return [await storages.value(groups('tally', 'sum(n)')), await storages.value(groups('log', 'count(*)'))]
  }

  /** Puts executions into the log as if they had ended long ago: \`start(n)\` gives SQL for start and end. */
  async function fill(schema: string, count: number, start: string, partition = 'null::int4'): Promise<void> {
    const { log, tally, schema: quoted } = namesIn(schema)
    await storages.pool.query(`with filled as (
        insert into ${log} (uuid, type, id, partition, state, epoch, claimed_by, start_time, end_time, lease_until, count)
        select ${quoted}.uuid_of_tick((started.at - n % 7 * 100000) << 12), 'type-' || n % 2, 'job-' || n % 10, ${partition},
          (array['successful', 'error', 'aborted'])[1 + n % 3], n, 'n', started.at, started.at + 1000 - n % 3, 1, 0
        from generate_series(1, ${count}) n, lateral (select ${start} as at) started returning *
      )
      insert into ${tally} (hour, type, state, n, first_time, is_partition)
        select start_time / ${hour}, type, state, 1, ${quoted}.accept_time(uuid), partition is not null from filled`)
  }

  const countOf = (schema: string) => storages.value(`select count(*) from ${schema}.log`)

  test('says how to repair a tally that rows copied by hand have made negative', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema })
    await storage.orphans()
    const { tally, log } = namesIn(schema)
    await fill(schema, 10, `${1000 * hour}::int8 + n * 9973`)
    // As of a dump that has the log alone: the rows that are deleted later were never counted.
    await storages.pool.query(`delete from ${tally}`)
    await storages.pool.query(`delete from ${log} where start_time % 2 = 0`)
    const { code, message } = await storage.search({}).then(
      () => expect.unreachable(),
      (error) => error,
    )
    expect([code, message]).toEqual(['storage', expect.stringContaining(`rows were added to ${log} by hand`)])
    await storages.pool.query(message.replace(/^.* run: /, ''))
    expect(await storage.search({})).toMatchObject({ total: 5 })
    expect(await tallyIn(schema)).toSatisfy(([counted, kept]) => counted === kept)
  })

  test('gives exact totals and pages, whatever the filter', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema })
    await storage.orphans()
    const start = 1000 * hour
    await fill(schema, 3000, `${start}::int8 + n * 9973`)
    await fill(schema, 1000, `${start}::int8 + n * 29917`, 'n % 3')
    const pages = [0, 1000, 2000, 3000].map((from) => storage.search({ includePartitions: true, size: 1000, from }))
    const log = (await Promise.all(pages)).flatMap(({ hits }) => hits)
    expect(new Set(log.map(({ executionId }) => executionId)).size).toBe(4000)
    const end = start + 3001 * 9973
    const times = [undefined, 0, start + 9973 * 7, start + hour, start + hour - 1, start + 2.5 * hour, end, end + hour]
    const filters = times.flatMap((startTimeFrom) =>
      times.flatMap((startTimeTo) =>
        [undefined, 'type-1'].flatMap((type) =>
          [undefined, 'job-3'].flatMap((id) =>
            [{}, { includePartitions: true }, { partition: 1 }].map((partitions) => ({
              startTimeFrom,
              startTimeTo,
              type,
              id,
              state: states[(type ? 1 : 3) % 3],
              ...partitions,
            })),
          ),
        ),
      ),
    )
    for (const given of filters) {
      const filter = Object.fromEntries(
        Object.entries(given).filter(([, value]) => value !== undefined),
      ) as StorageFilter
      const expected = log.filter(
        (each) =>
          (filter.includePartitions || filter.partition === each.partition) &&
          (filter.type ?? each.type) === each.type &&
          (filter.id ?? each.id) === each.id &&
          (filter.state ?? each.state) === each.state &&
          (filter.startTimeFrom ?? 0) <= each.startTime &&
          (filter.startTimeTo ?? end * 2) >= each.startTime,
      )
      const { total, hits } = await storage.search({ ...filter, from: 5, size: 20 })
      expect([total, hits], JSON.stringify(filter)).toEqual([expected.length, expected.slice(5, 25)])
    }
  })

  test('counts exactly while many write, settle, retain and add up', async () => {
    const schema = newSchema()
    const many = Array.from({ length: 3 }, () => storages.open({ schema, maxCount: 700 }))
    const lane = async (storage: JobStorage, id: string) => {
      for (let n = 0; n < 200; n++) {
        const state = states[n % 3] as EndedState
        if (n % 20 === 0) await begin(storage, { id: `${id}-${n}`, lease: 1 })
        else await run(storage, { id, type: `type-${n % 2}`, ...(n % 3 === 0 && { partition: n % 2 }) }, { state })
      }
    }
    await Promise.all(many.flatMap((storage, n) => ['a', 'b'].map((id) => lane(storage, `${id}${n}`))))
    expect(await many[0]?.live({ type: 'test' })).toEqual({ hits: [] })
    await storages.until(`select count(*) = 700 from ${schema}.log`)
    const [tally, log] = await tallyIn(schema)
    expect(tally).toBe(log)
    expect((await many[0]?.search({ includePartitions: true }))?.total).toBe(700)
    await storages.until(`select count(*) < 600 from ${schema}.tally`)
  })

  test('lets go of the oldest ends first, beyond maxCount, in steps', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema, maxCount: 500 })
    await storage.orphans()
    await fill(schema, 4000, '1000 + n * 10')
    await run(storage, { id: 'last' })
    await storages.until(`select count(*) = 500 from ${schema}.log`)
    expect(await storages.value(`select min(epoch) from ${schema}.log where id <> 'last'`)).toBe('3502')
    const [tally, log] = await tallyIn(schema)
    expect(tally).toBe(log)
  })

  test('lets go of what ended before maxAge, counted from the end', async () => {
    const schema = newSchema()
    const first = storages.open({ schema })
    await first.orphans()
    await first.close?.()
    await fill(schema, 1500, '1000 + n * 10')
    const slow = await begin(storages.open({ schema }), { id: 'slow' })
    await storages.pool.query(`update ${schema}.job set start_time = 1`)
    const storage = storages.open({ schema, maxAge: 60_000 })
    await storage.finish(slow, { state: 'successful' })
    await storages.until(`select count(*) = 1 from ${schema}.log`)
    expect((await storage.search({})).hits[0]?.id).toBe('slow')
  })

  test('lets go of nothing that two see as too many at once', async () => {
    const schema = newSchema()
    const maxCount = 1000
    const many = Array.from({ length: 8 }, () => storages.open({ schema, maxCount }))
    await many[0]?.orphans()
    await fill(schema, 9000, '1000 + n * 10')
    await Promise.all(many.map((storage, n) => run(storage, { id: `job-${n}` })))
    const seen: number[] = []
    for (let count = 9000; count > maxCount; seen.push(count)) count = Number(await countOf(schema))
    await storages.until(`select count(*) = 0 from pg_locks where locktype = 'advisory'`)
    expect(await countOf(schema)).toBe(`${maxCount}`)
    expect(Math.min(...seen)).toBe(maxCount)
  })

  test('is kept when it is opened, also if nothing runs', async () => {
    const schema = newSchema()
    const old = storages.open({ schema })
    await old.orphans()
    await old.close?.()
    await fill(schema, 50, '1000 + n * 10')
    await storages.open({ schema, maxCount: 20 }).find('test', 'a')
    await storages.until(`select count(*) = 20 from ${schema}.log`)
  })

  test('counts what others take out of it', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema })
    for (let n = 0; n < 5; n++) await run(storage, { id: `job-${n}` })
    await storages.pool.query(`delete from ${schema}.log where id in ('job-1', 'job-2')`)
    expect((await storage.search({})).total).toBe(3)
    await storages.pool.query(`truncate ${schema}.log`)
    expect(await storage.search({})).toEqual({ total: 0, hits: [] })
  })

  test('is let go of in the background, which close waits for and failures do not stop', async () => {
    const schema = newSchema()
    const pool = new pg.Pool({ connectionString: database.url })
    let failures = 2
    const failing = interceptedPool(pool, async (statement, send) => {
      if (statement.text.includes('gone as') && failures-- > 0) throw new TypeError('no connection')
      return send(statement)
    })
    const storage = storages.open({ pool: failing, schema, maxCount: 2 })
    for (let n = 0; failures > -1; n++) await run(storage, { id: `job-${n % 5}` })
    await storages.until(`select count(*) = 2 from ${schema}.log`)
    await storage.close?.()
    await pool.end()
  })
})

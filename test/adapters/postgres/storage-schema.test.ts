import { setTimeout } from 'node:timers/promises'
import { JobError, type JobStorage } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { migrations, migrationTo, namesIn } from '../../../src/adapters/postgres/storage/migrations.js'
import { describePostgres } from '../../support/describe-postgres.js'
import { begin, newSchema, request, run, storagesOn } from './storage-support.js'

describePostgres('the schema of postgresStorage', (database) => {
  const storages = storagesOn(database)

  /** A schema as an older version of headgate left it, with ended executions. */
  async function oldSchema(version: number): Promise<string> {
    const schema = newSchema()
    const names = namesIn(schema)
    for (let each = 1; each <= version; each++) await storages.pool.query(migrationTo(each, names))
    const node = version < 5 ? 'node' : 'claimed_by'
    await storages.pool.query(`insert into ${names.log} (uuid, type, id, state, epoch, ${node}, start_time, end_time,
      lease_until, count) select ${names.schema}.uuid_of_tick((n * 600000::int8) << 12), 'test', 'old', 'successful', n,
      'n', n * 600000::int8 + 5, n * 600000::int8 + 9, n, 0 from generate_series(1, 100) n`)
    return schema
  }

  const versionIn = (schema: string) => storages.value(`select max(version) from ${schema}.migration`)

  test('is made by ten storages at once', async () => {
    const schema = newSchema()
    const ten = Array.from({ length: 10 }, () => storages.open({ schema }))
    await Promise.all(ten.map((storage, n) => run(storage, { id: `job-${n}` })))
    expect((await ten[0]?.search({}))?.total).toBe(10)
    expect(await storages.value(`select count(*) from ${schema}.migration`)).toBe(`${migrations.length}`)
  })

  test('is made by ten storages at once where transactions see no one else', async () => {
    const schema = newSchema()
    const options = '-c default_transaction_isolation=serializable'
    const pool = new pg.Pool({ connectionString: database.url, options })
    const ten = Array.from({ length: 10 }, () => storages.open({ pool, schema }))
    await Promise.all(ten.map((storage) => storage.live({ type: 'test' })))
    expect(await versionIn(schema)).toBe(`${migrations.length}`)
    await pool.end()
  })

  test('takes as long to upgrade as it needs, whatever limits of time the role has', async () => {
    const schema = await oldSchema(1)
    const options = '-c statement_timeout=300 -c lock_timeout=300'
    const pool = new pg.Pool({ connectionString: database.url, options })
    const migrating = await storages.pool.connect()
    await migrating.query(`begin; select pg_advisory_xact_lock(hashtextextended('headgate ${schema}', 0))`)
    const found = storages.open({ pool, schema }).search({})
    await setTimeout(1000)
    await migrating.query('commit')
    migrating.release()
    expect((await found).total).toBe(100)
    expect(await versionIn(schema)).toBe(`${migrations.length}`)
    expect((await pool.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '300ms' }])
    await pool.end()
  })

  test('is upgraded from version 1, with what is in it', async () => {
    const schema = await oldSchema(1)
    expect(await versionIn(schema)).toBe('1')
    const ten = Array.from({ length: 10 }, () => storages.open({ schema }))
    await Promise.all(ten.map((storage, n) => run(storage, { id: `job-${n}` })))
    const storage = storages.open({ schema })
    expect((await storage.search({})).total).toBe(110)
    expect((await storage.search({ startTimeTo: 50 * 600_000 })).total).toBe(49)
    const { total, hits } = await storage.search({ startTimeFrom: 95 * 600_000, startTimeTo: 200 * 600_000, size: 3 })
    expect([total, hits.map(({ epoch }) => epoch)]).toEqual([6, [100, 99, 98]])
    expect(await versionIn(schema)).toBe(`${migrations.length}`)
  })

  test('is upgraded from version 2, with what is in it, and keeps details from then on', async () => {
    const schema = await oldSchema(2)
    const old = (await storages.open({ schema }).search({ size: 1 })).hits[0]
    expect(old).toMatchObject({ id: 'old', epoch: 100 })
    expect(old).not.toHaveProperty('detail')
    const ended = await run(storages.open({ schema }), {}, { state: 'successful', detail: { at: 3 } })
    expect((await storages.open({ schema }).search({ type: 'test', size: 1 })).hits).toEqual([ended])
    expect(ended.detail).toEqual({ at: 3 })
    expect(await versionIn(schema)).toBe(`${migrations.length}`)
  })

  test('is upgraded from version 3, with what lives and has ended in it', async () => {
    const schema = await oldSchema(3)
    const names = namesIn(schema)
    await storages.pool.query(`insert into ${names.job} (key, uuid, type, id, state, epoch, node, tick, start_time, lease,
      lease_until, changed_at, count, detail) select sha256('4:testlive'), ${names.schema}.uuid_of_tick(1), 'test', 'live', 'running',
      7, 'n', 1, 1, 60000, 8e15::int8, 1, 3, '{"at":3}'`)
    await storages.pool.query(`insert into ${names.log} (uuid, type, id, state, epoch, node, start_time, end_time, lease_until,
      count) select gen_random_uuid(), '_part', 'old', 'successful', 1, 'n', n, n, n, 0 from generate_series(1, 5) n`)
    await storages.pool.query(`insert into ${names.tally} select start_time / 3600000, type, state, count(*), 1
      from ${names.log} group by 1, 2, 3`)
    const ten = Array.from({ length: 10 }, () => storages.open({ schema }))
    const found = await Promise.all(ten.map((storage) => storage.find('test', 'live')))
    for (const each of found) expect(each).toEqual(found[0])
    const [storage] = ten as [JobStorage]
    expect(found[0]).toMatchObject({ epoch: 7, count: 3, detail: { at: 3 } })
    expect(found[0]).not.toHaveProperty('scheduledFor')
    expect((await storage.search({ type: 'test', state: 'successful' })).total).toBe(100)
    // Not a partition, as its id has no number: nothing of headgate wrote it.
    expect((await storage.search({ type: '_part' })).total).toBe(5)
    expect(await storage.finish(found[0] as ExecutionRecord, { state: 'successful' })).toMatchObject({ count: 3 })
    const { execution } = await storage.begin(request({ id: 'live', scheduledFor: 5000 }))
    expect(execution).toMatchObject({ epoch: 8, scheduledFor: 5000 })
    expect(await versionIn(schema)).toBe(`${migrations.length}`)
  })

  test('is upgraded from version 4, whose unclaimed executions have neither a node nor a lease from then on', async () => {
    const schema = await oldSchema(4)
    const names = namesIn(schema)
    const century = 3_153_600_000_000
    await storages.pool.query(`insert into ${names.job} (key, uuid, type, id, state, epoch, node, tick, start_time, lease,
      lease_until, changed_at, count) select sha256(convert_to('4:test' || id, 'UTF8')), ${names.schema}.uuid_of_tick(tick), 'test',
      id, state, 7, node, tick, 1, lease, lease + 9e14::int8, 1, 0 from (values ('waits', 'queued', '', ${century}, 4096),
      ('aborted', 'aborting', '', ${century}, 8192), ('held', 'running', 'n', 60000, 12288)) jobs (id, state, node, lease, tick)`)
    await storages.pool.query(`insert into ${names.log} (uuid, type, id, state, epoch, node, start_time, end_time,
      lease_until, count) values (gen_random_uuid(), 'test', 'ended', 'aborted', 1, '', 1, 2, 3, 0)`)
    const storage = storages.open({ schema })
    const { hits } = await storage.live({ type: 'test' })
    expect(hits.map(({ id, state, node, leaseUntil }) => [id, state, node, leaseUntil])).toEqual([
      ['waits', 'queued', null, null],
      ['aborted', 'aborting', null, null],
      ['held', 'running', 'n', 9e14 + 60_000],
    ])
    const [waits, aborted, held] = hits as [ExecutionRecord, ExecutionRecord, ExecutionRecord]
    expect((await storage.search({ id: 'ended' })).hits).toMatchObject([{ node: null, leaseUntil: null }])
    expect(await storage.claim(waits, { node: 'n', lease: 1000 })).toMatchObject({
      state: 'running',
      node: 'n',
      epoch: 8,
    })
    expect(await storage.finish(aborted, { state: 'aborted' })).toMatchObject({ state: 'aborted', node: null })
    expect(await storage.renew(held, { lease: 60_000, count: 3 })).toMatchObject({ count: 3, node: 'n' })
    // What older processes ask and write, which must not pass.
    for (const old of [`select node from ${names.job}`, `update ${names.job} set node = '' where id = 'held'`]) {
      await expect(storages.pool.query(old)).rejects.toThrow('column "node"')
    }
  })

  test.each([1, 2, 3, 4, 5])('is upgraded from version %i, whose partitions had packed names', async (version) => {
    const schema = await oldSchema(version)
    const names = namesIn(schema)
    const node = version < 5 ? 'node' : 'claimed_by'
    const waits = version === 4 ? `''` : version < 4 ? `'n'` : 'null'
    const rows = [
      ['ingestion', 'co#py', 'running', `'n'`, 1],
      ['_ingestion', 'co#py#0', 'running', `'n'`, 2],
      ['_ingestion', 'co#py#12', 'queued', waits, 3],
      ['_ingestion', 'co#py#3', 'successful', `'n'`, 4],
      ['_ingestion', 'co#py#04', 'successful', `'n'`, 5],
    ] as const
    for (const [type, id, state, owner, tick] of rows) {
      const lease = owner === "''" ? '3153600000000' : '60000'
      const ended = state === 'successful' ? '9' : 'null'
      await storages.pool.query(`insert into ${names.job} (key, uuid, type, id, state, epoch, ${node}, tick, start_time,
        end_time, lease, lease_until, changed_at, count, resumed_from, checkpoint) values (
        sha256('${type.length}:${type}${id}'), ${names.schema}.uuid_of_tick(${tick * 4096}), '${type}', '${id}', '${state}',
        7, ${owner}, ${tick}, 1, ${ended}, ${lease}, 8e15::int8, 1, 3, '${id}01900000-0000-7000-8000-000000000000', '{"at":${tick}}')`)
      if (state !== 'successful') continue
      const columns = `uuid, type, id, state, epoch, ${node}, start_time, end_time, lease_until, count, resumed_from, checkpoint`
      await storages.pool.query(
        `insert into ${names.log} (${columns}) select ${columns} from ${names.job} where id = '${id}'`,
      )
    }
    const storage = storages.open({ schema })
    const { hits } = await storage.live({ type: 'ingestion', includePartitions: true })
    expect(hits.map(({ id, partition, checkpoint }) => [id, partition, checkpoint])).toEqual([
      ['co#py', undefined, { at: 1 }],
      ['co#py', 0, { at: 2 }],
      ['co#py', 12, { at: 3 }],
    ])
    expect((await storage.live({ type: 'ingestion' })).hits).toEqual(hits.slice(0, 1))
    const [parent, held] = hits as [ExecutionRecord, ExecutionRecord]
    expect(parent.resumedFrom).toBe('co#py01900000-0000-7000-8000-000000000000')
    for (const hit of hits) {
      expect(await storage.find('ingestion', 'co#py', hit.partition)).toEqual(hit)
      expect(hit.executionId).toMatch(/^co#py0000/)
      expect(hit.resumedFrom).toBe(parent.resumedFrom)
    }
    expect(await storage.renew(held, { lease: 1000, count: 9 })).toMatchObject({ count: 9, partition: 0 })
    const done = await storage.find('ingestion', 'co#py', 3)
    expect(done).toMatchObject({ state: 'successful', partition: 3, checkpoint: { at: 4 } })
    expect(await storage.search({ type: 'ingestion', partition: 3 })).toEqual({ total: 1, hits: [done] })
    expect((await storage.search({ type: 'ingestion' })).total).toBe(0)
    expect((await storage.search({ type: 'ingestion', includePartitions: true })).total).toBe(1)
    expect((await storage.search({ includePartitions: true })).total).toBe(102)
    const next = await storage.begin(request({ type: 'ingestion', id: 'co#py', partition: 3 }))
    expect(next).toMatchObject({ started: true, execution: { epoch: 8, partition: 3, checkpoint: { at: 4 } } })
    // Nothing of headgate wrote a number with a 0 before it.
    expect(await storage.find('_ingestion', 'co#py#04')).toMatchObject({ state: 'successful' })
  })

  test('is upgraded from version 6, with what lives and has ended in it, and manages jobs from then on', async () => {
    const schema = await oldSchema(6)
    const names = namesIn(schema)
    await storages.pool.query(`insert into ${names.job} (key, uuid, type, id, state, epoch, claimed_by, tick, start_time, end_time,
      lease, lease_until, changed_at, count, checkpoint) select sha256(convert_to('4:test' || id, 'UTF8')),
      ${names.schema}.uuid_of_tick(tick), 'test', id, state, 7, 'n', tick, 1, ended, 60000, 8e15::int8, 1, 3, '{"at":3}'
      from (values ('live', 'running', null::int8, 4096), ('old', 'successful', 9, 8192)) jobs (id, state, ended, tick)`)
    const storage = storages.open({ schema })
    const live = (await storage.find('test', 'live')) as ExecutionRecord
    const old = (await storage.find('test', 'old')) as ExecutionRecord
    for (const record of [live, old, ...(await storage.search({ size: 100 })).hits]) {
      for (const field of ['params', 'abortReason', 'logTail', 'notifiesEnd', 'isEndNotified']) {
        expect(record).not.toHaveProperty(field)
      }
    }
    expect(await storage.latest?.([live, old])).toHaveLength(2)
    expect(await storage.ends?.claim({ node: 'n', lease: 1000, size: 10 })).toEqual([])
    expect(await storage.pauses?.list()).toEqual([])
    expect(await storage.renew(live, { lease: 1000, logTail: ['a'] })).toMatchObject({ count: 3, logTail: ['a'] })
    expect(await storage.reset?.('test', 'live', { checkpoint: 1 })).toMatchObject({ reset: false })
    expect(await storage.reset?.('test', 'old', { checkpoint: 1 })).toMatchObject({ reset: true })
    const { execution } = await storage.begin(request({ id: 'old', params: { of: 1 }, notifiesEnd: true }))
    expect(execution).toMatchObject({ epoch: 8, checkpoint: 1, params: { of: 1 } })
    const ended = await storage.finish(execution, { state: 'successful' })
    expect(await storage.ends?.claim({ node: 'n', lease: 1000, size: 10 })).toEqual([ended])
    expect(await versionIn(schema)).toBe(`${migrations.length}`)
  })

  test('is not touched when it is newer than this headgate', async () => {
    const schema = newSchema()
    await run(storages.open({ schema }))
    await storages.pool.query(`insert into ${schema}.migration (version) values (${migrations.length + 1})`)
    const storage = storages.open({ schema })
    const refusal = await storage.find('test', 'a').catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(JobError)
    expect(refusal).toMatchObject({
      code: 'storage',
      message: `Schema "${schema}" has version ${migrations.length + 1}, but this headgate knows versions up to ${migrations.length}: use a newer headgate.`,
    })
    await storages.pool.query(`delete from ${schema}.migration where version = ${migrations.length + 1}`)
    expect(await storage.find('test', 'a')).toMatchObject({ state: 'successful' })
  })

  test('may be any word, also one of SQL', async () => {
    const storage = storages.open({ schema: 'select' })
    const ended = await run(storage)
    expect(await storage.find('test', 'a')).toEqual(ended)
    expect((await storage.search({ state: 'successful' })).hits).toEqual([ended])
  })

  test('may be made by somebody else, for a role that may create none', async () => {
    const schema = newSchema()
    const role = `role_${schema}`
    await storages.pool.query(`create role ${role}`)
    await storages.pool.query(`create schema ${schema} authorization ${role}`)
    const pool = new pg.Pool({ connectionString: database.url, options: `-c role=${role}` })
    const storage = storages.open({ pool, schema })
    expect((await run(storage)).state).toBe('successful')
    await storage.close?.()
    await pool.end()
    await storages.pool.query(`drop schema ${schema} cascade`)
    await storages.pool.query(`drop role ${role}`)
  })

  test('is looked for again after a connection that failed', async () => {
    const failures = ['connection refused', 'still refused']
    const client = {
      async query(text: string, values?: (string | null)[]) {
        const message = failures.shift()
        if (message) throw new TypeError(message)
        return storages.pool.query(text, values)
      },
    }
    const storage = storages.open({ client, schema: newSchema() })
    await expect(storage.find('test', 'a')).rejects.toThrow('connection refused')
    await expect(storage.find('test', 'a')).rejects.toThrow('still refused')
    expect(await storage.find('test', 'a')).toBeUndefined()
  })

  test('is made whole or not at all', async () => {
    const schema = newSchema()
    const client = {
      async query(text: string, values?: (string | null)[]) {
        // Fails in the last line of every version.
        const spoilt = text.replace(/insert into (\S+) \(version\) values/, 'insert into $1 (version) select 1/0 --')
        return storages.pool.query(spoilt.includes('1/0') ? spoilt.replace(/--[^;]*;/, ';') : text, values)
      },
    }
    await expect(storages.open({ client, schema }).find('test', 'a')).rejects.toThrow('division by zero')
    expect(await storages.value(`to_regnamespace('${schema}') is null`)).toBe('true')
    expect((await begin(storages.open({ schema }))).epoch).toBe(1)
  })
})

describe('a version of the schema', () => {
  test('is one statement without values, as every client can send', () => {
    for (const version of migrations.keys()) {
      expect(migrationTo(version + 1, namesIn('any'))).toMatch(/^do \$migration\$[\s\S]*\$migration\$$/)
    }
  })
})

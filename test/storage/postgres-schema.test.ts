import { type ExecutionRecord, JobError, type JobStorage } from 'headgate'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { migrations, migrationTo, namesIn } from '../../src/storage/_postgres-schema.js'
import { describePostgres } from '../support/describe-postgres.js'
import { begin, newSchema, request, run, storagesOn } from './_postgres.js'

describePostgres('the schema of postgresStorage', (database) => {
  const storages = storagesOn(database)

  /** A schema as an older version of headgate left it, with ended executions. */
  async function oldSchema(version: number): Promise<string> {
    const schema = newSchema()
    const names = namesIn(schema)
    for (let each = 1; each <= version; each++) await storages.pool.query(migrationTo(each, names))
    await storages.pool.query(`insert into ${names.log} (uuid, type, id, state, epoch, node, start_time, end_time,
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
    await Promise.all(ten.map((storage) => storage.live('test')))
    expect(await versionIn(schema)).toBe(`${migrations.length}`)
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
      7, 'n', 1, 1, 60000, 9e15::int8, 1, 3, '{"at":3}'`)
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
    expect((await storage.search({ state: 'successful' })).total).toBe(100)
    expect((await storage.search({ type: '_part' })).total).toBe(5)
    expect(await storage.finish(found[0] as ExecutionRecord, { state: 'successful' })).toMatchObject({ count: 3 })
    const { execution } = await storage.begin(request({ id: 'live', scheduledFor: 5000 }))
    expect(execution).toMatchObject({ epoch: 8, scheduledFor: 5000 })
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
      message: `Schema "${schema}" has version 5, but this headgate knows versions up to 4: use a newer headgate.`,
    })
    await storages.pool.query(`delete from ${schema}.migration where version = 5`)
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

import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { newExecutionId } from 'headgate/adapter'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { type MuteProxy, muteProxyTo } from '../support/mute-proxy.js'

const rowCount = 20_000
const silenceTimeout = 300

describePostgres('a Postgres that vanishes without a word', (database) => {
  let admin: pg.Pool
  beforeAll(async () => {
    admin = new pg.Pool({ connectionString: database.url })
    await admin.query(`create table source as select id, repeat('x', 1000) as text from generate_series(1, ${rowCount}) id;
      alter table source add primary key (id)`)
  })
  afterAll(() => admin.end())

  async function proxied(): Promise<MuteProxy> {
    const proxy = await muteProxyTo(database.url)
    onTestFinished(() => proxy.close())
    return proxy
  }

  /** A registry with a job that copies the source, over `reads` and `writes`. */
  async function copying(reads: string, writes: string, job: Partial<IngestionJob> = {}) {
    await admin.query('drop table if exists copy, headgate_checkpoint; create table copy (like source including all)')
    const registry = new JobRegistry({
      storage: memoryStorage(),
      datasources: { source: postgresDatasource({ connectionString: reads, silenceTimeout }) },
    })
    onTestFinished(() => registry.close())
    registry.define({
      id: 'copy',
      datasource: 'source',
      query: 'select * from source',
      cursor: 'id',
      batchSize: 100,
      target: postgresTarget({ connectionString: writes, table: 'copy', silenceTimeout }),
      ...job,
    })
    return registry
  }

  async function whenCopied(registry: JobRegistry, count: number): Promise<void> {
    await vi.waitFor(async () => expect((await registry.status('ingestion', 'copy'))?.count).toBeGreaterThan(count), {
      timeout: 20_000,
      interval: 2,
    })
  }

  describe.each(['datasource', 'target'] as const)('as the %s', (role) => {
    const urls = (proxy: MuteProxy): [string, string] =>
      role === 'datasource' ? [proxy.url, database.url] : [database.url, proxy.url]
    const slowly = { rateLimit: { rows: 10_000 } }

    test('fails the job with an error that passes', async () => {
      const proxy = await proxied()
      const registry = await copying(...urls(proxy), slowly)
      const { finished } = await registry.start('ingestion', 'copy')
      await whenCopied(registry, 500)
      proxy.mute()
      const message = `The server has been silent for ${silenceTimeout} ms and cannot be reached.`
      expect(await finished).toMatchObject({ state: 'error', error: expect.arrayContaining([message]) })
    })

    test('is read and written again when it is back, and every row arrives once', async () => {
      const proxy = await proxied()
      const registry = await copying(...urls(proxy), { ...slowly, resume: 'auto' })
      const { finished } = await registry.start('ingestion', 'copy')
      await whenCopied(registry, 500)
      proxy.mute()
      await setTimeout(500)
      proxy.heal()
      expect(await finished).toMatchObject({ state: 'successful' })
      const { rows } = await admin.query('select count(*)::int as n, count(distinct id)::int as ids from copy')
      expect(rows).toEqual([{ n: rowCount, ids: rowCount }])
    }, 60_000)
  })

  test('is not taken for gone while a long query is silent', async () => {
    const proxy = await proxied()
    const registry = await copying(proxy.url, proxy.url, {
      query: `select 1 as id, pg_sleep(${(silenceTimeout * 5) / 1000})::text as text`,
    })
    const { finished } = await registry.start('ingestion', 'copy')
    expect(await finished).toMatchObject({ state: 'successful', count: 1 })
  })

  test('as the storage, answers again as soon as it is back', async () => {
    const proxy = await proxied()
    const storage = postgresStorage({ connectionString: proxy.url, schema: 'silent', statementTimeout: 300 })
    onTestFinished(() => storage.close?.())
    await storage.search({})
    proxy.mute()
    const lost = Array.from({ length: 30 }, () => storage.find('test', 'a'))
    for (const { status } of await Promise.allSettled(lost)) expect(status).toBe('rejected')
    proxy.heal()
    const begun = performance.now()
    await vi.waitFor(() => storage.find('test', 'a'), { timeout: 20_000, interval: 1 })
    expect(performance.now() - begun).toBeLessThan(5000)
  })
})

describePostgres('limits of time that a role has on a Postgres', (database) => {
  test('do not count the time of the other side', async () => {
    const admin = new pg.Pool({ connectionString: database.url })
    onTestFinished(() => admin.end())
    const { rows } =
      await admin.query(`select name from pg_settings where name in ('idle_in_transaction_session_timeout',
      'statement_timeout', 'transaction_timeout', 'idle_session_timeout')`)
    const limits = rows.map(({ name }) => String(name))
    await admin.query(`create table source as select id from generate_series(1, 300) id; create table copy (id int)`)
    const limited = new URL(database.url)
    limited.searchParams.set('options', limits.map((name) => `-c ${name}=200`).join(' '))
    const connectionString = limited.href
    const registry = new JobRegistry({
      storage: memoryStorage(),
      progressInterval: 0,
      datasources: { source: postgresDatasource({ connectionString }) },
    })
    onTestFinished(() => registry.close())
    for (const consistency of ['statement', 'snapshot', 'pages'] as const) {
      registry.define({
        id: consistency,
        datasource: 'source',
        query: 'select id from source',
        cursor: { columns: 'id', consistency },
        batchSize: 100,
        rateLimit: { rows: 250 },
        target: postgresTarget({ connectionString, table: 'copy' }),
      })
      const { finished } = await registry.start('ingestion', consistency)
      expect(await finished).toMatchObject({ state: 'successful', count: 300 })
    }
  }, 60_000)

  test('are as they were when a pool gets its connection back', async () => {
    const limited = new pg.Pool({ connectionString: database.url, max: 1, options: '-c idle_session_timeout=60s' })
    onTestFinished(() => limited.end())
    await limited.query('create table kept (id int)')
    const { writer } = await postgresTarget({ pool: limited, table: 'kept' }).open({
      ...{ type: 'ingestion', id: 'job', executionId: newExecutionId('job', Date.now()) },
      ...{ signal: new AbortController().signal, position: undefined, isResumed: false, isResumable: true },
    })
    await writer.flush?.(null)
    const pid = `select pg_backend_pid() as pid, current_setting('idle_session_timeout') as idle`
    await writer.commit?.()
    expect((await limited.query(pid)).rows).toMatchObject([{ idle: '1min' }])
  })

  test('do not end the connection that a storage listens with', async () => {
    const limited = new URL(database.url)
    limited.searchParams.set('options', '-c idle_session_timeout=200')
    const storage = postgresStorage({ connectionString: limited.href, schema: 'listening' })
    onTestFinished(() => storage.close?.())
    onTestFinished(storage.watch?.(() => undefined) as () => void)
    const admin = new pg.Pool({ connectionString: database.url })
    onTestFinished(() => admin.end())
    const listening = async () =>
      (
        await admin.query(
          `select pid from pg_stat_activity where datname = current_database() and query like '%listen %' and pid <> pg_backend_pid()`,
        )
      ).rows
    await vi.waitFor(async () => expect(await listening()).toHaveLength(1))
    const before = await listening()
    await setTimeout(600)
    expect(await listening()).toEqual(before)
  })
})

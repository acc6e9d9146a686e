import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, type JobError, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { context, targetTests, write } from './target-support.js'

const rowCount = 200

const advisory = (key: string) => `select pg_advisory_xact_lock(hashtextextended('${key}', 0))`

describePostgres('a table of Postgres that others have locked', (database) => {
  const tests = targetTests(database)
  let registry: JobRegistry
  beforeEach(async () => {
    await tests.pool.query(`drop table if exists t, parent, headgate_checkpoint cascade; create table parent (id int primary key);
      create table t (id int primary key, name text, parent int references parent)`)
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
  })
  afterEach(() => registry.close())

  const impatient = (options: Partial<PostgresTargetOptions>) => tests.target({ lockTimeout: 20, ...options })
  const count = async () => (await tests.rows('select count(*)::int, count(distinct id)::int from t'))[0]
  const all = [rowCount, rowCount]

  const define = (target: IngestionJob['target'], more: Partial<IngestionJob> = {}) =>
    registry.define({
      id: 'job',
      datasource: postgresDatasource({ pool: tests.pool }),
      query: `select n as id, 'new'::text as name from generate_series(1, ${rowCount}) n {{#last_id}}where n > {{last_id}}::int{{/last_id}} order by 1`,
      pkField: 'id',
      batchSize: 50,
      target,
      ...more,
    })

  /** Another session that holds a lock, and what sets it free. */
  async function held(lock: string): Promise<{ pid: number; free: () => Promise<void> }> {
    const holder = new pg.Client({ connectionString: database.url, application_name: 'holder' })
    await holder.connect()
    await holder.query('begin')
    try {
      await holder.query(lock)
    } catch (error) {
      await holder.end()
      throw error
    }
    const { rows } = await holder.query('select pg_backend_pid() as pid')
    let ended: Promise<void> | undefined
    const free = async () => {
      ended ??= holder.end()
      await ended
      // The server rolls back a moment later.
      await expect.poll(() => tests.rows(`select from pg_stat_activity where pid = ${rows[0].pid}`)).toEqual([])
    }
    onTestFinished(free)
    return { pid: rows[0].pid, free }
  }

  async function failed() {
    const began = performance.now()
    const status = await (await registry.start('ingestion', 'job')).finished
    expect(status.state).toBe('error')
    expect(performance.now() - began).toBeLessThan(3000)
    return 'error' in status ? JSON.stringify(status.error) : ''
  }

  /** What the connections of a pool send while they are in no transaction. */
  function textsOutsideOfTransactions(pool: pg.Pool): string[] {
    const texts: string[] = []
    pool.on('connect', (client) => {
      let isOpen = false
      const send = client.query.bind(client) as (query: unknown) => unknown
      const query = (query: { text?: string } | string) => {
        const text = typeof query === 'string' ? query : (query.text ?? '')
        if (!isOpen) texts.push(text)
        isOpen = text.startsWith('begin') || (isOpen && !/^(commit|rollback)/.test(text))
        return send(query)
      }
      Object.assign(client, { query })
    })
    return texts
  }

  const ways: Partial<PostgresTargetOptions>[] = [
    {},
    { connections: 2 },
    { mode: 'upsert', key: 'id' },
    { strategy: 'replace', maxShrink: 1 },
    { strategy: 'replace', swap: 'rename', maxShrink: 1 },
  ]
  const table = 'lock table t in access exclusive mode'
  const checkpoints = 'lock table headgate_checkpoint in access exclusive mode'

  describe.each(ways)('%j', (way) => {
    test.each([table, checkpoints])('fails the job in time, and names who holds the lock: %s', async (lock) => {
      await tests.complete(tests.target())
      const { pid, free } = await held(lock)
      define(impatient(way), { resume: 'restart' })
      const error = await failed()
      expect(error).toContain('Could not get a lock on `t`, or on what it needs, within 200 ms')
      expect(error).toMatch(new RegExp(`pid ${pid} \\(holder, idle in transaction, since 20[^)]+Z, \`\\S[^)]*\`\\) with AccessExclusiveLock on (t|headgate_checkpoint)`)) // biome-ignore format: one line
      expect(await registry.status('ingestion', 'job')).toMatchObject({ count: 0 })
      await free()
      expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ state: 'successful' })
      expect(await count()).toEqual(all)
    })

    test('that comes in mid-run ends a try, and the next one writes every row once', async () => {
      let holder: ReturnType<typeof held> | undefined
      const transform = async (record: JobRecord) => {
        if (Number(record.id) > 100) holder ??= held('lock table t in access exclusive mode nowait')
        // The batch before may not be committed yet.
        await holder?.catch(() => {
          holder = undefined
        })
        return record
      }
      const retry = { delay: 1, limit: 100 }
      define(impatient(way), { transform, resume: 'auto', retry, batchSize: 10 })
      const { finished } = await registry.start('ingestion', 'job')
      await expect.poll(() => holder, { timeout: 5000 }).toBeDefined()
      await setTimeout(500)
      await (await holder)?.free()
      expect(await finished).toMatchObject({ state: 'successful', count: rowCount })
      expect(await count()).toEqual(all)
    })

    test('is opened and written to without the timeouts of the role: every text turns them off first', async () => {
      const pool = new pg.Pool({ connectionString: database.url, max: 4 })
      onTestFinished(() => pool.end())
      const sent = textsOutsideOfTransactions(pool)
      const datasource = postgresDatasource({ pool })
      define(postgresTarget({ pool, table: 't', ...way }), { datasource })
      expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ state: 'successful' })
      expect(sent.length).toBeGreaterThan(3)
      expect(sent.filter((text) => !/^(begin[^;]*; ?)?set local statement_timeout to 0|^rollback/.test(text))).toEqual(
        [],
      )
    })

    test('has no limit but `lockTimeout`: that of the role for statements ends no wait', async () => {
      const limited = new URL(database.url)
      limited.searchParams.set('options', '-c statement_timeout=150 -c lock_timeout=50')
      const { free } = await held(table)
      define(postgresTarget({ connectionString: limited.href, table: 't', ...way }))
      const { finished } = await registry.start('ingestion', 'job')
      await setTimeout(600)
      await free()
      expect(await finished).toMatchObject({ state: 'successful' })
      expect(await count()).toEqual(all)
    })
  })

  test.each([
    ['lock table t in share row exclusive mode', {}],
    ['insert into t values (150)', {}],
    ['insert into t values (150)', { mode: 'upsert', key: 'id' }],
  ] as [string, Partial<PostgresTargetOptions>][])('a wait of COPY is bounded: %s (%j)', async (lock, way) => {
    const { free } = await held(lock)
    define(impatient(way))
    expect(await failed()).toContain('within 200 ms')
    await free()
    expect(await (await registry.start('ingestion', 'job')).finished).toMatchObject({ state: 'successful' })
    expect(await count()).toEqual(all)
  })

  test('a session that only reads the table is named when the swap `rename` waits for it, and only then', async () => {
    await tests.pool.query('create table other (id int)')
    onTestFinished(async () => void (await tests.pool.query('drop table other')))
    const { pid } = await held('select from t, other')
    const renaming = { strategy: 'replace', swap: 'rename', maxShrink: 1 } as const
    define(impatient({ ...renaming, lockTimeout: 2 }))
    expect(await failed()).toMatch(
      new RegExp(
        `pid ${pid} \\(holder, idle in transaction, since 20[^)]+Z, \`select\\b[^)]*\\) with AccessShareLock on t\\b`,
      ),
    )
    const { pid: writer } = await held('lock table t in share row exclusive mode')
    registry.define({ id: 'append', datasource: postgresDatasource({ pool: tests.pool }), query: 'select 1 as id', target: impatient({}) }) // biome-ignore format: one line
    const status = await (await registry.start('ingestion', 'append')).finished
    const error = status.state === 'error' ? status.error.join() : ''
    expect(error).toContain(`pid ${writer}`)
    expect(error).not.toContain('AccessShareLock')
  })

  test('what a foreign key waits for is named', async () => {
    await tests.pool.query('insert into parent values (1)')
    const { pid } = await held('delete from parent')
    define(impatient({}), { query: 'select 1 as id, 1 as parent' })
    expect(await failed()).toMatch(new RegExp(`pid ${pid} .* with RowExclusiveLock on parent`))
  })

  test.each(['headgate_create', 'headgate_checkpoint'])('so is %s', async (key) => {
    await tests.pool.query('drop table t')
    const { pid } = await held(advisory(key))
    define(impatient({ createTable: true }))
    expect(await failed()).toContain(`pid ${pid} (holder`)
  })

  test('a record that fails is put aside, and a lock is waited for with those before it', async () => {
    const { free } = await held('insert into t values (150)')
    define(impatient({}), { failures: { total: 1 } })
    const { finished } = await registry.start('ingestion', 'job')
    await setTimeout(500)
    await free()
    expect(await finished).toMatchObject({ state: 'successful', detail: { written: rowCount, failed: 0 } })
    expect(await count()).toEqual(all)
  })

  test('the error of an opening passes, and shows no value of a statement of others', async () => {
    await held(`do $$ begin lock table t; perform 'secret'; end $$`)
    const error = (await (async () => impatient({ mode: 'upsert', key: 'id' }).open(context()))().catch(
      (it) => it,
    )) as JobError
    expect(error).toMatchObject({ code: 'target', isTransient: true, cause: { code: '55P03' } })
    expect(error.message).not.toContain('secret')
  })

  test('a check whether the table is empty waits no longer', async () => {
    await tests.complete(tests.target(), [{ id: 1 }])
    const writer = await tests.opened(impatient({}), { isResumed: true })
    await held(table)
    await expect(writer.isReset?.()).rejects.toMatchObject({ code: 'target', isTransient: true })
  })

  test('so does the raising of sequences', async () => {
    await tests.pool.query('create table numbered (id int generated by default as identity primary key)')
    const writer = await tests.opened(impatient({ table: 'numbered' }))
    await write(writer, [{ id: 5 }])
    await writer.flush?.(null)
    await held('lock table numbered in access exclusive mode')
    await expect(writer.commit?.()).rejects.toMatchObject({ code: 'target', isTransient: true })
  })
})

import { type PostgresClient, type PostgresPool, postgresStorage } from 'headgate/postgres'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { hastyProxyTo } from '../../support/hasty-proxy.js'
import { begin, interceptedPool, newSchema, run, storagesOn, watch } from './storage-support.js'

/** Tries again until it works: as a caller would whose connection was lost. */
async function untilDone<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries === 10) throw error
    }
  }
}

/** No look comes to help within a test. */
const never = 1_000_000

describePostgres('watching postgresStorage', (database) => {
  const storages = storagesOn(database)

  const listeners = (schema: string) =>
    `from pg_stat_activity where datname = current_database() and query like '%listen headgate_${schema}'`

  const untilListening = (schema: string) => storages.until(`select count(*) = 1 ${listeners(schema)}`)

  /** A pool that never tells what \`isLost\` says. */
  function losing(isLost: (text: string) => boolean): PostgresPool {
    return interceptedPool(storages.pool, async (statement, send) =>
      isLost(statement.text) ? { rows: [] } : send(statement),
    )
  }

  test('tells of an abort within milliseconds, also of the 2,000th job', async () => {
    const schema = newSchema()
    const [storage, peer] = [storages.open({ schema, pollInterval: never }), storages.open({ schema })]
    const { told } = watch(storage)
    // Not all at once: a start that waits for five seconds is refused.
    for (let first = 0; first < 2000; first += 200) {
      await Promise.all(Array.from({ length: 200 }, (_, n) => begin(peer, { id: `${'x'.repeat(400)}${first + n}` })))
    }
    await told(`${'x'.repeat(400)}1999`, 'running', 15_000)
    const times: number[] = []
    for (let n = 0; n < 20; n++) {
      const began = performance.now()
      await peer.requestAbort({ type: 'test', id: `${'x'.repeat(400)}${n}` })
      await told(`${'x'.repeat(400)}${n}`, 'aborting')
      times.push(performance.now() - began)
    }
    expect(times.sort((a, b) => a - b)[10]).toBeLessThan(100)
  })

  test.each(['a pool of its own', 'a pool of the caller'])(
    'outlives connections that the server ends as soon as they are ready, with %s',
    async (whose) => {
      const proxy = await hastyProxyTo(database.url)
      const pool = whose === 'a pool of the caller' ? new pg.Pool({ connectionString: proxy.url }) : undefined
      const storage = postgresStorage({
        ...(pool ? { pool } : { connectionString: proxy.url }),
        schema: newSchema(),
        pollInterval: never,
      })
      const { told } = watch(storage)
      await untilDone(() => begin(storage, { id: 'a' }))
      await told('a', 'running')
      await storage.close?.()
      await pool?.end()
      proxy.close()
    },
  )

  test('does not tell what ended before anybody listened', async () => {
    const schema = newSchema()
    const peer = storages.open({ schema })
    await run(peer, { id: 'before' })
    // What the first look sees has a time that is over.
    await storages.until(
      `select max(end_time) < floor(extract(epoch from clock_timestamp()) * 1000) - 100 from ${schema}.log`,
    )
    const { told, changes } = watch(storages.open({ schema, pollInterval: 100 }))
    await run(peer, { id: 'after' })
    await told('after', 'successful')
    expect(changes.map(({ id }) => id)).not.toContain('before')
  })

  test('tells what ended while the first look waited for a connection', async () => {
    const schema = newSchema()
    const peer = storages.open({ pool: losing((text) => text.includes('pg_notify')), schema })
    await run(peer, { id: 'earlier' })
    let go = () => {}
    const ended = new Promise<void>((resolve) => {
      go = resolve
    })
    const slow = interceptedPool(storages.pool, async (statement, send) => {
      if (statement.text.includes('with span')) await ended
      return send(statement)
    })
    const { told } = watch(storages.open({ pool: slow, schema, pollInterval: never }))
    await run(peer, { id: 'a' })
    await storages.until(
      `select max(end_time) < floor(extract(epoch from clock_timestamp()) * 1000) - 50 from ${schema}.log`,
    )
    go()
    await told('a', 'successful')
  })

  test('tells each change once, though notifications and looks overlap', async () => {
    const schema = newSchema()
    const [storage, peer] = [storages.open({ schema, pollInterval: 20 }), storages.open({ schema })]
    const { changes, told } = watch(storage)
    for (let n = 0; n < 10; n++) await run(n % 2 ? storage : peer, { id: `job-${n}` })
    await told('job-8', 'successful')
    await new Promise((resolve) => setTimeout(resolve, 200))
    const seen = changes.map(({ executionId, state }) => `${executionId} ${state}`)
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('listens again when its connection was killed, and tells of what changed meanwhile', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema, pollInterval: never })
    const deafPeer = storages.open({ pool: losing((text) => text.includes('pg_notify')), schema })
    const peer = storages.open({ schema })
    const { told } = watch(storage)
    await run(peer, { id: 'before' })
    await told('before', 'successful')
    await storages.pool.query(`select pg_terminate_backend(pid) ${listeners(schema)}`)
    await run(deafPeer, { id: 'meanwhile' })
    await told('meanwhile', 'successful')
    await untilListening(schema)
    await run(peer, { id: 'after' })
    await told('after', 'successful')
  })

  test('looks, where notifications are lost on their way', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema, pollInterval: 100 })
    const peer = storages.open({ pool: losing((text) => text.includes('pg_notify')), schema })
    const { told } = watch(storage)
    const execution = await begin(peer)
    await told('a', 'running')
    await peer.finish(execution, { state: 'successful' })
    // The job has moved on: only the log tells.
    await begin(peer)
    await begin(peer, { id: 'b' })
    await peer.requestAbort({ type: 'test', id: 'b' })
    await told('a', 'successful')
    await told('b', 'aborting')
  })

  test('looks often, where nothing is heard of what was listened to', async () => {
    const schema = newSchema()
    const deaf: PostgresClient = {
      on: () => undefined,
      off: () => undefined,
      query: async (sent: string | object) =>
        typeof sent === 'string' ? undefined : storages.pool.query(sent as never),
      release: () => undefined,
    }
    const pool: PostgresPool = { connect: async () => deaf }
    const { told } = watch(storages.open({ pool, schema, pollInterval: never }))
    await run(storages.open({ schema }))
    await told('a', 'successful', 2000)
  })

  test('looks often, where nothing can be listened to', async () => {
    const schema = newSchema()
    const client = { query: (text: string, values?: (string | null)[]) => storages.pool.query(text, values) }
    const { told } = watch(storages.open({ client, schema, pollInterval: never }))
    await run(storages.open({ schema }))
    await told('a', 'successful', 2000)
    const single = new pg.Pool({ connectionString: database.url, max: 1 })
    onTestFinished(() => single.end())
    const other = watch(storages.open({ pool: single, schema, pollInterval: never }))
    await run(storages.open({ schema }), { id: 'b' })
    await other.told('b', 'successful', 2000)
    expect(await storages.value(`select count(*) ${listeners(schema)}`)).toBe('0')
  })

  test('goes on after the database could not be reached', async () => {
    const schema = newSchema()
    let isDown = true
    const pool: PostgresPool = {
      async connect() {
        if (isDown) throw new TypeError('connection refused')
        return storages.pool.connect()
      },
    }
    const { told } = watch(storages.open({ pool, schema, pollInterval: never }))
    await run(storages.open({ schema }))
    isDown = false
    await told('a', 'successful', 10_000)
  })

  test('stops with its last listener, and begins again with the next', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema, pollInterval: never })
    const changes: string[] = []
    for (let round = 0; round < 3; round++) {
      const stop = storage.watch?.(({ id }) => changes.push(id))
      await untilListening(schema)
      stop?.()
      await storages.until(`select count(*) = 0 ${listeners(schema)}`)
    }
    await run(storages.open({ schema }))
    expect(changes).toEqual([])
  })

  test('sends few notifications to know that they come, however many watch', async () => {
    const schema = newSchema()
    const watching = 8
    const pollInterval = 200
    for (let n = 0; n < watching; n++) watch(storages.open({ schema, pollInterval }))
    await storages.until(`select count(*) = ${watching} ${listeners(schema)}`)
    const ear = new pg.Client({ connectionString: database.url })
    await ear.connect()
    await ear.query(`listen headgate_${schema}`)
    let heard = 0
    ear.on('notification', () => heard++)
    await new Promise((resolve) => setTimeout(resolve, 10 * pollInterval))
    await ear.end()
    expect(heard).toBeGreaterThan(0)
    expect(heard).toBeLessThan((10 * watching) / 2)
  })

  test('ignores what others say on the channel', async () => {
    const uuid = '01900000-0000-7000-8000-000000000000'
    const schema = newSchema()
    const storage = storages.open({ schema, pollInterval: never })
    const { changes, told } = watch(storage)
    await untilListening(schema)
    const partitions = ['"1"', '-1', '1.5', 'null', '1,2'].map((n) => `["x",["other","a","${uuid}","running",${n}]]`)
    for (const payload of [...partitions, '', 'hello', '{}', '[]', 'null', '1', '[1,2]', '["x",null]', '["x",[]]']) {
      await storages.pool.query('select pg_notify($1, $2)', [`headgate_${schema}`, payload])
    }
    await run(storages.open({ schema }))
    await told('a', 'successful')
    expect(changes.filter(({ type }) => type !== 'test')).toEqual([])
  })

  test('leaves no connection when it is closed', async () => {
    const schema = newSchema()
    const own = `from pg_stat_activity where datname = current_database() and application_name = 'headgate'`
    const storage = storages.open({ schema })
    storage.watch?.(() => undefined)
    await run(storage)
    await untilListening(schema)
    await storage.close?.()
    await storages.until(`select count(*) = 0 ${own}`)
  })

  test('is over at once when it is closed before it began', async () => {
    const storage = storages.open({ schema: newSchema() })
    storage.watch?.(() => undefined)
    await storage.close?.()
    const unused = storages.open({ schema: newSchema() })
    await unused.close?.()
  })
})

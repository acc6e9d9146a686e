import { randomUUID } from 'node:crypto'
import { createPostgresBackend, runMigrations } from 'bullmq'
import type { Dispatcher } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { type DispatcherFixture, dispatcherSuite } from 'headgate/testing'
import { Redis } from 'ioredis'
import pg from 'pg'
import { beforeAll, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeRedis } from '../../support/redis.js'

/** Short, so that the turns of a dead process come again soon. */
const lockDuration = 1000

describeRedis('bullmqDispatcher on Redis keeps the contract of a dispatcher', ({ url, prefix }) => {
  function create(): DispatcherFixture {
    const queue = randomUUID()
    const clients = new Map<Dispatcher, Redis>()
    const open = () => {
      const connection = new Redis(url, { maxRetriesPerRequest: null })
      const dispatcher = bullmqDispatcher({ connection, prefix, queue, lockDuration })
      clients.set(dispatcher, connection)
      return dispatcher
    }
    const cut = (dispatcher: Dispatcher) => clients.get(dispatcher)?.disconnect()
    const close = async () => {
      for (const client of clients.values()) client.disconnect()
    }
    return { open, cut, close }
  }

  dispatcherSuite({ test, create })
})

describePostgres('bullmqDispatcher on Postgres keeps the contract of a dispatcher', (database) => {
  function create(): DispatcherFixture {
    const queue = randomUUID()
    const connection = { connectionString: database.url, migrate: true, schema: 'lines', max: 4 }
    const open = () => bullmqDispatcher({ connection, backend: createPostgresBackend, queue, lockDuration })
    return { open }
  }

  dispatcherSuite({ test, create, unsupported: { redeliver: 'shown with a pool, which can be cut off' } })
})

describePostgres('bullmqDispatcher on a pool keeps the contract of a dispatcher', (database) => {
  const options = '-c search_path=bullmq'
  beforeAll(async () => {
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await runMigrations(client, 'bullmq')
    await client.end()
  })

  function create(): DispatcherFixture {
    const queue = randomUUID()
    const pools = new Map<Dispatcher, pg.Pool>()
    const open = () => {
      const connection = new pg.Pool({ connectionString: database.url, options, max: 5 })
      const dispatcher = bullmqDispatcher({ connection, backend: createPostgresBackend, queue, lockDuration })
      pools.set(dispatcher, connection)
      return dispatcher
    }
    const cut = (dispatcher: Dispatcher) => void pools.get(dispatcher)?.end()
    const close = async () => {
      for (const pool of pools.values()) if (!pool.ending) await pool.end()
    }
    return { open, cut, close }
  }

  dispatcherSuite({ test, create })
})

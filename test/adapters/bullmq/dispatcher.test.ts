import { randomUUID } from 'node:crypto'
import { createPostgresBackend, runMigrations } from 'bullmq'
import type { Dispatcher } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { type DispatcherFixture, dispatcherSuite } from 'headgate/testing'
import pg from 'pg'
import { beforeAll, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { describeRedis } from '../../support/redis.js'
import { lockDuration, redisFixture } from './redis-fixture.js'

describeRedis('bullmqDispatcher on Redis keeps the contract of a dispatcher', (redis) => {
  dispatcherSuite({ test, create: () => redisFixture(redis) })
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

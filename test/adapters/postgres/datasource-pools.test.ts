import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import { afterEach, expect, test, vi } from 'vitest'
import { connect, type PostgresPool } from '../../../src/adapters/postgres/client/pool.js'

afterEach(() => {
  vi.useRealTimers()
})

test.each([
  [
    'is full',
    { waitingCount: 1, totalCount: 3, idleCount: 0 },
    'the pool had no free connection within 60000 ms: 3 of at most 3 are in use. Raise its `max`',
  ],
  [
    'makes a connection that does not come',
    { waitingCount: 0, totalCount: 1, idleCount: 0 },
    'could not connect to the server within 60000 ms. Check that it can be reached.',
  ],
])('a pool that %s for a minute is told so', async (_, counts, message) => {
  vi.useFakeTimers()
  const pool: PostgresPool = { connect: () => new Promise(() => undefined), options: { max: 3 }, ...counts }
  const connecting = connect(pool, new AbortController().signal, (cause) => cause as Error)
  const failing = expect(connecting).rejects.toThrow(message)
  await vi.advanceTimersByTimeAsync(60_000)
  await failing
})

test.each([
  'mysql://host/shop',
  'redis://host',
  'nonsense',
  'user:secret@host/shop',
  'localhost:5432/shop',
  'host=localhost dbname=shop',
])('a text that is no address is refused, and not shown: %s', (connectionString) => {
  const targetOf = (options: { connectionString: string }) => postgresTarget({ ...options, table: 't' })
  for (const make of [postgresDatasource, postgresStorage, targetOf]) {
    expect(() => make({ connectionString })).toThrow(
      'Expected `connectionString` to be a URL such as `postgres://user@host:5432/database`, got a text that is not one',
    )
  }
})

test.each([
  'postgres://localhost/shop',
  'postgresql://user:pass word@/shop?host=/tmp',
  'socket:/tmp?db=shop',
  '/var/run/postgresql shop',
  'cockroachdb://host/shop',
])('an address that pg takes is taken: %s', async (connectionString) => {
  await postgresDatasource({ connectionString }).close?.()
})

import { isTransient } from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import { expect, test } from 'vitest'

// pg gives these errors no code.
test.each([
  ['timeout expired', true],
  ['timeout exceeded when trying to connect', true],
  ['Connection terminated unexpectedly', true],
  ['Connection terminated due to connection timeout', true],
  ['database "x" does not exist', false],
])('an error of the pool of a storage, "%s", is transient: %s', async (message, expected) => {
  for (const pool of [
    { connect: async () => Promise.reject(new Error(message)) },
    { connect: async () => ({ query: async () => Promise.reject(new Error(message)), release() {}, on() {} }) },
  ]) {
    const storage = postgresStorage({ pool: { ...pool, query() {}, on() {}, options: {} } as never })
    const error = await storage.find('test', 'a').catch((error: unknown) => error)
    expect(error).toBeInstanceOf(Error)
    expect(isTransient(error)).toBe(expected)
    await storage.close?.()
  }
})

test('a storage whose role is read-only by default names the setting', async () => {
  const refused = Object.assign(new Error('cannot execute UPDATE in a read-only transaction'), {
    code: '25006',
    severity: 'ERROR',
  })
  const pool = { connect: async () => ({ query: async () => Promise.reject(refused), release() {}, on() {} }) }
  const storage = postgresStorage({ pool: { ...pool, query() {}, on() {}, options: {} } as never })
  const error = await storage.find('test', 'a').catch((error: unknown) => error)
  expect((error as Error).message).toMatch(/pg_is_in_recovery.*show default_transaction_read_only/)
  expect(isTransient(error)).toBe(true)
  await storage.close?.()
})

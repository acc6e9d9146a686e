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

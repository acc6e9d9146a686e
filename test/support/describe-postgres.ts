import { afterAll, beforeAll, describe, inject } from 'vitest'
import { type FreshDatabase, freshDatabase } from './postgres.js'

/**
 * `describe` for tests that need a real Postgres: `database.url` leads to an empty database of their own from `beforeAll`
 * on. Skipped when the run has no server.
 */
export function describePostgres(name: string, body: (database: { readonly url: string }) => void): void {
  const server = inject('postgresUrl')
  describe.skipIf(server === undefined)(name, () => {
    let database: FreshDatabase
    beforeAll(async () => {
      database = await freshDatabase(server ?? '')
    })
    afterAll(() => database.drop())
    body({
      get url() {
        return database.url
      },
    })
  })
}

import { PGlite } from '@electric-sql/pglite'
import { postgresStorage } from 'headgate/storage/postgres'
import { type StorageCreateOptions, storageSuite } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

let schemas = 0

/** A schema that no other case has. */
function newSchema(): string {
  schemas++
  return `case_${schemas}`
}

describePostgres('postgresStorage keeps the contract of a storage', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())

  function create(options: StorageCreateOptions) {
    const schema = newSchema()
    const storage = postgresStorage({ pool, schema, ...options })
    const peer = postgresStorage({ connectionString: database.url, schema, ...options })
    return { storage, peer, close: async () => void (await Promise.all([storage.close?.(), peer.close?.()])) }
  }

  storageSuite({ test, create })
})

describe('postgresStorage over PGlite keeps the contract of a storage', () => {
  let client: PGlite
  beforeAll(async () => {
    client = await PGlite.create()
  })
  afterAll(() => client.close())

  function create(options: StorageCreateOptions) {
    const schema = newSchema()
    const storage = postgresStorage({ client, schema, ...options })
    const peer = postgresStorage({ client, schema, ...options })
    return { storage, peer, close: async () => void (await Promise.all([storage.close?.(), peer.close?.()])) }
  }

  storageSuite({ test, create })
})

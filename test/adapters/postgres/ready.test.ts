import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import { expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

describePostgres('ready, with adapters of Postgres', (database) => {
  const elsewhere = () => {
    const other = new URL(database.url)
    other.pathname = '/no_such_database'
    return other.href
  }

  test('rejects when the database of the storage is missing, without a second attempt', async () => {
    await using registry = new JobRegistry({ storage: postgresStorage({ connectionString: elsewhere() }) })
    const error = await registry.ready().catch((error) => error)
    expect(error).toMatchObject({ code: 'storage', message: 'The storage is not ready.' })
    expect(JSON.stringify([error.cause.message, error.cause.cause?.message])).toContain('no_such_database')
  })

  test('connects to datasources and targets', async () => {
    const target = postgresTarget({ connectionString: database.url, table: 'no_such_table' })
    const created = postgresTarget({ connectionString: database.url, table: 'to_be_created', createTable: true })
    await using registry = new JobRegistry({
      storage: memoryStorage(),
      datasources: { here: postgresDatasource({ connectionString: database.url }) },
    })
    registry.define({ id: 'a', datasource: 'here', query: 'select 1 as id', target: created })
    await registry.ready({ datasources: true, targets: true })
    const missing = postgresDatasource({ connectionString: elsewhere() })
    registry.define({ id: 'b', datasource: missing, query: 'select 1 as id', target })
    await expect(registry.ready({ datasources: true })).rejects.toMatchObject({ code: 'datasource' })
    await expect(registry.ready({ targets: true })).rejects.toMatchObject({
      message: 'The target of job [ingestion/b] is not ready.',
      cause: { message: expect.stringContaining('no_such_table') },
    })
  })
})

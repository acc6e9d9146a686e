import { randomUUID } from 'node:crypto'
import { errorMessages, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
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

  test('tells a server that refuses the login from one that is not reached', async () => {
    const stranger = new URL(database.url)
    stranger.username = 'no_such_role'
    const [refused, absent] = [/^The server refused the login \(SQLSTATE 28\w{3}\)\.$/, /^Could not reach /]
    const messagesOf = async (connectionString: string) => {
      const registry = new JobRegistry({ storage: memoryStorage() })
      registry.define({
        id: 'a',
        datasource: postgresDatasource({ connectionString }),
        query: 'select 1 as id',
        target: postgresTarget({ connectionString, table: 't' }),
      })
      const keeper = new JobRegistry({ storage: postgresStorage({ connectionString }) })
      const failing = [
        keeper.ready({ timeout: 500 }),
        registry.ready({ timeout: 500, datasources: true }),
        registry.ready({ timeout: 500, targets: true }),
      ]
      const errors = await Promise.all(failing.map((ready) => ready.catch((error) => error)))
      await Promise.all([registry.close(), keeper.close()])
      return errors.map((error) => errorMessages(error))
    }
    for (const messages of await messagesOf(stranger.href))
      expect(messages).toContainEqual(expect.stringMatching(refused))
    for (const messages of await messagesOf(elsewhere()))
      expect(messages).toContain('The database does not exist (SQLSTATE 3D000).')
    const [storage, datasource, target] = await messagesOf('postgres://localhost:1/x')
    expect(storage).toContain('Could not reach Postgres.')
    expect(datasource).toContain('The connection attempt failed.')
    expect(target).toContainEqual(expect.stringMatching(absent))
    for (const messages of [storage, datasource, target]) expect(messages?.join(' ')).toContain('ECONNREFUSED')
  })

  test('names the grant that the role of the storage lacks, until it has all', async () => {
    const role = `keeper_${randomUUID().replaceAll('-', '')}`
    const owner = new pg.Client({ connectionString: database.url })
    await owner.connect()
    const db = new URL(database.url).pathname.slice(1)
    const keeper = new URL(database.url)
    keeper.username = role
    keeper.password = 'secret'
    const schema = 'kept'
    const ready = async () => {
      await using registry = new JobRegistry({ storage: postgresStorage({ connectionString: keeper.href, schema }) })
      const error = await registry.ready().then(
        () => undefined,
        (error) => error,
      )
      const said = error && errorMessages(error).join('\n')
      return said && (/Run as the owner or a superuser: `(.+)`\./.exec(said)?.[1] ?? said)
    }
    try {
      await owner.query(`create role ${role} login password 'secret'`)
      expect(await ready()).toBe(`grant create on database ${db} to ${role}`)
      await owner.query(`create schema ${schema}`)
      expect(await ready()).toBe(`grant usage, create on schema "${schema}" to ${role}`)
      await owner.query(`grant usage on schema ${schema} to ${role}`)
      expect(await ready()).toBe(`grant create on schema "${schema}" to ${role}`)
      const registry = new JobRegistry({ storage: postgresStorage({ connectionString: database.url, schema }) })
      await registry.ready()
      await registry.close()
      const tables = ['job', 'log', 'migration', 'pause', 'tally'].map((table) => `${schema}.${table}`).join(', ')
      const grant = await ready()
      expect(grant).toBe(`grant select, insert, update, delete on ${tables} to ${role}`)
      await owner.query(grant)
      expect(await ready()).toBeUndefined()
      await owner.query(
        `delete from ${schema}.migration where version = (select max(version) from ${schema}.migration)`,
      )
      expect(await ready()).toMatch(/^grant (create on schema "kept"|\w+) to keeper_/)
    } finally {
      await owner.query(`drop schema if exists ${schema} cascade; drop owned by ${role}; drop role ${role}`)
      await owner.end()
    }
  })
})

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { JobRegistry } from 'headgate'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

const roles = ['events_reader', 'events_writer', 'jobs_keeper']

// What docs/run/postgres.md says that roles need.
describePostgres('grants', (database) => {
  it('of examples/grants.sql let a job copy, upsert and resume', async () => {
    const suffix = new URL(database.url).pathname.slice(1)
    const grants = await readFile(join(import.meta.dirname, '../../../examples/grants.sql'), 'utf8')
    const client = new pg.Client(database.url)
    await client.connect()
    await client.query(`
      create table events (id int primary key, kind text);
      insert into events select n, 'login' from generate_series(1, 100) n;
      create table events_copy (like events including all)`)
    for (const role of roles) await client.query(`create role "${role}_${suffix}" login password 'secret'`)
    await client.query(grants.replaceAll(new RegExp(roles.join('|'), 'g'), (role) => `"${role}_${suffix}"`))

    const [reader = '', writer = '', keeper = ''] = roles.map((role) => {
      const url = new URL(database.url)
      url.username = `${role}_${suffix}`
      url.password = 'secret'
      return url.href
    })
    const registry = new JobRegistry({
      storage: postgresStorage({ connectionString: keeper }),
      datasources: { shop: postgresDatasource({ connectionString: reader }) },
    })
    const target = { connectionString: writer, table: 'events_copy' }
    const job = { datasource: 'shop', query: 'select * from events', cursor: 'id', maxRecords: 60 }
    registry.define({ ...job, id: 'append', target: postgresTarget(target) })
    registry.define({ ...job, id: 'upsert', target: postgresTarget({ ...target, mode: 'upsert', key: 'id' }) })
    try {
      for (const id of ['append', 'append', 'upsert', 'upsert']) {
        const { finished } = await registry.start('ingestion', id)
        expect(await finished).toMatchObject({ state: 'successful' })
      }
      expect((await client.query('select count(*)::int from events_copy')).rows).toEqual([{ count: 100 }])

      const readOnly = `"${roles[1]}_${suffix}"`
      await client.query(`alter role ${readOnly} set default_transaction_read_only to on`)
      await client.query(`insert into events values (101, 'login')`)
      const ended = await (await registry.start('ingestion', 'append')).finished
      expect(ended.state === 'error' && ended.error.join(' ')).toMatch(
        /SQLSTATE 25006.*show default_transaction_read_only/,
      )
      await client.query(`alter role ${readOnly} reset default_transaction_read_only`)

      // What the role lacks is named.
      const name = `"${roles[1]}_${suffix}"`
      const failure = async (statement: string) => {
        await client.query(statement)
        const { finished } = await registry.start('ingestion', 'append')
        const status = await finished
        return status.state === 'error' ? status.error.join(' ') : status.state
      }
      expect(await failure(`revoke update on headgate_checkpoint from ${name}`)).toContain(
        'The role may not read and write "public"."headgate_checkpoint", which holds the checkpoints of jobs: grant it `select, insert, update, delete` on the table.',
      )
      expect(await failure('drop table headgate_checkpoint; revoke create on schema public from public')).toContain(
        'The role may not create "public"."headgate_checkpoint", which holds the checkpoints of jobs: grant it `create` on the schema "public", or create the table beforehand.',
      )
    } finally {
      await registry.close()
      for (const role of roles) await client.query(`drop owned by "${role}_${suffix}"; drop role "${role}_${suffix}"`)
      await client.end()
    }
  })
})

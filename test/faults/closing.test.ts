import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { programOf } from '../support/program.js'
import { smallestOf } from '../support/smallest-of.js'

const run = promisify(execFile)

test.each(['storage', 'datasource'])(
  'a registry that closed keeps no process alive, though its %s gets no answer',
  async (what) => {
    const program = await programOf(new URL('closer.ts', import.meta.url))
    const time = await smallestOf(1000, async () => Number((await run(process.execPath, [program, what])).stdout))
    expect(time).toBeLessThan(1000)
  },
)

describePostgres('a registry that closed', (database) => {
  test('leaves no connection of a datasource that a job was given in place of a name', async () => {
    const registry = new JobRegistry({ storage: memoryStorage() })
    const datasource = postgresDatasource({ connectionString: database.url })
    for (const id of ['a', 'b']) registry.define({ id, datasource, query: 'select 1 as id', target: () => {} })
    expect(await (await registry.start('ingestion', 'a')).finished).toMatchObject({ state: 'successful' })
    await registry.close()
    const client = new pg.Client(database.url)
    await client.connect()
    const others = `select count(*)::int as count from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`
    await expect.poll(async () => (await client.query(others)).rows[0].count, { timeout: 2000 }).toBe(0)
    await client.end()
  })
})

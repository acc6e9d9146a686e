/**
 * An ingestion whose target refuses some records: they become dead letters, and another job repairs them.
 *
 *     npx tsx examples/failures.ts postgres://localhost/postgres
 *
 * It makes the tables `member` and `dead_letter`.
 */
import { type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'

const [connectionString = 'postgres://localhost/postgres'] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString })

await pool.query(`
  drop table if exists member, dead_letter, headgate_checkpoint;
  create table member (id bigint primary key, email text not null check (email like '%@%'));
  create table dead_letter (
    place bigint generated always as identity primary key,
    type text, id text, execution_id text, key text, time timestamptz, phase text, error json, record json
  )`)

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ pool }) },
})

async function run(id: string) {
  const { finished } = await registry.start('ingestion', id)
  const { state, detail } = await finished
  if (!detail) return
  const { read, written, failed, skipped } = detail
  console.log(`${id} ${state}: ${read} read, ${written} written, ${failed} failed, ${skipped} skipped`)
}

// #region define
const columns = {
  ...{ type: 'type', id: 'id', executionId: 'execution_id', key: 'key' },
  ...{ time: 'time', phase: 'phase', error: 'error', record: 'record' },
}

registry.define({
  id: 'members',
  datasource: 'postgres',
  query: `
    select n as id, case when n % 400 = 0 then 'user' || n else 'user' || n || '@example.org' end as email
    from generate_series(1, 1000) n {{#last_id}}where n > {{last_id}}{{/last_id}} order by n`,
  pkField: 'id',
  target: postgresTarget({ pool, table: 'member' }),
  failures: {
    deadLetters: postgresTarget({ pool, table: 'dead_letter', columns }),
    total: 100, // one more fails the job
  },
})
await run('members')
// members successful: 1000 read, 998 written, 2 failed, 0 skipped
// #endregion

// #region look
const { rows } = await pool.query(
  "select record, split_part(error->>-1, '. ', 1) as why from dead_letter order by place",
)
for (const { record, why } of rows) console.log(record.email, why)
// user400 new row for relation "member" violates check constraint "member_email_check"
// user800 new row for relation "member" violates check constraint "member_email_check"
// #endregion

// #region repair
registry.define<{ place: string; record: string }, JobRecord>({
  id: 'repair-members',
  datasource: 'postgres',
  query: 'select place, record from dead_letter {{#last_id}}where place > {{last_id}}{{/last_id}} order by place',
  pkField: 'place',
  transform: ({ record }) => {
    const { id, email } = JSON.parse(record)
    return { id, email: `${email}@example.org` }
  },
  target: postgresTarget({ pool, table: 'member' }),
})
await run('repair-members')
// repair-members successful: 2 read, 2 written, 0 failed, 0 skipped
// #endregion

await registry.close()
await pool.end()

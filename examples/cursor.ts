/**
 * Reading by a cursor: what changed comes again, and the query says nothing of where to go on.
 *
 *     npx tsx examples/cursor.ts postgres://localhost/postgres
 *
 * It makes a table of its own.
 */
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'

const [connectionString = 'postgres://localhost/postgres'] = process.argv.slice(2)

const pool = new pg.Pool({ connectionString })
await pool.query(`
  drop table if exists articles;
  create table articles (id int primary key, updated_at timestamptz not null, title text);
  create index on articles (updated_at, id);
  insert into articles
    select n, timestamptz '2024-01-01 00:00:00+00' + n / 10 * interval '1 second', 'article ' || n
    from generate_series(1, 1000) n`)

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ pool }) },
})

// #region define
const copies = new Map<number, string>()

registry.define<{ id: number; title: string }>({
  id: 'articles',
  datasource: 'postgres',
  query: 'select id, updated_at, title from articles',
  cursor: ['updated_at', 'id'],
  target: (batch) => {
    for (const { id, title } of batch.records()) copies.set(id, title)
  },
})
// #endregion

/** Starts a job and waits until it has ended. */
async function run(id: string) {
  const { finished } = await registry.start('ingestion', id)
  const status = await finished
  const { consistency, split } = status.detail ?? {}
  console.log(
    `${status.state}: ${status.count} records, last id ${status.lastId}, ${consistency}${split ? ', split' : ''}`,
  )
  if (status.state === 'error') console.log(status.error.at(-1))
}

// #region run
await run('articles')
// successful: 1000 records, last id 1000, statement
await pool.query("update articles set updated_at = '2024-06-01', title = 'changed' where id in (3, 5)")
await run('articles')
// successful: 2 records, last id 5, statement, split
await run('articles')
// successful: 0 records, last id 5, statement, split
console.log(copies.get(3))
// changed
// #endregion

// #region ties
const target = () => {}
registry.define({ id: 'tied', datasource: 'postgres', query: 'table articles', cursor: 'updated_at', target })
await run('tied')
// error: 0 records, last id undefined, statement
// Several records have the same `updated_at` (2024-01-01 00:00:00+00), so reading cannot resume between them. Add a unique column to the end of `cursor`, such as the primary key: `cursor: ['updated_at', 'id']`; or read such records together with `ties: 'drain'`.

registry.define({
  id: 'drained',
  datasource: 'postgres',
  query: 'table articles',
  cursor: { columns: 'updated_at', ties: 'drain', lookback: 60_000, consistency: 'pages' },
  target,
})
await run('drained')
// successful: 1000 records, last id 2024-06-01T00:00:00Z, pages
// #endregion

await registry.close()
await pool.end()

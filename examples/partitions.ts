/**
 * One table, read in partitions that several processes may share.
 *
 *     npx tsx examples/partitions.ts postgres://localhost/postgres
 *
 * It makes tables of its own.
 */
import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'

const [connectionString = 'postgres://localhost/postgres'] = process.argv.slice(2)

const pool = new pg.Pool({ connectionString })
await pool.query(`
  drop table if exists visits, visits_copy;
  create table visits (id int primary key, page text);
  insert into visits select n, 'page ' || n from generate_series(1, 10000) n`)

const datasources = { shop: postgresDatasource({ pool }) }
const registry = new JobRegistry({ storage: memoryStorage(), datasources })

// #region run
registry.define({
  id: 'visits',
  datasource: 'shop',
  query: 'select * from visits',
  cursor: 'id',
  partitions: 4,
  target: postgresTarget({ pool, table: 'visits_copy', createTable: true }),
  resume: 'auto',
})

const { finished } = await registry.start('ingestion', 'visits')
const { state, count, detail } = await finished
console.log(state, count, detail?.parts)
// successful 10000 { total: 4, done: 4 }
// #endregion
await registry.close()
await pool.end()

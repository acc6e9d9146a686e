/**
 * What a cursor does not see: deletes, which a full reload finds, and late commits, which are read again.
 *
 *     npx tsx examples/reload.ts postgres://localhost/postgres
 *
 * It makes tables of its own.
 */
import { type IngestionJob, JobRegistry, type StartOptions } from 'headgate'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'

const [connectionString = 'postgres://localhost/postgres'] = process.argv.slice(2)

const pool = new pg.Pool({ connectionString })
await pool.query(`
  drop table if exists products, products_copy, invoices, orders, orders_copy;
  create table products (id int primary key, name text);
  insert into products select n, 'product ' || n from generate_series(1, 100) n;
  create table products_copy (like products including all);
  create table orders (id int primary key, updated_at timestamptz not null);
  insert into orders values (1, '2024-01-01 12:00:00Z'), (2, '2024-01-01 12:00:30Z');
  create table orders_copy (like orders including all)`)

const datasources = { shop: postgresDatasource({ pool }) }
const registry = new JobRegistry({ storage: postgresStorage({ pool }), datasources })

async function run(id: string, options: StartOptions = {}): Promise<void> {
  const { finished } = await registry.start('ingestion', id, options)
  const status = await finished
  const { rows } = await pool.query(`select count(*) from ${id}_copy`)
  console.log(`${status.state}: ${status.count} read, ${rows[0].count} in the copy`)
  if (status.state === 'error') console.log(status.error.at(-1))
}

// #region define
registry.define({
  id: 'products',
  datasource: 'shop',
  query: 'select * from products',
  cursor: 'id',
  target: postgresTarget({ pool, table: 'products_copy', strategy: 'replace' }),
})
// #endregion

// #region run
await run('products')
// successful: 100 read, 100 in the copy
await pool.query('delete from products where id > 90')
await run('products')
// successful: 90 read, 90 in the copy
// #endregion

// #region guard
await pool.query('truncate products')
await run('products')
// error: 0 read, 90 in the copy
// Refused to replace the 90 records of `public.products_copy` by none: with `maxShrink` 0.5, 45 or more are expected. The old ones stay. Raise `maxShrink` to allow it; 1 allows anything.
// #endregion

// #region lookback
const orders: IngestionJob = {
  id: 'orders',
  datasource: 'shop',
  query: 'select * from orders',
  cursor: { columns: ['updated_at', 'id'], lookback: 60_000 },
  target: postgresTarget({ pool, table: 'orders_copy', mode: 'upsert', key: 'id' }),
}
registry.define(orders)

await run('orders')
// successful: 2 read, 2 in the copy
await pool.query("insert into orders values (3, '2024-01-01 12:00:10Z')") // before the checkpoint
await run('orders')
// successful: 3 read, 3 in the copy
// #endregion

// #region refresh
await pool.query('update orders_copy set updated_at = now()') // a mistake
await run('orders', { fullRefresh: true })
// successful: 3 read, 3 in the copy
// #endregion

const target = postgresTarget({ pool, table: 'orders_copy', onFullRefresh: 'truncate' })
registry.define({ id: 'order-list', datasource: 'shop', query: 'select * from orders', cursor: 'id', target })

// #region refused
await pool.query('create table invoices (order_id int references orders_copy)')
await registry
  .start('ingestion', 'order-list', { fullRefresh: true })
  .catch(({ code, message }) => console.log(`${code}: ${message}`))
// invalid_options: A full refresh is not possible. Postgres does not truncate a table that a foreign key of another one refers to, and `public.orders_copy` has invoices_order_id_fkey of invoices: drop the foreign key, or merge with `mode: 'upsert'`. Or remove the rows of `public.orders_copy` yourself, and call `reset` in place of the full refresh.
// #endregion
await pool.query('drop table invoices')

// #region reset
await pool.query('truncate orders_copy')
await registry.reset('ingestion', 'orders')
await run('orders')
// successful: 3 read, 3 in the copy
// #endregion

await registry.close()
await pool.end()

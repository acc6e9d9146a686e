import { setTimeout } from 'node:timers/promises'
import { type Datasource, JobError, type JobRegistry } from 'headgate'
import { postgresTarget } from 'headgate/postgres'
import type pg from 'pg'

/** A registry with the datasources that the jobs name. `warehouse` runs one job at a time, `web` five. */
type Registry = JobRegistry<{ shop: Datasource; web: Datasource; warehouse: Datasource; legacy: Datasource }>

/** Creates what the jobs read and write. */
export async function createTables(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table visits (at timestamptz, id int, page text, seconds int, primary key (at, id));
    insert into visits select timestamptz '2025-01-01Z' + n * interval '2 minutes', n, 'page ' || n, n % 300 from generate_series(1, 262000) n;
    create table products_copy (id bigint primary key, name text not null);
    create table customers_copy (id bigint, name text);
    create table members_copy (id bigint primary key, email text not null check (email like '%@%'));
    create table dead_letter (
      place bigint generated always as identity primary key,
      type text, id text, execution_id text, key text, time timestamptz, phase text, error json, record json
    )`)
}

/** Defines seven jobs, each with another fate. */
export function defineJobs(registry: Registry, pool: pg.Pool): void {
  // Runs for a while: 2,000 records per second, of 400,000.
  registry.define({
    id: 'orders',
    datasource: 'warehouse',
    query: `select n as id, 'order ' || n as name, repeat('x', 200) as note
      from generate_series(1, 400000) n {{#last_id}}where n > {{last_id}}{{/last_id}} order by n`,
    pkField: 'id',
    total: { query: 'select 400000 as total' },
    batchSize: 500,
    rateLimit: { rows: 2000 },
    target: () => {},
  })

  // Waits until `orders` leaves the warehouse.
  registry.define({
    id: 'invoices',
    datasource: 'warehouse',
    query: 'select n as id from generate_series(1, 500) n order by n',
    pkField: 'id',
    target: () => {},
  })

  // Fails: nothing listens on that port.
  registry.define({
    id: 'customers',
    datasource: 'legacy',
    query: 'select * from customers',
    target: postgresTarget({ pool, table: 'customers_copy' }),
  })

  // Reads the visits of a year in partitions, a month each, some of them at a time.
  registry.define({
    id: 'visits',
    datasource: 'web',
    query: 'select * from visits',
    cursor: ['at', 'id'],
    partitions: 12,
    batchSize: 1000,
    target: postgresTarget({ pool, table: 'visits_copy', createTable: true, mode: 'upsert', key: ['at', 'id'] }),
    rateLimit: { rows: 3000 },
  })

  // Replaces the whole table in each run. The source has more products by the second.
  registry.define({
    id: 'products',
    datasource: 'shop',
    schedule: { cron: '30 2 * * *', timeZone: 'Europe/Berlin' },
    query: `select n as id, 'product ' || n as name
      from generate_series(1, 2400 + (extract(epoch from now())::int % 600)) n`,
    target: postgresTarget({ pool, table: 'products_copy', strategy: 'replace' }),
  })

  // Sets aside the records that its target refuses, and shows the last of them.
  registry.define({
    id: 'members',
    datasource: 'shop',
    query: `select n as id, case when n % 400 = 0 then 'user' || n else 'user' || n || '@example.org' end as email
      from generate_series(1, 4000) n order by n`,
    pkField: 'id',
    resume: 'restart',
    target: postgresTarget({ pool, table: 'members_copy', mode: 'upsert', key: ['id'] }),
    failures: {
      showRecords: true,
      deadLetters: postgresTarget({
        pool,
        table: 'dead_letter',
        columns: {
          ...{ type: 'type', id: 'id', executionId: 'execution_id', key: 'key' },
          ...{ time: 'time', phase: 'phase', error: 'error', record: 'record' },
        },
      }),
    },
  })

  // Starts by a schedule, and logs what it does.
  registry.define({
    type: 'report',
    id: 'sales',
    schedule: { cron: '*/2 * * * *', timeZone: 'Europe/Berlin' },
    async run({ params, progress, log, signal, complete }) {
      const days = Number(params.days ?? 7)
      log(`The report is about ${days} days.`)
      for (let day = 1; day <= days; day++) {
        await setTimeout(30 + 60 * Math.random(), undefined, { signal })
        log(`Day ${day} has ${Math.round(900 * Math.random())} sales.`)
        progress({ count: day * 100, detail: { total: days * 100 } })
      }
      complete()
    },
  })
}

/** Starts what goes on for a while, and runs what ends soon a few times, so that there is a history. */
export async function startJobs(registry: Registry, rounds = 12): Promise<void> {
  const run = async (type: string, id: string, params?: Record<string, unknown>) => {
    try {
      const { finished } = await registry.start(type, id, params && { params })
      await finished
    } catch (error) {
      // Its schedule was faster.
      if (!JobError.isInstance(error) || error.code !== 'already_running') throw error
    }
  }
  await registry.start('ingestion', 'orders')
  await registry.start('ingestion', 'invoices')
  await registry.start('ingestion', 'visits')
  for (let round = 1; round <= rounds; round++) {
    await run('report', 'sales', { days: 2 + (round % 5) })
    await run('ingestion', 'members')
    await run('ingestion', 'products')
    if (round % 4 === 0) await run('ingestion', 'customers')
  }
}

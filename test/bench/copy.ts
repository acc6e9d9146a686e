/**
 * Postgres to Postgres: `npx tsx test/bench/copy.ts`. Inserts against two `psql` that pipe COPY in binary format, and
 * upserts against inserts of many rows with `on conflict`. Every figure is the whole time, from an empty table to the end of
 * the job or of the processes; headgate commits records and checkpoint together. Needs `psql`.
 */
import { bench, type Contender } from './_bench.js'
import { copyByHand, copyByHeadgate, copyByPsql, every10k } from './_copy.js'

const headgate = 'headgate, a checkpoint every 250 ms'
const headgateOften = 'headgate, a checkpoint per 10,000 rows'
const headgateTwo = 'headgate, a checkpoint per 10,000 rows, connections: 2'
const headgateText = 'headgate, a checkpoint per 10,000 rows, values as text'
const headgateObjects = 'headgate, a transform that makes objects'
const psql = 'psql copy (select …) to stdout (format binary) | psql copy … from stdin (format binary)'
const upsert = 'headgate, upsert'
const byHand = 'pg-query-stream, insert … values … on conflict per 1,000'

/** What asks for the values of the last record keeps rows from being passed on unread. */
const asText = (table: string) =>
  `select * from ${table} {{#last_record}}where true or {{.}} is null{{/last_record}} order by id`

const contenders: Record<string, Contender> = {
  [headgate]: (task) => copyByHeadgate(task, {}),
  [headgateOften]: (task) => copyByHeadgate(task, every10k),
  [headgateTwo]: (task) => copyByHeadgate(task, { ...every10k, target: { connections: 2 } }),
  [headgateText]: (task) => copyByHeadgate(task, { ...every10k, job: { ...every10k.job, query: asText(task.table) } }),
  [headgateObjects]: (task) => copyByHeadgate(task, { job: { transform: (record) => ({ ...record }) } }),
  [psql]: copyByPsql,
  [upsert]: (task) => copyByHeadgate(task, { target: { mode: 'upsert', key: 'id' } }),
  [byHand]: (task) => copyByHand(task, 'upsert'),
}

/** Enums, a domain, and an array and a composite type of them. */
const ownTypes = {
  name: 'types',
  types: `create type bench_state as enum ('new', 'paid', 'shipped', 'returned'); create domain bench_amount as int check (value >= 0);
    create type bench_line as (state bench_state, amount bench_amount)`,
  columns: `(array['new', 'paid', 'shipped', 'returned'])[1 + id % 4]::bench_state as state, (id % 100)::int::bench_amount as amount,
    array['new', 'paid']::bench_state[] as states, row('new', 1)::bench_line as line`,
}

const oneEnum = { ...ownTypes, name: 'enum', types: 'select', columns: ownTypes.columns.split(', (id')[0] as string }

await bench(import.meta.url, contenders, async (measure) => {
  await measure('Insert', 1_000_000, [headgate, headgateOften, headgateTwo, headgateText, headgateObjects, psql])
  await measure(
    'Insert, with columns of an enum, a domain, an array and a composite type',
    1_000_000,
    [headgate, headgateText, psql],
    ownTypes,
  )
  await measure('Insert, with a column of an enum', 1_000_000, [headgate, headgateText, psql], oneEnum)
  await measure('Upsert', 1_000_000, [upsert, byHand])
})

/**
 * What `parallel` gains or costs, Postgres to Postgres: `npm run bench -- parallel`. A plain table, and a query that computes
 * something for every row, each by one reader and by two, over one connection of the target and over two. Every figure is the whole
 * time, from an empty table to the end of the job, with a checkpoint every 250 ms.
 */
import { bench, type Contender, type Task } from './_bench.js'
import { copyByHeadgate } from './_copy.js'

const plain = (table: string) => `select * from ${table}`

/** Four digests for every row, in columns as wide as they were. */
const heavy = (
  table: string,
) => `select id, quantity, price, ratio, md5(md5(md5(md5(name)))) as name, created_at, active, details
  from ${table}`

const unordered = 'plain table, as it lies, without a cursor'
const plainOne = 'plain table, cursor'
const plainTwo = 'plain table, cursor, parallel: 2'
const plainBoth = 'plain table, cursor, parallel: 2, connections: 2'
const heavyOne = 'four md5 per row, cursor'
const heavyTwo = 'four md5 per row, cursor, parallel: 2'
const heavyBoth = 'four md5 per row, cursor, parallel: 2, connections: 2'

/** Reads the query by its cursor with so many readers, into so many connections. */
const copy =
  (query: (table: string) => string, parallel: number, connections: 1 | 2 = 1): Contender =>
  (task: Task) =>
    copyByHeadgate(task, {
      job: { query: query(task.table), pkField: 'id', cursor: 'id', parallel },
      target: { connections },
    })

const contenders: Record<string, Contender> = {
  [unordered]: (task) => copyByHeadgate(task, { job: { query: plain(task.table) } }),
  [plainOne]: copy(plain, 1),
  [plainTwo]: copy(plain, 2),
  [plainBoth]: copy(plain, 2, 2),
  [heavyOne]: copy(heavy, 1),
  [heavyTwo]: copy(heavy, 2),
  [heavyBoth]: copy(heavy, 2, 2),
}

await bench(import.meta.url, contenders, async (measure) => {
  await measure('Plain table', 1_000_000, [plainTwo, plainBoth, unordered, plainOne])
  await measure('Heavier query', 1_000_000, [heavyTwo, heavyBoth, heavyOne])
})

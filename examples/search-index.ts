/**
 * A search index that follows a table of Postgres: what is new, what has changed and what was deleted. Then all of it is replaced in one step.
 *
 *     npx tsx examples/search-index.ts postgres://localhost/postgres http://localhost:9200
 *
 * It makes the table `product`, and the indexes `product` and `product_search` of an Elasticsearch or OpenSearch.
 */
import { JobRegistry, memoryStorage } from 'headgate'
import { elasticsearchTarget } from 'headgate/elasticsearch'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'

const [connectionString = 'postgres://localhost/postgres', node = 'http://localhost:9200'] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString })

// #region table
await pool.query(`
  drop table if exists product;
  create table product (id bigint primary key, name text, price numeric(12, 2), released text, deleted boolean,
    updated_at timestamptz not null default clock_timestamp());
  create index on product (updated_at, id);
  insert into product
  select n, 'product ' || n, n / 100.0, case when n = 400 then 'unknown' else '2024-01-31' end, false
  from generate_series(1, 1000) n`)
// #endregion
await fetch(`${node}/product`, { method: 'DELETE' })

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ pool }) },
})

async function run(id: string) {
  const { finished } = await registry.start('ingestion', id)
  const { state, detail } = await finished
  console.log(`${id} ${state}: ${detail?.written} written, ${detail?.failed} failed`)
}

async function search(index: string, query: string) {
  const answer = await fetch(`${node}/${index}/_search?q=${encodeURIComponent(query)}&track_total_hits=true`)
  const { hits } = (await answer.json()) as { hits: { total: { value: number } } }
  console.log(`${hits.total.value} found in ${index}`)
}

// #region define
registry.define({
  id: 'products',
  datasource: 'postgres',
  query: 'select * from product',
  cursor: ['updated_at', 'id'],
  target: elasticsearchTarget({
    node,
    index: 'product',
    id: 'id',
    deleted: 'deleted',
    mappings: { properties: { name: { type: 'text' }, released: { type: 'date' } } },
  }),
  failures: {
    deadLetters: (batch) => {
      for (const { record, error } of batch.records()) {
        console.log(record.id, /failed to parse field .* of type \[\w+\]/.exec(error.join(' '))?.[0])
      }
    },
    total: 100, // one more fails the job
  },
})
await run('products')
// 400 failed to parse field [released] of type [date]
// products successful: 999 written, 1 failed
await search('product', 'name:product')
// 999 found in product
// #endregion

// #region follow
await pool.query(`
  update product set released = '2024-02-29', updated_at = clock_timestamp() where id = 400;
  update product set deleted = true, updated_at = clock_timestamp() where id <= 100`)
await run('products')
// products successful: 101 written, 0 failed
await search('product', 'name:product')
// 900 found in product
// #endregion

// #region replace
registry.define({
  id: 'reload',
  datasource: 'postgres',
  query: 'select id, name, price from product where not deleted',
  target: elasticsearchTarget({ node, index: 'product_search', id: 'id', strategy: 'replace' }),
})
await run('reload')
// reload successful: 900 written, 0 failed
await search('product_search', 'price:>=9.5')
// 51 found in product_search
// #endregion

await registry.close()
await pool.end()

/**
 * From Postgres to the `_bulk` of a server that only counts: `npx tsx test/bench/elasticsearch.ts`. A job of headgate against `helpers.bulk` of
 * both clients, fed by pg-query-stream, per CPU second of the process that sends.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { JobRegistry, memoryStorage } from 'headgate'
import { type ElasticsearchTargetOptions, elasticsearchTarget } from 'headgate/elasticsearch'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import QueryStream from 'pg-query-stream'
import { loadClient } from '../support/search-clients.js'
import { bench, type Task, timed } from './_bench.js'

const elastic = 'helpers.bulk of @elastic/elasticsearch'
const opensearch = 'helpers.bulk of @opensearch-project/opensearch'

await bench(
  import.meta.url,
  {
    headgate: (task) => throughRegistry(task, {}),
    'headgate, gzip': (task) => throughRegistry(task, { compression: true }),
    [elastic]: (task) => throughHelper(task, '@elastic/elasticsearch'),
    [opensearch]: (task) => throughHelper(task, '@opensearch-project/opensearch'),
  },
  async (measure) => {
    const rows = Number(process.env.BENCH_ROWS ?? 300_000)
    await measure('Documents', rows, ['headgate', elastic])

  },
)

async function throughRegistry({ url, table }: Task, more: Partial<ElasticsearchTargetOptions>): Promise<number> {
  return withServer(async (node) => {
    const datasources = { postgres: postgresDatasource({ connectionString: url }) }
    await using registry = new JobRegistry({ storage: memoryStorage(), datasources })
    const target = elasticsearchTarget({ node, index: 'bench', id: 'id', ...more })
    registry.define({ id: 'bench', datasource: 'postgres', query: `select * from ${table}`, target })
    const { state, ...rest } = await (await registry.start('ingestion', 'bench')).finished
    if (state !== 'successful') throw new Error(JSON.stringify(rest))
  })
}

async function throughHelper({ url, table }: Task, name: string): Promise<number> {
  const Client = await loadClient(name)
  if (!Client) throw new Error(`There is no ${name}.`)
  return withServer(async (node) => {
    const client = new Client({ node })
    const reader = new pg.Client({ connectionString: url })
    await reader.connect()
    const datasource = reader.query(new QueryStream(`select * from ${table}`, [], { batchSize: 1000 }))
    const onDocument = ({ id }: { id: string }) => ({ index: { _index: 'bench', _id: id } })
    await client.helpers.bulk({ datasource, onDocument, flushBytes: 300_000 })
    await reader.end()
    await client.close()
  })
}

/** Runs `work` against a server, and gives how many documents that got. */
async function withServer(work: (node: string) => Promise<void>): Promise<number> {
  const server = fork(new URL('_bulk-server.mjs', import.meta.url), { execArgv: [] })
  const [port] = await once(server, 'message')
  await timed(() => work(`http://127.0.0.1:${port}`))
  server.send('count')
  const [count] = await once(server, 'message')
  server.disconnect()
  return count as number
}

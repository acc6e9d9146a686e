/**
 * Reading from Postgres, in batches of 1,000: `npx tsx test/bench/read.ts`. Raw rows and objects through a registry into a
 * target that drops them, against bare loops over pg-query-stream and its cursor.
 */
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import QueryStream from 'pg-query-stream'
import { bench, type Task } from './_bench.js'

const batchSize = 1000

const raw = { rowMode: 'array', types: { getTypeParser: () => (text: string) => text } } as const

await bench(
  import.meta.url,
  {
    'headgate, raw rows': (task) => throughRegistry(task, () => {}),
    'headgate, objects': (task) => throughRegistry(task, (batch) => void batch.records()),
    'headgate without a registry, raw rows': throughDatasource,
    'pg-query-stream, raw rows': (task) => throughStream(task, raw),
    'pg-query-stream, objects by the parsers of pg': (task) => throughStream(task, {}),
    'cursor of pg-query-stream, raw rows (the limit)': throughCursor,
  },
  async (measure) => {
    for (const rows of [1_000_000, 4_000_000]) {
      await measure('Raw rows', rows, [
        'cursor of pg-query-stream, raw rows (the limit)',
        'headgate without a registry, raw rows',
        'headgate, raw rows',
        'pg-query-stream, raw rows',
      ])
      await measure('Objects', rows, ['headgate, objects', 'pg-query-stream, objects by the parsers of pg'])
    }
  },
)

async function throughRegistry({ url, table }: Task, target: IngestionJob['target']): Promise<number> {
  const datasources = { postgres: postgresDatasource({ connectionString: url }) }
  await using registry = new JobRegistry({ storage: memoryStorage(), datasources })
  registry.define({ id: 'read', datasource: 'postgres', query: `select * from ${table}`, batchSize, target })
  const { finished } = await registry.start('ingestion', 'read')
  return (await finished).count
}

async function throughDatasource({ url, table }: Task): Promise<number> {
  const datasource = postgresDatasource({ connectionString: url })
  const { signal } = new AbortController()
  let count = 0
  for await (const batch of datasource.read(
    { text: `select * from ${table}`, values: [] },
    { signal, batchSize, lastId: undefined },
  )) {
    count += batch.length
  }
  await datasource.close?.()
  return count
}

async function throughStream({ url, table }: Task, options: Partial<typeof raw>): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  let count = 0
  const stream = client.query(new QueryStream(`select * from ${table}`, [], { ...options, batchSize }))
  for await (const _ of stream) count++
  await client.end()
  return count
}

async function throughCursor({ url, table }: Task): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { cursor } = client.query(new QueryStream(`select * from ${table}`, [], raw))
  let count = 0
  for (let length = batchSize; length === batchSize; count += length) length = (await cursor.read(batchSize)).length
  await client.end()
  return count
}

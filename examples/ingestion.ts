/**
 * What an ingestion may say: transforms, query functions, and targets that are functions.
 *
 *     npx tsx examples/ingestion.ts postgres://localhost/postgres
 *
 * It reads the table of examples/events.sql.
 */
import { type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'

const [connectionString = 'postgres://localhost/postgres'] = process.argv.slice(2)

const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ connectionString }) },
})

/** Starts a job and waits until it has ended. */
async function run(id: string) {
  const execution = await registry.start('ingestion', id)
  const { state, count, lastId } = await execution.finished
  console.log(state, count, lastId ?? '')
}

// #region target
const saved = new Map<string, JobRecord[]>()

registry.define({
  id: 'to-function',
  datasource: 'postgres',
  query: 'select * from events order by id limit 250',
  batchSize: 100,
  target: async (batch, { signal, idempotencyKey }) => {
    signal.throwIfAborted()
    saved.set(idempotencyKey, batch.records())
  },
})
await run('to-function')
// successful 250
console.log([...saved.values()].map(({ length }) => length).join(' + '))
// 100 + 100 + 50
// #endregion

// #region rows
registry.define({
  id: 'raw',
  datasource: 'postgres',
  query: 'select id, kind, happened_at from events order by id limit 2',
  target: ({ columns, rows }) => {
    console.log(columns.map(({ name, type }) => `${name} ${type}`).join(', '))
    for (const row of rows) console.log(row.join(', '))
  },
})
await run('raw')
// id bigint, kind text, happened_at timestamptz
// 1, search, 2024-01-01 00:00:01+00
// 2, purchase, 2024-01-01 00:00:02+00
// successful 2
// #endregion

// #region transform
const purchases: JobRecord[] = []

registry.define<{ id: string; kind: string; payload: string }, JobRecord>({
  id: 'purchases',
  datasource: 'postgres',
  query: 'select id, kind, payload from events order by id limit 9',
  transform: ({ id, kind, payload }) => {
    if (kind !== 'purchase') return null // leaves the record out
    return { id, user: JSON.parse(payload).user } // an array of records would be written one by one
  },
  target: (batch) => {
    purchases.push(...batch.records())
  },
})
await run('purchases')
// successful 9
console.log(JSON.stringify(purchases))
// [{"id":"2","user":2},{"id":"5","user":5},{"id":"8","user":8}]
// #endregion

// #region transform-batch
const counts: JobRecord[] = []

registry.define<{ id: string; kind: string }, JobRecord>({
  id: 'kinds',
  datasource: 'postgres',
  query: 'select id, kind from events order by id limit 10',
  batchSize: 5,
  transformBatch: (batch) => {
    const logins = batch.records().filter(({ kind }) => kind === 'login')
    return [{ records: batch.length, logins: logins.length }]
  },
  target: (batch) => {
    counts.push(...batch.records())
  },
})
await run('kinds')
// successful 10
console.log(JSON.stringify(counts))
// [{"records":5,"logins":1},{"records":5,"logins":2}]
// #endregion

// #region query-function
registry.define({
  id: 'by-function',
  datasource: 'postgres',
  query: ({ lastId = 0 }) => ({
    text: 'select id from events where id > $1 and kind = $2 order by id',
    values: [lastId, 'login'],
  }),
  pkField: 'id',
  maxRecords: 3,
  target: () => {},
})
await run('by-function')
// successful 3 9
await run('by-function')
// successful 3 18
// #endregion

await registry.close()

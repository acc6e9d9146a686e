import { JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { JobsClient } from 'headgate/client'
import { elasticsearchDatasource, elasticsearchTarget } from 'headgate/elasticsearch'
import { createJobsHandler } from 'headgate/http'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import { expect, onTestFinished, test } from 'vitest'

const connectionString = 'postgres://localhost/none'
const node = 'http://localhost:1'
const client = { transport: { request: async () => expect.unreachable() } }
const pool = { connect: async () => expect.unreachable() }

function registry(options: object = {}) {
  const made = new JobRegistry({ storage: memoryStorage(), ...options })
  onTestFinished(() => made.close())
  return made
}

const job = { id: 'a', datasource: iterableDatasource([]), target: () => {} }
const define = (options: object) => () => registry().define({ ...job, ...options } as never)
const sql = { ...postgresDatasource({ connectionString }) }

const bad: Record<string, () => unknown> = {
  'a registry without options': () => new (JobRegistry as unknown as new () => JobRegistry)(),
  'a registry without storage': () => registry({ storage: undefined }),
  'an unknown option of a registry': () => registry({ leases: 1 }),
  'a lease': () => registry({ lease: 'long' }),
  'a concurrency': () => registry({ concurrency: -1 }),
  'a limit of a cluster': () => registry({ concurrency: { cluster: 0 } }),
  'a limit of a datasource': () => registry({ concurrency: { datasources: { none: 1 } } }),
  'a datasource of a registry': () => registry({ datasources: { a: {} } }),
  'a dispatcher': () => registry({ dispatcher: {} }),
  'a rate limit of a registry': () => registry({ rateLimit: { rows: 0 } }),
  'a logger': () => registry({ logger: 1 }),
  'a clock': () => registry({ clock: 1 }),
  secrets: () => registry({ redact: 1 }),
  'no job': () => registry().define(undefined as never),
  'a job without id': define({ id: '' }),
  'an id that is taken': () => {
    const taken = registry()
    taken.define(job as never)
    taken.define(job as never)
  },
  'an unknown option of a job': define({ batchsize: 1 }),
  'an unknown datasource': define({ datasource: 'none' }),
  'no target': define({ target: undefined }),
  'a batch size': define({ batchSize: 0.5 }),
  'both transforms': define({ transform: () => null, transformBatch: () => [] }),
  'a query that is needed': define({ datasource: sql }),
  'a query that is not well-formed': define({ datasource: sql, query: 'select {{#last_id}}' }),
  'a query with an open quote': define({ datasource: sql, query: "select '{{#last_id}}{{last_id}}{{/last_id}}" }),
  'a query with an unknown variable': define({ datasource: sql, query: 'select {{none}}' }),
  'a query without pkField': define({ datasource: sql, query: 'select 1 {{#last_id}}{{last_id}}{{/last_id}}' }),
  'a cursor beside a template': define({
    datasource: sql,
    cursor: 'id',
    query: 'select 1 {{#last_id}}{{last_id}}{{/last_id}}',
  }),
  'a cursor': define({ datasource: sql, query: 'select 1', cursor: { columns: 'id', ties: 'none' } }),
  'parallel without cursor': define({ datasource: sql, query: 'select 1', parallel: 2 }),
  'partitions beside parallel': define({
    datasource: sql,
    query: 'select 1',
    cursor: 'id',
    parallel: 2,
    partitions: 2,
  }),
  'partitions of a target that takes none': define({
    datasource: sql,
    query: 'select 1',
    cursor: 'id',
    partitions: 2,
    target: ndjsonFile({ path: 'x' }),
  }),
  failures: define({ failures: { total: -1 } }),
  'dead letters': define({ failures: { deadLetters: {} } }),
  'a rate limit of a job': define({ rateLimit: {} }),
  'a schedule': define({ schedule: { cron: '* * *' } }),
  'an empty schedule': define({ schedule: {} }),
  'a retry': define({ resume: 'auto', retry: { limit: -1 } }),
  'a priority': define({ priority: 0.5 }),
  'a job without run': () => registry().define({ type: 'x', id: 'a' } as never),
  'a postgres storage without access': () => postgresStorage({}),
  'a schema': () => postgresStorage({ connectionString, schema: 'A' }),
  'a sqlite storage without access': () => sqliteStorage({} as never),
  'a sqlite storage in memory': () => sqliteStorage({ path: ':memory:' }),
  'a memory storage': () => memoryStorage({ maxCount: 0 }),
  'a postgres datasource without access': () => postgresDatasource({}),
  'a postgres datasource with two': () => postgresDatasource({ connectionString, pool: pool as never }),
  'an iterable': () => iterableDatasource(7 as never),
  'a table': () => postgresTarget({ connectionString, table: 'a.b.c' }),
  'a key without upsert': () => postgresTarget({ connectionString, table: 'a', key: 'id' }),
  'an upsert without key': () => postgresTarget({ connectionString, table: 'a', mode: 'upsert' }),
  'an upsert that replaces': () =>
    postgresTarget({ connectionString, table: 'a', mode: 'upsert', key: 'id', strategy: 'replace' }),
  'a swap without replace': () => postgresTarget({ connectionString, table: 'a', swap: 'rows' }),
  'a path': () => ndjsonFile({ path: '' }),
  'a shrink without replace': () => ndjsonFile({ path: 'a', strategy: 'append', maxShrink: 1 }),
  'an elasticsearch without access': () => elasticsearchTarget({ index: 'a' }),
  'an address of elasticsearch': () => elasticsearchTarget({ node: 'localhost:9200', index: 'a' }),
  'a client of elasticsearch': () => elasticsearchTarget({ client: {} as never, index: 'a' }),
  'an auth of elasticsearch': () => elasticsearchTarget({ node, index: 'a', auth: { username: 'a' } as never }),
  'an auth beside a client': () => elasticsearchTarget({ client, index: 'a', auth: { apiKey: 'a' } }),
  'a tls of elasticsearch': () => elasticsearchTarget({ node, index: 'a', tls: { secure: true } as never }),
  'an index of upper case': () => elasticsearchTarget({ node, index: 'A' }),
  'a pattern of indexes': () => elasticsearchTarget({ node, index: 'a*' }),
  'an id of elasticsearch': () => elasticsearchTarget({ node, index: 'a', id: ['a', 'a'] }),
  'an update without id': () => elasticsearchTarget({ node, index: 'a', operation: 'update' }),
  'a version without id': () => elasticsearchTarget({ node, index: 'a', version: 'v' }),
  'a version of an update': () =>
    elasticsearchTarget({ node, index: 'a', id: 'id', operation: 'update', version: 'v' }),
  'a deletion that creates': () =>
    elasticsearchTarget({ node, index: 'a', id: 'id', operation: 'create', deleted: 'd' }),
  'replaced indexes of append': () => elasticsearchTarget({ node, index: 'a', keep: 1 }),
  'an index that replace would not create': () =>
    elasticsearchTarget({ node, index: 'a', strategy: 'replace', createIndex: false }),
  'mappings that JSON cannot hold': () => elasticsearchTarget({ node, index: 'a', mappings: { a: 1n } }),
  'an index to read': () => elasticsearchDatasource({ node, index: 'a b' }),
  'a read without access': () => elasticsearchDatasource({ index: 'a' }),
  'a compression of a read': () => elasticsearchDatasource({ node, index: 'a', compression: true } as never),
  'a time that a read is kept': () => elasticsearchDatasource({ node, index: 'a', keepAlive: 10 }),
  'a bullmq dispatcher': () => bullmqDispatcher({} as never),
  'a handler without registry': () => createJobsHandler(undefined as never),
  'a base path': () => createJobsHandler(registry(), { basePath: 'jobs' }),
  'an authorize': () => createJobsHandler(registry(), { authorize: true as never }),
  'a client without address': () => new JobsClient({} as never),
  'an address of a client': () => new JobsClient({ url: '' }),
  'a start': () => registry().start('ingestion', 7 as never),
  'a priority of a start': () => registry().start('ingestion', 'a', { priority: 'high' as never }),
  'an abort': () => registry().abort('ingestion', 'a', { timeout: -1 }),
  'a search': () => registry().search({ state: 'done' as never }),
  'a size of a search': () => registry().search({ size: 1001 }),
  'a health': () => registry().health({ timeout: '1s' as never }),
  'a close': () => registry().close({ drain: -1 }),
}

test.each(Object.entries(bad))('%s that is wrong names the option, what was expected and what came', async (_, use) => {
  const error = await (async () => use())().then(
    () => expect.unreachable('Expected an error'),
    (thrown: unknown) => thrown,
  )
  expect(error).toMatchObject({
    code: 'invalid_options',
    message: expect.stringMatching(/^Expected `[^`]+` to be .+, got .+$/s),
  })
})

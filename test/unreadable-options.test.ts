import { type IngestionJob, JobError, JobRegistry, memoryStorage } from 'headgate'
import { elasticsearchTarget } from 'headgate/elasticsearch'
import { createJobsHandler } from 'headgate/http'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

/** Values that throw as soon as they are read. */
const unreadable: [what: string, value: unknown][] = [
  ['a revoked object', revoked({})],
  ['a revoked array', revoked([])],
  ['a revoked function', revoked(() => {})],
  [
    'an object whose properties throw',
    new Proxy(
      { id: 'a', type: 'b' },
      {
        get() {
          throw new RangeError('no')
        },
      },
    ),
  ],
  ['an object without a prototype', Object.create(null)],
]

function registry(): JobRegistry {
  return new JobRegistry({ storage: memoryStorage() })
}

function job(more: object): IngestionJob {
  return { id: 'a', datasource: testDatasource([]), target: collectingTarget(), ...more }
}

const jobFields = ['id', 'datasource', 'query', 'cursor', 'partitions', 'rateLimit', 'schema', 'target', 'failures']
const otherFields = ['params', 'selectedBy', 'retry', 'type']
const registryOptions = ['storage', 'datasources', 'rateLimit', 'dispatcher', 'logger', 'redact', 'clock']
const url = 'postgres://localhost/none'

/** The doors for options, by the name that the message gives to the option. */
const doors: [name: string, open: (value: never) => unknown][] = [
  ['job', (value) => registry().define(value)],
  ...[...jobFields, ...otherFields].map((field): [string, (value: never) => unknown] => [
    field,
    (value) => registry().define(job({ [field]: value })),
  ]),
  ['', (value) => registry().define(job({ schedule: value }))],
  ['columns', (value) => registry().define(job({ cursor: { columns: value } }))],
  ['', (value) => registry().define(job({ failures: { deadLetters: value } }))],
  ...registryOptions.map((option): [string, (value: never) => unknown] => [
    option === 'storage' || option === 'clock' ? option : '',
    (value) => new JobRegistry({ storage: memoryStorage(), [option]: value }),
  ]),
  ['datasources.a', (value) => new JobRegistry({ storage: memoryStorage(), datasources: { a: value } })],
  ['event', (value) => registry().on(value, () => {})],
  ['pool', (value) => postgresTarget({ pool: value, table: 'a' })],
  ['pool', (value) => postgresDatasource({ pool: value })],
  ['pool', (value) => postgresStorage({ pool: value })],
  ['table', (value) => postgresTarget({ connectionString: url, table: value })],
  ['database', (value) => sqliteStorage({ database: value })],
  ...['index', 'id', 'auth', 'headers', 'tls', 'mappings', 'settings'].map(
    (option): [string, (value: never) => unknown] => [
      option,
      (value) => elasticsearchTarget({ node: 'http://localhost:1', index: 'a', [option]: value }),
    ],
  ),
  ['client', (value) => elasticsearchTarget({ index: 'a', client: value })],
  ['path', (value) => ndjsonFile({ path: value })],
  ['', (value) => createJobsHandler(registry(), { allowedOrigins: value })],
]

describe.each(unreadable)('%s', (what, value) => {
  test.each(doors)('is refused by name: %s', (name, open) => {
    let thrown: unknown
    try {
      open(value as never)
    } catch (error) {
      thrown = error
    }
    // An object of no properties may be what an option expects, and so may a function.
    if (thrown === undefined) return expect(what).toMatch(/without|function/)
    expect(thrown).toBeInstanceOf(JobError)
    expect(thrown).toMatchObject({ code: 'invalid_options', message: expect.stringMatching(/^Expected `/) })
    if (!what.includes('without')) expect((thrown as Error).message).toContain(name)
  })

  test('is refused as the parameters of a start', async () => {
    const jobs = registry()
    jobs.define(job({}))
    const started = jobs.start('ingestion', 'a', { params: value as never })
    if (what.includes('without')) await started
    else await expect(started).rejects.toMatchObject({ code: 'invalid_options' })
    await jobs.close()
  })

  test.each(['target', 'datasource'] as const)('is no answer of needs() of the %s', async (adapter) => {
    const adapters = { target: collectingTarget(), datasource: testDatasource([]) }
    for (const answer of [value, [value], [{ count: 1, resource: value }]]) {
      const jobs = registry()
      jobs.define(job({ [adapter]: { ...adapters[adapter], needs: () => answer } }))
      const { finished } = await jobs.start('ingestion', 'a')
      expect(await finished).toMatchObject({
        state: 'error',
        error: [expect.stringContaining(`Expected needs() of the ${adapter} to return an array`)],
      })
      await jobs.close()
    }
  })
})

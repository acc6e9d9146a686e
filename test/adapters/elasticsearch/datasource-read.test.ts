import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import {
  type ElasticsearchDatasourceOptions,
  elasticsearchDatasource,
  elasticsearchTarget,
} from 'headgate/elasticsearch'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describeOpensearch } from '../../support/opensearch.js'
import { bulk } from './datasource-support.js'
import { startSearchServer } from './search-server.js'

describeOpensearch('documents of an index', (server) => {
  let tests = 0
  let index = ''
  let registry: JobRegistry
  let read: JobRecord[] = []

  beforeEach(() => {
    index = `${server.prefix}r${++tests}`
    registry = new JobRegistry({ storage: memoryStorage() })
    read = []
  })
  afterEach(() => registry.close())

  const create = (properties: object, shards = 3) =>
    server.send('PUT', `/${index}`, {
      settings: { number_of_shards: shards, number_of_replicas: 0 },
      mappings: { properties },
    })
  const run = async (more: Partial<IngestionJob> = {}, options: Partial<ElasticsearchDatasourceOptions> = {}) => {
    if (registry.has('ingestion', 'job')) await registry.remove('ingestion', 'job')
    registry.define({
      id: 'job',
      datasource: elasticsearchDatasource({ node: server.url, index, ...options }),
      target: (batch) => void read.push(...batch.records()),
      ...more,
    })
    const { finished } = await registry.start('ingestion', 'job')
    return finished
  }
  /** The `n` of what was read since the last call, in order. */
  const taken = () => read.splice(0).map(({ n }) => Number(n))
  const from = (first: number, count: number) => Array.from({ length: count }, (_, at) => first + at)
  const numbered = (first: number, count: number, more: (n: number) => object = () => ({})) =>
    from(first, count).map((n) => {
      const digits = (_: string, value: unknown) => (typeof value === 'bigint' ? `digits ${value}` : value)
      return JSON.stringify({ n, ...more(n) }, digits).replace(/"digits (\d+)"/, '$1')
    })

  test.each([1, 7, 100, 5000])('all documents of several shards come once, in batches of %i', async (batchSize) => {
    await create({ n: { type: 'long' } })
    await bulk(server, index, numbered(1, 300))
    expect(await run({ batchSize })).toMatchObject({ state: 'successful', count: 300 })
    expect(taken().sort((one, other) => one - other)).toEqual(from(1, 300))
  })

  test.each([1, 7, 100])('a cursor of equal values reads all of them, in batches of %i', async (batchSize) => {
    await create({ n: { type: 'long' }, time: { type: 'long' } })
    await bulk(
      server,
      index,
      numbered(1, 120, (n) => ({ time: n <= 80 ? 1 : 2 })),
    )
    const job: Partial<IngestionJob> = { cursor: { columns: 'time', ties: 'drain' }, batchSize }
    expect(await run(job)).toMatchObject({ state: 'successful', count: 120 })
    expect(taken().sort((one, other) => one - other)).toEqual(from(1, 120))
    await bulk(
      server,
      index,
      numbered(121, 30, () => ({ time: 3 })),
    )
    expect(await run(job)).toMatchObject({ state: 'successful', count: 30 })
    expect(taken().sort((one, other) => one - other)).toEqual(from(121, 30))
    expect(await run({ ...job, cursor: 'time' })).toMatchObject({
      state: 'error',
      error: expect.arrayContaining([expect.stringMatching(/Several records have the same `time`/)]),
    })
  })

  test.each([
    ['date', (n: number) => new Date(1_700_000_000_000 + n).toISOString()],
    ['date_nanos', (n: number) => `2024-01-31T12:30:00.0000${String(n).padStart(5, '0')}Z`],
    ['keyword', (n: number) => `${String(n).padStart(5, '0')} 💧\u0000"`],
    ['text', (n: number) => `${String(n).padStart(5, '0')}`],
    ['long', (n: number) => n],
    ['double', (n: number) => n / 10],
    ['float', (n: number) => n / 10],
    ['long of 19 digits', (n: number) => 2n ** 62n + BigInt(n)],
  ])('a run resumes after each value of a field of the type %s, also within a batch', async (type, keyOf) => {
    const more = type === 'text' ? { fields: { raw: { type: 'keyword' } } } : {}
    await create({
      n: { type: 'long' },
      key: { type: type.split(' ')[0], ...more },
    })
    await bulk(
      server,
      index,
      numbered(1, 60, (n) => ({ key: keyOf(n) })),
    )
    for (let first = 1; first <= 60; first += 11) {
      const count = Math.min(11, 61 - first)
      expect(await run({ cursor: 'key', batchSize: 4, maxRecords: 11 })).toMatchObject({ state: 'successful', count })
      expect(taken()).toEqual(from(first, count))
    }
    expect(await run({ cursor: 'key' })).toMatchObject({ state: 'successful', count: 0 })
  })

  test.each([100n, 1000n, 40_000n])('dates %i ns apart come once from several shards', async (step) => {
    await create({ n: { type: 'long' }, key: { type: 'date_nanos' } })
    const nanosOf = (n: number) => String(BigInt(n) * step).padStart(9, '0')
    await bulk(
      server,
      index,
      numbered(1, 600, (n) => ({ key: `2024-01-31T12:30:00.${nanosOf(n)}Z` })),
    )
    await run({ cursor: 'key', batchSize: 7, maxRecords: 250 })
    await run({ cursor: 'key', batchSize: 7 })
    expect(taken()).toEqual(from(1, 600))
    for (const batchSize of [7, 100]) {
      expect(await run({ cursor: 'key', batchSize, resume: 'restart' })).toMatchObject({ count: 600 })
      expect(taken()).toEqual(from(1, 600))
    }
  })

  test.each([undefined, 'n'])('batches are full: cursor %s', async (cursor) => {
    await create({ n: { type: 'long' } }, 1)
    await bulk(server, index, numbered(1, 95))
    const sizes: number[] = []
    const target: IngestionJob['target'] = (batch) => void sizes.push(batch.length)
    expect(await run({ target, batchSize: 10, ...(cursor && { cursor }) })).toMatchObject({ count: 95 })
    expect(sizes).toEqual([10, 10, 10, 10, 10, 10, 10, 10, 10, 5])
  })

  test('the checkpoint moves with each batch of equal values that is whole', async () => {
    await create({ n: { type: 'long' }, key: { type: 'long' } })
    await bulk(
      server,
      index,
      numbered(1, 200, (n) => ({ key: Math.ceil(n / 5) })),
    )
    let batches = 0
    const target = (batch: { records(): JobRecord[] }) => {
      if (++batches % 3 === 0) throw new Error('refused')
      read.push(...batch.records())
    }
    const counts: number[] = []
    for (let state = ''; state !== 'successful' && counts.length < 40; ) {
      const ended = await run({ cursor: { columns: 'key', ties: 'drain' }, batchSize: 12, target })
      state = ended.state
      counts.push(ended.count)
    }
    expect(counts.length).toBeLessThan(15)
    expect(counts.reduce((sum, count) => sum + count)).toBe(200)
    expect(taken().sort((one, other) => one - other)).toEqual(from(1, 200))
  })

  test('a lookback of dates reads documents again that came late', async () => {
    await create({ n: { type: 'long' }, at: { type: 'date' } })
    const time = (n: number) => ({ at: new Date(1_700_000_000_000 + 1000 * n).toISOString() })
    await bulk(server, index, numbered(1, 10, time))
    const cursor = { columns: ['at', 'n'], lookback: 3000 }
    expect(await run({ cursor })).toMatchObject({ count: 10 })
    taken()
    await bulk(server, index, [JSON.stringify({ n: 11, ...time(8.5) }), JSON.stringify({ n: 12, ...time(12) })])
    expect(await run({ cursor })).toMatchObject({ state: 'successful' })
    expect(taken()).toEqual([7, 8, 11, 9, 10, 12])
  })

  test('values that a record lacks fail the run, or are skipped', async () => {
    await create({ n: { type: 'long' }, key: { type: 'long' } })
    await bulk(
      server,
      index,
      numbered(1, 9, (n) => (n % 3 === 0 ? {} : { key: n })),
    )
    expect(await run({ cursor: 'key' })).toMatchObject({
      state: 'error',
      error: expect.arrayContaining([expect.stringMatching(/3 documents have no value in a cursor column \(`key`\)/)]),
    })
    expect(await run({ cursor: { columns: 'key', nulls: 'skip' } })).toMatchObject({
      state: 'successful',
      count: 6,
      detail: { withoutCursor: 3 },
    })
  })

  test('a field with several values is no cursor', async () => {
    await create({ n: { type: 'long' }, key: { type: 'long' } })
    await bulk(
      server,
      index,
      numbered(1, 6, (n) => ({ key: [n, n + 100] })),
    )
    expect(await run({ cursor: 'key' })).toMatchObject({
      state: 'error',
      error: expect.arrayContaining([expect.stringMatching(/the values of `pkField` \(`key`\)/)]),
    })
  })

  test('an index is copied to the letter: ids, routings and all digits', async () => {
    await create({ n: { type: 'long' } })
    const sources = [
      '{"n":9007199254740993,"deep":{"a":[1,2],"b":{"c":-9223372036854775808}},"text":"9007199254740993"}',
      '{"n":2,"constructor":1,"__proto__":{"a":2},"empty":[],"none":null}',
      '{"n":3,"text":"line\\nend 💧 \\"quoted\\""}',
    ]
    for (const [at, source] of sources.entries()) {
      const routing = at === 1 ? '&routing=elsewhere' : ''
      const put = await fetch(
        `${server.url}/${index}/_doc/${encodeURIComponent(`id ${at}/ü`)}?refresh=true${routing}`,
        {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: source,
        },
      )
      expect(await put.text()).toMatch(/created/)
    }
    const copy = `${index}-copy`
    const target = elasticsearchTarget({ node: server.url, index: copy, id: '_id', routing: '_routing' })
    expect(await run({ target })).toMatchObject({ state: 'successful', count: 3 })
    for (const [at, source] of sources.entries()) {
      const routing = at === 1 ? '?routing=elsewhere' : ''
      const found = await fetch(`${server.url}/${copy}/_source/${encodeURIComponent(`id ${at}/ü`)}${routing}`)
      expect(await found.text()).toBe(source)
    }
  })

  test('a query has the body of a search, with values of the job', async () => {
    await create({ n: { type: 'long' }, name: { type: 'keyword' } })
    await bulk(
      server,
      index,
      numbered(1, 9, (n) => ({ name: n % 2 ? '"odd"' : 'even', other: n })),
    )
    const query = '{"query":{"term":{"name":{{params.name}}}},"_source":["n"]}'
    registry.define({
      id: 'job',
      datasource: elasticsearchDatasource({ node: server.url, index }),
      query,
      target: (batch) => void read.push(...batch.records()),
    })
    const { finished } = await registry.start('ingestion', 'job', { params: { name: '"odd"' } })
    expect(await finished).toMatchObject({ state: 'successful', count: 5 })
    expect(Object.keys(read[0] ?? {}).sort()).toEqual(['_id', 'n'])
    for (const [text, expected] of [
      ['{"query":', /Expected `query` to be JSON/],
      ['[]', /Expected `query` to be a JSON object/],
      ['{"size":5}', /got `size`: use `batchSize` or `maxRecords` of the job/],
      ['{"constructor":5}', /got `constructor`$/],
      ['{"query":null}', /`query.query` to be an object/],
      ['{"query":{"no_such":{}}}', /no_such/],
    ] as const) {
      expect(await run({ query: text })).toMatchObject({
        state: 'error',
        error: expect.arrayContaining([expect.stringMatching(expected)]),
      })
    }
  })

  test('names what the index lacks', async () => {
    for (const [options, cursor, expected] of [
      [{ index: `${index}-none` }, undefined, /no such index/],
      [{ index: `${index}-none-*` }, 'n', /no such index|index_not_found/],
      [{}, 'other', /has no field `other`/],
      [{}, 'flag', /`flag` to be a field of numbers, dates or keywords, it has the type `boolean`/],
      [{}, 'words', /`words` to be a field of numbers, dates or keywords, it has the type `text`/],
    ] as const) {
      await create({ n: { type: 'long' }, flag: { type: 'boolean' }, words: { type: 'text' } }).catch(() => undefined)
      await bulk(server, index, numbered(1, 1))
      expect(await run(cursor ? { cursor } : {}, options)).toMatchObject({
        state: 'error',
        error: expect.arrayContaining([expect.stringMatching(expected)]),
      })
    }
  })

  test('an index that gives few documents at once is read all the same', async () => {
    await create({ n: { type: 'long' } })
    await server.send('PUT', `/${index}/_settings`, { 'index.max_result_window': 20 })
    await bulk(server, index, numbered(1, 90))
    expect(await run({ cursor: 'n', batchSize: 50 })).toMatchObject({ state: 'successful', count: 90 })
    expect(taken()).toEqual(from(1, 90))
    expect(await run()).toMatchObject({ state: 'successful', count: 90 })
    expect(taken().sort((one, other) => one - other)).toEqual(from(1, 90))
  })

  test('indexes of a pattern that lack the field of the cursor have null there', async () => {
    await create({ n: { type: 'long' }, at: { type: 'date' } })
    await bulk(
      server,
      index,
      numbered(1, 5, (n) => ({ at: 1_700_000_000_000 + n })),
    )
    await bulk(server, `${index}-other`, numbered(6, 5))
    const more = { index: `${index}*` }
    expect(await run({ cursor: { columns: ['at', 'n'], nulls: 'skip' } }, more)).toMatchObject({
      state: 'successful',
      count: 5,
      detail: { withoutCursor: 5 },
    })
    expect(taken()).toEqual(from(1, 5))
  })

  test('an index without documents has no fields, and nothing to read', async () => {
    await create({})
    expect(await run({ cursor: 'n' })).toMatchObject({ state: 'successful', count: 0 })
    await bulk(server, index, numbered(1, 3))
    expect(await run({ cursor: 'n' })).toMatchObject({ state: 'successful', count: 3 })
  })

  test('a reset takes a date as people write it, and shows it so', async () => {
    await create({ n: { type: 'long' }, at: { type: 'date' } })
    await bulk(
      server,
      index,
      numbered(1, 9, (n) => ({ at: `2024-01-0${n}` })),
    )
    await run({ cursor: ['at', 'n'] })
    taken()
    await registry.reset('ingestion', 'job', { checkpoint: { cursor: { at: '2024-01-06', n: 6 } } })
    expect(await run({ cursor: ['at', 'n'] })).toMatchObject({ count: 3 })
    expect(taken()).toEqual([7, 8, 9])
    const given = { checkpoint: { cursor: { at: 'yesterday', n: 6 } } }
    await expect(registry.reset('ingestion', 'job', given)).rejects.toThrow(/`checkpoint.cursor.at` to be a date/)
  })

  test('a total counts what is left', async () => {
    await create({ n: { type: 'long' } })
    await bulk(server, index, numbered(1, 50))
    expect(await run({ cursor: 'n', total: 'count', maxRecords: 20 })).toMatchObject({ count: 20 })
    expect(await run({ cursor: 'n', total: 'count' })).toMatchObject({ count: 30, detail: { total: 30, percent: 100 } })
  })
})

describe('a server that tells equal documents apart, as Elasticsearch does', () => {
  const documents = Array.from({ length: 100 }, (_, n) => ({ n, time: Math.floor(n / 30) }))
  const idsOf = (records: readonly JobRecord[]) => records.map(({ n }) => Number(n)).sort((one, other) => one - other)

  async function start(more: Partial<IngestionJob> = {}) {
    const server = await startSearchServer(documents)
    const registry = new JobRegistry({ storage: memoryStorage() })
    const read: JobRecord[] = []
    registry.define({
      id: 'job',
      datasource: elasticsearchDatasource({ node: server.url, index: 'any', retryTimeout: 0 }),
      target: (batch) => void read.push(...batch.records()),
      batchSize: 7,
      ...more,
    })
    const run = async () => (await registry.start('ingestion', 'job')).finished
    const close = () => Promise.all([registry.close(), server.close()])
    return { server, read, run, close }
  }

  test.each([undefined, { columns: 'time', ties: 'drain' } as const])(
    'is read page by page: cursor %j',
    async (cursor) => {
      const read: JobRecord[] = []
      const sizes: number[] = []
      const target: IngestionJob['target'] = (batch) => {
        sizes.push(batch.length)
        read.push(...batch.records())
      }
      const { server, run, close } = await start({ target, ...(cursor && { cursor }) })
      expect(await run()).toMatchObject({ state: 'successful', count: 100 })
      // Groups of 30 are cut at their ends.
      expect(sizes).toHaveLength(cursor ? 17 : 15)
      expect(idsOf(read)).toEqual(documents.map(({ n }) => n))
      expect([...server.open]).toEqual([])
      await close()
    },
  )

  test.each([
    ['shards are missing', '{"timed_out":false,"_shards":{"failed":1},"hits":{"hits":[]}}', 200, /failed on 1 shards/],
    ['it took too long', '{"timed_out":true,"_shards":{"failed":0},"hits":{"hits":[]}}', 200, /timed out/],
    ['a proxy answers', '<html>Sign in</html>', 200, /Expected an answer in JSON/],
    ['there are no hits', '{"hits":{}}', 200, /Expected the server to answer with `hits`/],
    ['there is no source', '{"hits":{"hits":[{"_id":"7","sort":[1]}]}}', 200, /`7` has no `_source`/],
    ['the point in time is gone', '{"error":{"type":"search_context_missing_exception"}}', 404, /`keepAlive`/],
  ])('fails the run when %s', async (_, body, status, expected) => {
    const { server, read, run, close } = await start()
    let searches = 0
    server.disturb = ({ path }) => (path === '/_search' && ++searches === 3 ? { body, status } : undefined)
    const ended = await run()
    expect(ended).toMatchObject({ state: 'error', error: expect.arrayContaining([expect.stringMatching(expected)]) })
    expect(read.length).toBeLessThan(100)
    expect([...server.open]).toEqual([])
    await close()
  })

  test('secrets of its address appear in no message', async () => {
    const { server, close } = await start()
    server.disturb = () => ({ status: 401, body: '{"error":"no hunter22"}' })
    const registry = new JobRegistry({ storage: memoryStorage() })
    const node = server.url.replace('//', '//elastic:hunter22@')
    registry.define({ id: 'a', datasource: elasticsearchDatasource({ node, index: 'any' }), target: () => undefined })
    const ended = await (await registry.start('ingestion', 'a')).finished
    expect(ended).toMatchObject({ state: 'error', error: expect.arrayContaining([expect.stringMatching(/401/)]) })
    expect(JSON.stringify(ended)).not.toContain('hunter22')
    await registry.close()
    await close()
  })
})

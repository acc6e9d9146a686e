import { setTimeout } from 'node:timers/promises'
import { RecordBatch } from 'headgate/adapter'
import { elasticsearchTarget } from 'headgate/elasticsearch'
import { beforeEach, expect, test } from 'vitest'
import { describeOpensearch } from '../../support/opensearch.js'
import { abortWriters, complete, context, failureOf, indexTests, opened, write } from './target-support.js'

describeOpensearch('documents', (server) => {
  const { nextIndex, target, hits, sources } = indexTests(server)
  abortWriters()
  beforeEach(() => void nextIndex())

  test('raw rows keep JSON, 64-bit integers and numerics to the letter, and their columns give the mapping', async () => {
    const index = nextIndex()
    const columns = [
      { name: 'id', type: 'bigint' },
      { name: 'price', type: 'decimal', precision: 30, scale: 12 },
      { name: 'json', type: 'json' },
      { name: 'raw', type: 'bytes', decode: () => Buffer.from('hi?>') },
      { name: 'at', type: 'timestamptz' },
      { name: 'active', type: 'boolean', decode: (raw: string) => raw === 't' },
      { name: 'tags', type: 'array', element: 'text', decode: JSON.parse },
      { name: 'key', type: 'text', sqlType: 'uuid' },
    ] as const
    const price = '123456789012345678.123456789012'
    const row = [
      '9007199254740993',
      price,
      '{"b":1.10,\n"a":9007199254740993}',
      '\\x',
      '2026-01-02T03:04:05.678901Z',
      't',
      '["x"]',
      'k',
    ]
    const { writer } = await opened(target())
    await writer.write(RecordBatch.fromRows(columns, [row]), { ...context(), idempotencyKey: 'a' })
    await writer.commit?.()
    expect(await sources(['9007199254740993'])).toEqual([
      `{"id":9007199254740993,"price":${price},"json":{"b":1.10, "a":9007199254740993},"raw":"aGk/Pg==","at":"2026-01-02T03:04:05.678901Z","active":true,"tags":["x"],"key":"k"}`,
    ])
    const mapping = await server.send<Record<string, { mappings: { properties: Record<string, { type?: string }> } }>>(
      'GET',
      `/${index}/_mapping`,
    )
    const types = Object.entries(mapping[index]?.mappings.properties ?? {}).map(([name, { type = 'object' }]) => [
      name,
      type,
    ])
    expect(Object.fromEntries(types)).toEqual({
      ...{
        id: 'long',
        price: 'double',
        json: 'object',
        raw: 'binary',
        at: 'date',
        active: 'boolean',
        tags: 'text',
        key: 'keyword',
      },
    })
  })

  test('an `_id` of several columns is unambiguous, and the same from rows and from objects', async () => {
    const to = target({ id: ['a', 'b'] })
    await complete(to, [
      { a: 'x,y', b: 'z' },
      { a: 'x', b: 'y,z' },
      { a: '1', b: 'true' },
    ])
    const { writer } = await opened(to)
    const columns = [
      { name: 'a', type: 'integer' },
      { name: 'b', type: 'boolean', decode: (raw: string) => raw === 't' },
    ] as const
    await writer.write(RecordBatch.fromRows(columns, [['1', 't']]), { ...context(), idempotencyKey: 'a' })
    await writer.commit?.()
    expect((await hits()).map(({ _id }) => _id)).toEqual(['["1","true"]', '["x","y,z"]', '["x,y","z"]'])
  })

  test('records that the target or the server refuses are named together, and the others are there', async () => {
    const { writer } = await opened(target({ mappings: { properties: { n: { type: 'long' } } } }), {
      toleratesFailures: true,
    })
    const records = [
      { id: 'first', n: 'x' },
      { id: 'ok', n: 1 },
      { id: null, n: 1 },
      { id: 'é'.repeat(257), n: 1 },
      { id: 'é'.repeat(256), n: 1 },
      { id: 'map', n: new Map([[1, 2]]) },
      { id: 'last', n: 2 ** 70 },
    ]
    const failure = await failureOf(write(writer, records))
    expect(failure.recordIndexes).toEqual([0, 2, 3, 5, 6])
    expect(failure.message).toMatch(/^5 documents were refused\. The first one: .*failed to parse field \[n\]/)
    expect(writer.isBroken).toBe(false)
    await write(writer, [{ id: 'more', n: 3 }])
    await writer.commit?.()
    expect((await hits()).map(({ _id }) => _id)).toEqual(['more', 'ok', 'é'.repeat(256)])
  })

  test('an operation `update` merges, `create` leaves what is there, and `deleted` deletes', async () => {
    const to = target({ operation: 'update', deleted: 'gone' })
    await complete(to, [
      { id: 1, a: 1, b: 1, gone: null },
      { id: 2, a: 1, gone: false },
      { id: 3, gone: true },
    ])
    await complete(to, [
      { id: 1, a: 2, gone: false },
      { id: 2, gone: true },
    ])
    const log: string[] = []
    await complete(target({ operation: 'create' }), [{ id: 1, a: 9 }, { id: 4 }], {
      log: (line) => void log.push(line),
    })
    expect((await hits()).map(({ _id, _source }) => [_id, _source])).toEqual([
      ['1', { id: 1, a: 2, b: 1, gone: false }],
      ['4', { id: 4 }],
    ])
    expect(log).toEqual(['1 documents were there already, or in a newer version, and stay as they are.'])
  })

  test('a `version` keeps an older record from replacing a newer document', async () => {
    const to = target({ version: 'v', routing: 'r' })
    await complete(to, [{ id: 1, v: 7n, r: 'x' }])
    await complete(to, [
      { id: 1, v: 6, r: 'x' },
      { id: 2, v: '9223372036854775807', r: null },
    ])
    expect((await hits()).map(({ _source, _routing }) => [_source.v, _routing])).toEqual([
      [7, 'x'],
      ['9223372036854775807', undefined],
    ])
    const { writer } = await opened(to, { toleratesFailures: true })
    expect(
      (
        await failureOf(
          write(writer, [
            { id: 1, v: -1 },
            { id: 2, v: null },
          ]),
        )
      ).recordIndexes,
    ).toEqual([0, 1])
  })

  test('documents of one `_id` in one run keep their order, in many small requests', async () => {
    const records = Array.from({ length: 300 }, (_, n) => ({ id: n % 7, n }))
    await complete(target({ requestBytes: 200, concurrency: 8 }), records)
    expect((await hits()).map(({ _source }) => _source.n)).toEqual([294, 295, 296, 297, 298, 299, 293])
  })

  test('without `id`, the server makes one, and failures are not tolerated', async () => {
    const to = elasticsearchTarget({ node: server.url, index: nextIndex() })
    expect(to.capabilities).toEqual({ writesIdempotently: false, writesPartitions: true })
    await complete(to, [{ a: 1 }, { a: 1 }])
    expect(await hits()).toHaveLength(2)
  })

  test('a missing index is an error where none is created, and a deleted one during a run', async () => {
    const index = nextIndex()
    const failure = await failureOf(opened(target({ createIndex: false })))
    expect(failure).toMatchObject({
      code: 'target',
      message: `Expected an index \`${index}\` to write to, found none.`,
    })
    const { writer } = await opened(target(), { ifReset: 'fail' })
    await write(writer, [{ id: 1 }])
    await writer.flush?.(null)
    await server.send('DELETE', `/${index}`)
    expect(await failureOf(writer.flush?.(null))).toMatchObject({ code: 'target', isTransient: true })
  })

  test('a block by a full disk is waited for', async () => {
    const index = nextIndex()
    await server.send('PUT', `/${index}`, { settings: { blocks: { read_only_allow_delete: true } } })
    const { writer } = await opened(target())
    await write(writer, [{ id: 1 }])
    const flushed = writer.flush?.(null)
    expect(await Promise.race([flushed, setTimeout(200, 'waits')])).toBe('waits')
    await server.send('PUT', `/${index}/_settings`, { index: { blocks: { read_only_allow_delete: null } } })
    await flushed
    expect((await hits()).map(({ _id }) => _id)).toEqual(['1'])
  })

  test('gzip writes the same documents', async () => {
    await complete(target({ compression: true }), [{ id: 1, text: 'é'.repeat(1000) }])
    expect((await hits())[0]?._source).toEqual({ id: 1, text: 'é'.repeat(1000) })
  })
})

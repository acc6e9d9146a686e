import { once } from 'node:events'
import { createServer } from 'node:net'
import fc from 'fast-check'
import { type ElasticsearchTargetOptions, elasticsearchTarget } from 'headgate/elasticsearch'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describeOpensearch } from '../../support/opensearch.js'
import { type Disturbance, type Item, type ProtocolServer, startProtocolServer } from './protocol-server.js'
import { abortWriters, complete, failureOf, opened, write } from './target-support.js'

let server: ProtocolServer
beforeEach(async () => {
  server = await startProtocolServer()
  // Without jitter, no delay.
  vi.spyOn(Math, 'random').mockReturnValue(0)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await server.close()
})
abortWriters()

const target = (more: Partial<ElasticsearchTargetOptions> = {}) =>
  elasticsearchTarget({ node: server.url, index: 'test', id: 'id', ...more })

/** Disturbs the first requests, in order. */
function disturb(...disturbances: (Disturbance | undefined)[]): void {
  server.disturb = () => disturbances.shift()
}

const busy = { status: 429, error: { type: 'rejected_execution_exception', reason: 'full' } }
const records = (count: number) => Array.from({ length: count }, (_, n) => ({ id: `d${n}`, n }))
const ids = (count: number) => records(count).map(({ id }) => id)
const sent = () => server.bulks.map(({ actions }) => actions.map((action) => Object.values(action)[0]?._id))

describe('a document that the server is too busy for', () => {
  test.each([0, 1, 2])('is sent again alone, at place %i', async (place) => {
    disturb(new Map([[place, busy]]))
    await complete(target(), records(3))
    expect(sent()).toEqual([['d0', 'd1', 'd2'], [`d${place}`]])
    expect([...server.documents.keys()].sort()).toEqual(ids(3))
  })

  test('is sent again before later ones with its `_id`, so that the last one counts', async () => {
    disturb(new Map([[1, busy]]))
    await complete(target(), [
      { id: 'a', n: 1 },
      { id: 'b', n: 1 },
      { id: 'b', n: 2 },
      { id: 'c', n: 1 },
    ])
    expect(sent()).toEqual([
      ['a', 'b', 'b', 'c'],
      ['b', 'b'],
    ])
    expect(server.documents.get('b')?.source.n).toBe(2)
  })

  test('fails the run with a transient error when the server stays busy', async () => {
    server.disturb = () => ({
      status: 429,
      body: '{"error":{"type":"rejected","reason":"full"}}',
      headers: { 'retry-after': '1' },
    })
    const failure = await failureOf(complete(target({ retryTimeout: 500 }), records(3)))
    expect(failure).toMatchObject({ code: 'target', isTransient: true })
    expect(failure.message).toContain('status 429: rejected: full')
    expect(server.bulks).toHaveLength(1)
  })

  test('waits as long as `Retry-After` says', async () => {
    disturb({ status: 503, headers: { 'retry-after': '1' } })
    const start = performance.now()
    await complete(target(), records(1))
    expect(performance.now() - start).toBeGreaterThan(990)
  })

  test('waits while the disk is full', async () => {
    const block = { status: 403, error: { type: 'cluster_block_exception', reason: 'read-only-allow-delete' } }
    disturb(
      new Map([
        [0, block],
        [1, block],
      ]),
      { status: 403, body: JSON.stringify({ error: block.error }) },
    )
    await complete(target(), records(2))
    expect(server.documents.size).toBe(2)
  })
})

describe('a refused request', () => {
  test('413 is halved down to the document that is too large', async () => {
    server.disturb = ({ size }) => (size > 300 ? { status: 413, body: '<html>too large</html>' } : undefined)
    const { writer } = await opened(target(), { toleratesFailures: true })
    const failure = await failureOf(write(writer, [...records(9), { id: 'large', n: 1, text: 'x'.repeat(300) }]))
    expect(failure.recordIndexes).toEqual([9])
    expect(failure.message).toMatch(/^The document is larger than the server takes\..*<html>too large/)
    expect([...server.documents.keys()].sort()).toEqual(ids(9))
    // Later requests are small at once.
    const before = server.bulks.length
    await write(writer, records(9))
    expect(server.bulks.slice(before).every(({ size }) => size <= 300)).toBe(true)
  })

  test.each([401, 403])('%i fails at once, and sets nothing aside', async (status) => {
    server.disturb = () => ({ status, body: '{"error":"no"}' })
    const { writer } = await opened(target(), { toleratesFailures: true })
    const failure = await failureOf(write(writer, records(3)))
    expect(failure).toMatchObject({ code: 'target', isTransient: false, recordIndexes: undefined })
    expect([writer.isBroken, server.bulks.length]).toEqual([true, 1])
  })

  test('an item that says the index is gone fails the run, and sets nothing aside', async () => {
    disturb(new Map([[0, { status: 404, error: { type: 'index_not_found_exception', reason: 'no such index' } }]]))
    const { writer } = await opened(target(), { toleratesFailures: true })
    expect(await failureOf(write(writer, records(3)))).toMatchObject({ isTransient: false, recordIndexes: undefined })
  })

  test.each([
    ['the page of a proxy', '<html><body>Welcome</body></html>', /got `<html><body>Welcome/],
    ['nothing', '', /got nothing with the status 200/],
    ['an answer without items', '{"errors":true}', /to have `items`/],
    [
      'an answer with too few items',
      '{"errors":false,"items":[{"index":{"status":201}}]}',
      /about 3 documents, got one about 1/,
    ],
    [
      'an answer with too many items',
      `{"errors":true,"items":[${'{"index":{"status":201}},'.repeat(3)}{}]}`,
      /about 3 documents, got one about 4/,
    ],
    ['items without status', '{"errors":true,"items":[{},{},{}]}', /have a `status`/],
  ])('%s as an answer fails the run', async (_, body, message) => {
    disturb({ status: 200, body })
    const failure = await failureOf(complete(target(), records(3)))
    expect(failure).toMatchObject({ code: 'target', message: expect.stringMatching(message) })
  })
})

describe('a request without an answer', () => {
  test.each(['reset before', 'reset after', 'cut'] as const)(
    '%s: is sent again with `id`, and not without',
    async (how) => {
      disturb(how)
      await complete(target(), records(4))
      expect([...server.documents.keys()].sort()).toEqual(ids(4))
      disturb(how)
      const { id: _, ...options } = { node: server.url, index: 'test', id: '' }
      expect(await failureOf(complete(elasticsearchTarget(options), records(1)))).toMatchObject({ isTransient: true })
    },
  )

  test('a server that never answers is given up after the timeout', async () => {
    const frozen = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void frozen.close())
    await once(frozen, 'listening')
    const node = `http://127.0.0.1:${(frozen.address() as { port: number }).port}`
    const failure = await failureOf(opened(target({ node, timeout: 50, retryTimeout: 0 })))
    expect(failure).toMatchObject({ isTransient: true, message: 'The server has not answered within 50 ms.' })
  })
})

test('all documents arrive, whatever happens at random places, and the last one of an `_id` counts', async () => {
  const anItem = fc.constantFrom<Item>(busy, { status: 503, error: { type: 'unavailable_shards_exception' } })
  const aDisturbance = fc.oneof(
    fc.constantFrom<Disturbance>(
      'reset before',
      'reset after',
      'cut',
      { status: 429 },
      { status: 502, body: '<html>' },
      { status: 413 },
    ),
    fc
      .dictionary(fc.nat(9).map(String), anItem)
      .map((items) => new Map(Object.entries(items).map(([n, item]) => [Number(n), item]))),
    fc.constant(undefined),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ id: fc.nat(12), n: fc.nat() }), { minLength: 1, maxLength: 60 }),
      fc.array(aDisturbance, { maxLength: 12 }),
      fc.record({ requestBytes: fc.integer({ min: 1, max: 600 }), concurrency: fc.integer({ min: 1, max: 4 }) }),
      async (given, disturbances, options) => {
        server.documents.clear()
        // A single document is never too large here.
        const left = [...disturbances]
        server.disturb = ({ actions }) => {
          const next = left.shift()
          return actions.length === 1 && Object(next).status === 413 ? undefined : next
        }
        await complete(target(options), given)
        const expected = Object.fromEntries(given.map(({ id, n }) => [String(id), n]))
        expect(Object.fromEntries([...server.documents].map(([id, { source }]) => [id, source.n]))).toEqual(expected)
      },
    ),
    { numRuns: 60 },
  )
})

describeOpensearch('the server of these tests', (real) => {
  test('answers as a real one', async () => {
    const path = `/${real.prefix}same/_bulk?filter_path=errors,items.*.status,items.*.result,items.*.error.type`
    await real.send('PUT', `/${real.prefix}same`, { mappings: { properties: { n: { type: 'long' } } } })
    const anAction = fc.record({
      name: fc.constantFrom('index', 'create', 'update', 'delete', 'version'),
      id: fc.nat(4),
      n: fc.oneof(fc.nat(3), fc.constant('x')),
      version: fc.integer({ min: 1, max: 5 }),
    })
    type Action = { name: string; id: number; n: unknown; version: number }
    const linesOf = ({ name, id, n, version }: Action): object[] => {
      if (name === 'delete') return [{ delete: { _id: `${id}` } }]
      // Versions have documents of their own: a deleted one keeps its version for a while.
      if (name === 'version') return [{ index: { _id: `v${id}`, version, version_type: 'external' } }, { n }]
      return [{ [name]: { _id: `${id}` } }, name === 'update' ? { doc: { n }, doc_as_upsert: true } : { n }]
    }
    for (const actions of fc.sample(fc.array(anAction, { minLength: 5, maxLength: 40 }), 15)) {
      const body = actions
        .flatMap(linesOf)
        .map((line) => `${JSON.stringify(line)}\n`)
        .join('')
      const [one, other] = await Promise.all(
        [real.url + path, `${server.url}/x/_bulk`].map(async (url) => {
          const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
          const { errors, items } = (await answer.json()) as { errors: boolean; items: unknown[] }
          return { errors, items }
        }),
      )
      expect(other).toEqual(one)
    }
  })
})

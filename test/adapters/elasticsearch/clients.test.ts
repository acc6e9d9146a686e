import { elasticsearchTarget } from 'headgate/elasticsearch'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describeOpensearch } from '../../support/opensearch.js'
import { loadClient, type TestClient } from '../../support/search-clients.js'
import { type ProtocolServer, startProtocolServer } from './protocol-server.js'
import { abortWriters, complete, context, failureOf, indexTests, opened, write } from './target-support.js'

abortWriters()

const names = ['@elastic/elasticsearch', '@opensearch-project/opensearch']
const classes = await Promise.all(names.map(loadClient))

describe.each(names.map((name, n) => ({ name, Client: classes[n] })))('a client of $name', ({ Client }) => {
  if (!Client) return test.skip('is not installed')
  let server: ProtocolServer
  let client: TestClient
  beforeEach(async () => {
    server = await startProtocolServer()
    client = new Client({ node: server.url })
    vi.spyOn(Math, 'random').mockReturnValue(0)
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await client.close()
    await server.close()
  })
  const target = () => elasticsearchTarget({ client, index: 'test', id: 'id' })

  test('writes documents, and stays open', async () => {
    for (const n of [1, 2]) await complete(target(), [{ id: n, text: 'é' }])
    expect([...server.documents.keys()]).toEqual(['1', '2'])
  })

  test('leaves to the target what is sent again', async () => {
    const left = [
      'reset before',
      { status: 429 },
      'cut',
      new Map([[0, { status: 503, error: { type: 'busy' } }]]),
    ] as const
    const next = [...left]
    server.disturb = () => next.shift()
    await complete(target(), [{ id: 1 }, { id: 2 }])
    expect([server.documents.size, server.bulks.length]).toEqual([2, left.length + 2])
  })

  test('names the documents that the server refuses, and says why it refuses all', async () => {
    const { writer } = await opened(target(), { toleratesFailures: true })
    expect(await failureOf(write(writer, [{ id: 1, n: 'x' }, { id: 2 }]))).toMatchObject({ recordIndexes: [0] })
    server.disturb = () => ({ status: 401, body: '{"error":{"type":"security_exception","reason":"who are you"}}' })
    const failure = await failureOf(write(writer, [{ id: 3 }]))
    expect(failure.message).toContain('status 401: security_exception: who are you. Check `auth`.')
  })

  test('stops with the signal of the run', async () => {
    const controller = new AbortController()
    const { writer } = await opened(target(), { ...context(), signal: controller.signal })
    const reason = new RangeError('stop')
    server.disturb = () => {
      controller.abort(reason)
      return { status: 429 }
    }
    await write(writer, [{ id: 1 }])
    expect(await failureOf(writer.flush?.(null))).toBe(reason)
  })
})

describeOpensearch('a client of OpenSearch', (server) => {
  const { nextIndex, target, hits } = indexTests(server)

  const [, Client] = classes

  test.skipIf(!Client)('replaces on a real server', async () => {
    const client = new (Client as NonNullable<typeof Client>)({ node: server.url })
    onTestFinished(async () => void (await client.close()))
    const alias = nextIndex()
    await complete(target({ client, strategy: 'replace' }), [{ id: 1 }, { id: 2 }])
    expect((await hits(alias)).map(({ _id }) => _id)).toEqual(['1', '2'])
  })
})

import { elasticsearchDatasource } from 'headgate/elasticsearch'
import { datasourceSuite } from 'headgate/testing'
import { beforeAll, describe, test } from 'vitest'
import { describeOpensearch } from '../../support/opensearch.js'
import { bulk } from './datasource-support.js'

/** Those of the suite. */
const texts = ["it's", '"quoted"', 'a\\b', 'a&b=c#d?e', '100%25', '$1', '+ ', 'two\nlines', 'ü']

const { placeholder = String } = elasticsearchDatasource({ node: 'http://127.0.0.1:1', index: 'none' })

describeOpensearch('conformance', (server) => {
  const index = `${server.prefix}suite`

  beforeAll(async () => {
    const long = { type: 'long' }
    const properties = { id: long, pair: long, down: long, gap: long, text: { type: 'keyword' } }
    await server.send('PUT', `/${index}`, {
      settings: { number_of_shards: 1, number_of_replicas: 0 },
      mappings: { properties: { ...properties, wide: { type: 'text', index: false } } },
    })
    const numbers = Array.from({ length: 1000 }, (_, at) => at + 1)
    await bulk(server, index, [
      ...numbers.map((id) =>
        JSON.stringify({
          ...{ id, pair: Math.ceil(id / 2), down: -id },
          ...(id % 3 && { gap: id }),
          ...(id <= 100 && { wide: 'x'.repeat(10_000) }),
        }),
      ),
      '{"id":9007199254740993}',
      '{"id":9007199254740995}',
      ...texts.map((text, at) => JSON.stringify({ id: -at - 1, text })),
    ])
  }, 180_000)

  const idsIn = (bounds: string) => `"query":{"range":{"id":${bounds}}}`
  const upTo = (count: number, more = ',"_source":{"excludes":["wide"]}') => ({
    text: `{${idsIn(`{"gte":1,"lte":${placeholder(1)}}`)}${more}}`,
    values: [count],
  })

  describe('one shard', () => {
    datasourceSuite({
      test,
      create: () => ({
        datasource: elasticsearchDatasource({ node: server.url, index }),
        query: (count) => upTo(count),
        pairs: (count) => upTo(count),
        gaps: (count) => upTo(count),
        wide: (count) => upTo(count, ''),
        bigIntegers: { text: `{${idsIn('{"gte":9007199254740992}')}}`, values: [] },
        between: (first, last) => `{${idsIn(`{"gte":${first},"lte":${last}}`)}}`,
        echo: (text) => `{"query":{"term":{"text":${text}}}}`,
        async held() {
          const open = await server.send<{ pits?: unknown[] }>('GET', '/_search/point_in_time/_all')
          return open.pits?.length ?? 0
        },
        unusable: () => elasticsearchDatasource({ node: 'http://127.0.0.1:1', index, retryTimeout: 0 }),
      }),
      unsupported: {
        resumesAfterId: 'a cursor resumes',
        readsRanges: 'one reader reads an index',
        partition: 'one reader reads an index',
        parallel: 'one reader reads an index',
        snapshot: 'see `partition`',
        nullsFirst: 'see the documentation',
        onColumns: 'each document has its own',
        blocked: 'no search takes a minute',
        stalling: 'the server answers with whole pages',
        failing: 'the server answers with whole pages',
        fetched: 'see the pages',
      },
    })
  })
})

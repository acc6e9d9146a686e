import type { JobRecord } from 'headgate'
import { type ElasticsearchTargetOptions, elasticsearchTarget } from 'headgate/elasticsearch'
import { type TargetRecord, targetSuite } from 'headgate/testing'
import { describe, test } from 'vitest'
import { describeOpensearch } from '../../support/opensearch.js'

describeOpensearch('conformance', (server) => {
  let count = 0

  describe.each([{ strategy: 'append' }, { strategy: 'replace' }] as const)('%j', ({ strategy }) => {
    const replaces = strategy === 'replace'
    targetSuite({
      test,
      async create() {
        const index = `${server.prefix}suite-${++count}`
        // Any JSON may be in it.
        const mappings = { properties: { id: { type: 'long' }, nested: { type: 'object', enabled: false } } }
        const settings = { number_of_shards: 1, number_of_replicas: 0 }
        const targetOf = (more: Partial<ElasticsearchTargetOptions> = {}) =>
          elasticsearchTarget({
            ...{ node: server.url, index, id: 'id', strategy, mappings, settings },
            ...(replaces && { maxShrink: 1 }),
            ...more,
          })
        const aliases = replaces ? { [index]: {} } : {}
        await server.send('PUT', `/${index}${replaces ? '-first' : ''}`, { mappings, settings, aliases })
        return {
          target: targetOf(),
          async read() {
            await server.send('POST', `/${index}/_refresh`)
            const query = `size=10000&sort=id&filter_path=hits.hits._source`
            const found = await server.send<{ hits?: { hits: { _source: TargetRecord }[] } }>(
              'GET',
              `/${index}/_search?${query}`,
            )
            return (found.hits?.hits ?? []).map(({ _source }) => _source)
          },
          refused: (id): JobRecord => ({ id, text: { not: 'a text' }, nested: null }),
          empty: async () => {
            await server.send('DELETE', `/${index}`)
            await server.send('PUT', `/${index}`, { mappings, settings })
          },
          drop: async () => void (await server.send('DELETE', `/${index}${replaces ? '-first' : ''}`)),
          unusable: () => targetOf({ node: 'http://127.0.0.1:1', retryTimeout: 0 }),
        }
      },
      unsupported: {
        ...(replaces ? { append: 'see the other strategy' } : { replace: 'see the other strategy' }),
        writesAtomically: 'documents are written one by one',
        writesDuringFlush: 'a flush waits for what is on its way',
        acceptsEncoded: 'documents are JSON',
        checkpoint: 'storage keeps its checkpoints',
        resetCheckpoint: 'storage keeps its checkpoints',
        truncate: 'an index is not emptied in one step with new documents',
        checkFullRefresh: 'documents are merged',
        isBroken: 'the server is asked again',
      },
    })
  })
})

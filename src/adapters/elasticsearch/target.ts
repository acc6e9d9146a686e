import type { OpenContext, OpenTarget, Target } from '../../adapter.js'
import { defaultMaxShrink } from '../shared/index.js'
import { type AppendOptions, findAppended, openAppendWriter } from './append/index.js'
import { type SearchAuth, type SearchClient, SearchServer, type SearchTls, secretsOf } from './client/index.js'
import { checkAlias, openReplaceWriter, type ReplaceOptions } from './replace/index.js'
import { checkTargetOptions, type ElasticsearchTargetOptions } from './target-options.js'

export type { ElasticsearchTargetOptions, SearchAuth, SearchClient, SearchTls }

/** About how large a request is by default, in bytes. */
const defaultRequestBytes = 5_000_000

/**
 * Writes records to an index of Elasticsearch or OpenSearch, or replaces all documents of an alias. With `id`, each document is there once:
 * what is sent again replaces what was there. Without it, delivery is at least once.
 *
 * Throws `invalid_options` here. Opening and writing throw `target`, or `lease_lost` when a later execution has taken over.
 */
export function elasticsearchTarget(options: ElasticsearchTargetOptions): Target {
  checkTargetOptions(options)
  const { strategy = 'append', id, operation } = options
  const hasId = id !== undefined
  const given = { ...options }
  return {
    kind: 'elasticsearch',
    secrets: secretsOf(options),
    strategy,
    capabilities: {
      writesIdempotently: hasId,
      ...(strategy === 'append' && { writesPartitions: true }),
      // A document that is there stays as it is when it is created again.
      ...(strategy === 'append' && hasId && operation !== 'create' && { onFullRefresh: 'merge' }),
    },
    open: (context) => open(given, context),
    check: async (signal) => {
      const server = SearchServer.open(given, signal)
      try {
        if (strategy === 'replace') await checkAlias(server, given.index)
        else await findAppended(server, appendOptionsOf(given))
      } finally {
        server.connection.close()
      }
    },
  }
}

async function open(options: ElasticsearchTargetOptions, context: OpenContext): Promise<OpenTarget> {
  const server = SearchServer.open(options, context.signal)
  try {
    if (options.strategy === 'replace') return await openReplaceWriter(server, replaceOptionsOf(options), context)
    return { writer: await openAppendWriter(server, appendOptionsOf(options), context) }
  } catch (error) {
    server.connection.close()
    throw error
  }
}

function documentOptionsOf(options: ElasticsearchTargetOptions) {
  const {
    id,
    operation = 'index',
    bigNumbers = 'number',
    concurrency = 2,
    requestBytes = defaultRequestBytes,
  } = options
  const { index, routing, version, deleted, pipeline, mappings, settings } = options
  return {
    ...{ id: id === undefined ? [] : [id].flat(), operation, bigNumbers, concurrency, requestBytes },
    ...{ index, routing, version, deleted, pipeline, mappings, settings },
  }
}

function appendOptionsOf(options: ElasticsearchTargetOptions): AppendOptions {
  const { createIndex = true, refresh = true } = options
  return { ...documentOptionsOf(options), createsIndex: createIndex, refreshes: refresh }
}

function replaceOptionsOf(options: ElasticsearchTargetOptions): ReplaceOptions {
  const { maxShrink = defaultMaxShrink, keep = 1 } = options
  return { ...documentOptionsOf(options), maxShrink, keep }
}

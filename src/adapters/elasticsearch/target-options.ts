import { checkOptions, checkValue, invalid, type Rule, rule } from '../../adapter.js'
import { type ConnectionOptions, checkConnection, connectionRules } from './client/index.js'

/** The options of {@link elasticsearchTarget}. */
export interface ElasticsearchTargetOptions extends ConnectionOptions {
  /** The index, an alias or a data stream. With the strategy `replace`, the alias. */
  index: string
  /**
   * `append`, the default, writes to the index. `replace` loads all records into a new index, and then lets the alias `index` lead to it.
   */
  strategy?: 'append' | 'replace'
  /**
   * The column, or the columns, that the `_id` of a document is made of. Without it, the server makes one, and a document may be there
   * twice after a failure.
   */
  id?: string | readonly string[]
  /**
   * `index`, the default, replaces the document with the `_id`. `create` leaves it as it is. `update` merges the columns of the record
   * into it, or creates it.
   */
  operation?: 'index' | 'create' | 'update'
  /** A column that says whether the document is deleted: it is unless the value is null, false or 0. */
  deleted?: string
  /** The column with the routing of a document. */
  routing?: string
  /** The column with the version of a document, a whole number. A document with the same or a higher version stays as it is. */
  version?: string
  /** The ingest pipeline of the server that documents go through. */
  pipeline?: string
  /** The mappings of an index that the target creates. Default: made of the columns of the query. */
  mappings?: Readonly<Record<string, unknown>>
  /** The settings of an index that the target creates. */
  settings?: Readonly<Record<string, unknown>>
  /** Whether a missing index is created. Default `true`. Not with `replace`, which always creates one. */
  createIndex?: boolean
  /**
   * How columns of the types `bigint` and `decimal`, and JavaScript bigints, are written: as `number`, the default, with all digits, or as
   * `string`.
   */
  bigNumbers?: 'number' | 'string'
  /** Whether searches see all documents at the end of a run. Default `true`. */
  refresh?: boolean
  /** Maximum number of requests in flight. Default 2. */
  concurrency?: number
  /** About how large a request may be, in bytes. A larger document is a request of its own. Default 5,000,000. */
  requestBytes?: number
  /**
   * How long a job goes on to send what a busy server refuses, and to look for a server that is away, in milliseconds without any success.
   * Then it fails with a transient error. Default 120,000.
   */
  retryTimeout?: number
  /**
   * The largest share of documents that `replace` may remove, from 0 to 1. With 0.5, the default, the job fails when fewer than half of
   * them would be left. 1 allows any number, also none.
   */
  maxShrink?: number
  /** How many of the indexes that the job has replaced stay. Default 1. */
  keep?: number
}

const indexRule: Rule = {
  accepts: isIndexName,
  expected: 'the name of an index: in lower case, up to 200 bytes, without spaces, `,`, `*` and the like',
}

function isIndexName(value: unknown): boolean {
  if (typeof value !== 'string' || !/^[^-_+\s\\/*?"<>|,#:][^\s\\/*?"<>|,#:]*$/.test(value)) return false
  return value === value.toLowerCase() && Buffer.byteLength(value) <= 200 && value !== '.' && value !== '..'
}

const idRule: Rule = {
  accepts(value) {
    const names = [value].flat()
    return names.length > 0 && names.every(rule.text.accepts) && new Set(names).size === names.length
  },
  expected: 'the name of a column, or an array of different names',
}

const jsonRule: Rule = {
  accepts: (value) => rule.anObject.accepts(value) && JSON.stringify(value)?.startsWith('{') === true,
  expected: 'an object that JSON can hold',
}

const rules = {
  ...connectionRules,
  index: indexRule,
  strategy: rule.optional(rule.oneOf('append', 'replace')),
  id: rule.optional(idRule),
  operation: rule.optional(rule.oneOf('index', 'create', 'update')),
  deleted: rule.optional(rule.text),
  routing: rule.optional(rule.text),
  version: rule.optional(rule.text),
  pipeline: rule.optional(rule.text),
  mappings: rule.optional(jsonRule),
  settings: rule.optional(jsonRule),
  createIndex: rule.optional(rule.flag),
  bigNumbers: rule.optional(rule.oneOf('number', 'string')),
  refresh: rule.optional(rule.flag),
  concurrency: rule.optional(rule.whole(1, 100)),
  requestBytes: rule.optional(rule.whole(1, 2 ** 28)),
  retryTimeout: rule.optional(rule.milliseconds(0, 2 ** 31 - 1)),
  maxShrink: rule.optional(rule.share),
  keep: rule.optional(rule.whole(0, 1000)),
}

/** Throws `invalid_options` unless the options are valid and fit together. */
export function checkTargetOptions(options: ElasticsearchTargetOptions): void {
  checkOptions('options', options, rules)
  checkConnection(options)
  const { strategy = 'append', id, operation, deleted, version, createIndex, refresh } = options
  if (id === undefined) {
    if (operation === 'update') throw invalid('operation', '`index` or `create` without `id`', operation)
    for (const name of ['deleted', 'version'] as const) checkAbsent(options, name, 'without `id`')
  }
  if (version !== undefined && operation === 'update')
    throw invalid('version', 'absent with the operation `update`', version)
  if (version !== undefined && operation === 'create')
    throw invalid('version', 'absent with the operation `create`', version)
  if (deleted !== undefined && operation === 'create')
    throw invalid('deleted', 'absent with the operation `create`', deleted)
  if (strategy === 'replace') {
    if (createIndex !== undefined)
      throw invalid('createIndex', 'absent with the strategy `replace`, which creates one', createIndex)
    if (refresh === false)
      throw invalid('refresh', 'absent with the strategy `replace`, which counts the documents', refresh)
    return
  }
  for (const name of ['maxShrink', 'keep'] as const) checkAbsent(options, name, 'without the strategy `replace`')
}

function checkAbsent(options: ElasticsearchTargetOptions, name: keyof ElasticsearchTargetOptions, where: string): void {
  checkValue(name, options[name], { accepts: () => false, expected: `absent ${where}`, optional: true })
}

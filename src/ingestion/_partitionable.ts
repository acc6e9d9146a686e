import { invalid } from '../core/options.js'
import type { Cursor } from './cursor.js'
import type { Datasource } from './datasource.js'
import type { IngestionJob } from './job.js'
import type { CompiledQuery } from './query.js'
import type { Target } from './target.js'

/** What is to be done in parts. */
interface Partitionable {
  readonly cursor: Cursor | undefined
  readonly query: CompiledQuery
  readonly datasource: Datasource
  readonly targets: readonly Target[]
}

/** Throws `invalid_options` unless a job can be done in parts. */
export function checkPartitions(job: IngestionJob, { cursor, query, datasource, targets }: Partitionable): void {
  const { partitions, parallel, records, pkField } = job
  if (parallel !== undefined) throw invalid('parallel', 'absent beside `partitions`', parallel)
  if (records !== undefined) throw invalid('records', 'absent beside `partitions`', records)
  if (typeof partitions === 'number' && !cursor)
    throw invalid('cursor', 'there beside `partitions`, unless they are bounds', cursor)
  if (!cursor && job.query === undefined && !datasource.takesRange) {
    const expected = `absent, as the datasource [${datasource.kind}] gives no range of its records without a query`
    throw invalid('partitions', expected, partitions)
  }
  if (!cursor && job.query !== undefined && !query.takesRange) {
    throw invalid('query', 'one that reads from {{from}} until {{until}}, as `partitions` are bounds', job.query)
  }
  if (cursor && !datasource.partition)
    throw invalid('partitions', `absent, as the datasource [${datasource.kind}] cannot be cut`, partitions)
  if (cursor?.nulls === 'first') throw invalid('nulls', '`fail` or `skip` beside `partitions`', 'first')
  if (cursor && cursor.lookback > 0) throw invalid('lookback', 'absent beside `partitions`', cursor.lookback)
  if (cursor && cursor.consistency === 'pages')
    throw invalid('consistency', '`statement` or `snapshot` beside `partitions`', 'pages')
  if (cursor && pkField !== undefined && !cursor.columns.includes(pkField)) {
    throw invalid('pkField', 'a column of `cursor` beside `partitions`', pkField)
  }
  for (const { kind, strategy, takesParts } of targets) {
    if (strategy === 'replace') throw invalid('target', 'one that does not replace, beside `partitions`', kind)
    if (!takesParts)
      throw invalid('target', 'one that several executions may write to at once, beside `partitions`', kind)
  }
}

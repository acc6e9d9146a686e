import { invalid, JobError } from '../../core/base/index.js'
import type { Cursor, Datasource, Target } from '../contract/index.js'
import type { IngestionJob } from './ingestion-job.js'
import type { CompiledQuery } from './query-template.js'

/** The parts of a definition that `partitions` depends on. */
interface Partitionable {
  readonly cursor: Cursor | undefined
  readonly query: CompiledQuery
  readonly datasource: Datasource
  readonly targets: readonly Target[]
}

/** Throws `invalid_options` unless a job supports `partitions`. */
export function checkPartitions(job: IngestionJob, { cursor, query, datasource, targets }: Partitionable): void {
  const { partitions, parallel, maxRecords, pkField } = job
  if (parallel !== undefined) throw invalid('parallel', 'omitted with `partitions`', parallel)
  if (maxRecords !== undefined) throw invalid('maxRecords', 'omitted with `partitions`', maxRecords)
  if (typeof partitions === 'number' && !cursor) throw invalid('cursor', 'set when `partitions` is a number', cursor)
  if (!cursor && job.query === undefined && !datasource.capabilities?.readsRanges) {
    const expected = `omitted, as the datasource [${datasource.kind}] cannot read a range without a query`
    throw invalid('partitions', expected, partitions)
  }
  if (!cursor && job.query !== undefined && !query.takesRange) {
    throw invalid('query', 'one with {{from}} and {{until}}, as `partitions` lists values', job.query)
  }
  if (cursor && !datasource.partition)
    throw invalid('partitions', `omitted, as the datasource [${datasource.kind}] does not support it`, partitions)
  if (cursor?.nulls === 'first') throw invalid('cursor.nulls', '`fail` or `skip` with `partitions`', 'first')
  if (cursor && cursor.lookback > 0) throw invalid('cursor.lookback', 'omitted with `partitions`', cursor.lookback)
  if (cursor && cursor.consistency === 'pages')
    throw invalid('cursor.consistency', '`statement` or `snapshot` with `partitions`', 'pages')
  if (cursor && pkField !== undefined && !cursor.columns.includes(pkField)) {
    throw invalid('pkField', 'a column of `cursor` with `partitions`', pkField)
  }
  for (const { kind, strategy, capabilities } of targets) {
    if (strategy === 'replace') throw invalid('target', 'one that appends, with `partitions`', kind)
    if (!capabilities?.writesPartitions) throw targetFailure(kind)
  }
}

function targetFailure(kind: string): JobError {
  const message = `Expected \`target\` to be one that supports \`partitions\`, got one of the kind ${kind}, whose \`capabilities\` lack \`writesPartitions\`: omit \`partitions\`, or read by a cursor with \`parallel\`, which writes into one target.`
  return new JobError('invalid_options', message)
}

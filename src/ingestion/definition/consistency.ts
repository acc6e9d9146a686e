import { invalid } from '../../core/base/index.js'
import type { Consistency, Cursor, Datasource } from '../contract/index.js'
import type { IngestionJob } from './ingestion-job.js'

/**
 * The consistency that the status of a run may report: only what the datasource keeps. Throws `invalid_options` when the job asks
 * for another one.
 */
export function consistencyOf(
  { cursor: options, partitions }: IngestionJob,
  { kind, capabilities, consistency }: Datasource,
  cursor: Cursor | undefined,
): Consistency | undefined {
  if (!cursor) return consistency
  const kept = capabilities?.keepsConsistency ?? []
  const asked: unknown = Object(options).consistency
  // Partitions read records of one moment only by a shared snapshot.
  if (asked !== undefined && !kept.includes(partitions === undefined ? cursor.consistency : 'snapshot')) {
    throw invalid('cursor.consistency', expectedOf(kind, kept, partitions !== undefined), asked)
  }
  return kept.includes(cursor.consistency) ? cursor.consistency : undefined
}

function expectedOf(kind: string, kept: readonly Consistency[], isPartitioned: boolean): string {
  if (isPartitioned) return `omitted with \`partitions\`, as the datasource [${kind}] does not keep \`snapshot\``
  if (kept.length === 0) return `omitted, as the datasource [${kind}] keeps none`
  return `${kept.map((name) => `\`${name}\``).join(' or ')}, which the datasource [${kind}] keeps`
}

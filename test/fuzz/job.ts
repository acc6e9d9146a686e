import { join } from 'node:path'
import {
  type FailurePolicy,
  type IngestionJob,
  type JobRecord,
  JobRegistry,
  type JobStorage,
  memoryStorage,
  type Transformed,
} from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import { isFile, isReplace, type Plan } from './plan.js'
import { keys } from './values.js'
import type { Place } from './world.js'

/** The name that headgate's connections have in a round. */
export const applicationName = 'headgate-fuzz'

/** The id of the job of a round. */
export const jobId = 'copy'

/** Opens a registry with the job of a round. */
export function open(plan: Plan, { url, folder }: Place, storage: JobStorage): JobRegistry {
  const named = new URL(url)
  named.searchParams.set('application_name', applicationName)
  const connectionString = named.href
  const registry = new JobRegistry({
    storage,
    datasources: { source: postgresDatasource({ connectionString }) },
    lease: 1000,
    progressInterval: 20,
  })
  registry.define(jobOf(plan, connectionString, folder))
  return registry
}

/** Opens the storage of a round. */
export function openStorage(plan: Plan, { url, folder, storage }: Place): JobStorage {
  if (plan.storage === 'sqlite') return sqliteStorage({ path: join(folder, `jobs-${storage}.db`) })
  if (plan.storage === 'memory') return memoryStorage()
  return postgresStorage({ connectionString: url, schema: `headgate_${storage}` })
}

function jobOf(plan: Plan, connectionString: string, folder: string): IngestionJob {
  const { batchSize, batchBytes, records } = plan.read
  const failures = failuresOf(plan, connectionString)
  return {
    id: jobId,
    datasource: 'source',
    ...readingOf(plan),
    batchSize,
    batchBytes,
    resume: plan.resume,
    ifTargetReset: plan.ifTargetReset,
    rateLimit: { rows: plan.rate },
    ...(records !== null && { maxRecords: records }),
    ...transformOf(plan),
    ...(failures && { failures }),
    target: targetOf(plan, connectionString, folder),
  }
}

function readingOf({ read, source }: Plan): Partial<IngestionJob> {
  if (read.way === 'whole') return { query: 'select * from source order by n' }
  if (read.way === 'template') {
    return { query: 'select * from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id', pkField: 'id' }
  }
  const key = keys[source.key].map(({ name }) => name)
  const { by, ties, nulls, looksBack, consistency, parallel, partitions } = read
  const columns = { key, time: ['changed_at', ...key], tie: ['tie'] }[by]
  return {
    query: 'select * from source',
    cursor: { columns, ties, nulls, consistency, lookback: looksBack ? 3_600_000 : 0 },
    ...(parallel > 1 && { parallel }),
    ...(partitions > 1 && { partitions }),
  }
}

function transformOf({ write, failures }: Plan): Pick<IngestionJob, 'transform' | 'transformBatch'> {
  if (write.transform === 'none') return {}
  if (write.transform === 'batches') return { transformBatch: (batch) => batch.records() }
  const transform = transforms[write.transform]
  return {
    transform: (record) => {
      if (failures.poison === 'transform' && record.poison === 'x') throw new Error('poison')
      return transform(record)
    },
  }
}

const transforms: Record<
  Exclude<Plan['write']['transform'], 'none' | 'batches'>,
  (record: JobRecord) => Transformed
> = {
  same: (record) => record,
  changed: (record) => ({ ...record, note: `changed ${record.note}` }),
  dropped: (record) => (Number(record.n) % 3 === 0 ? null : record),
  doubled: (record) => (Number(record.n) % 5 === 0 ? [record, { ...record, part: 2 }] : record),
  sparse: ({ note, ...others }) => (Number(others.n) % 4 === 1 ? others : { ...others, note }),
}

function failuresOf({ failures: { budget } }: Plan, connectionString: string): FailurePolicy | undefined {
  if (budget === 'absent') return undefined
  if (budget === 'zero') return { total: 0 }
  const columns = { executionId: 'execution_id', type: 'type', id: 'id', key: 'key', time: 'time', phase: 'phase' }
  const deadLetters = postgresTarget({
    connectionString,
    table: 'dead',
    columns: { ...columns, error: 'error', record: 'record' },
  })
  const total = budget === 'few' ? 2 : Number.POSITIVE_INFINITY
  return { deadLetters, total, consecutive: total }
}

function targetOf({ write, source }: Plan, connectionString: string, folder: string) {
  const { kind, connections, createTable } = write
  if (isFile(kind)) {
    const path = join(folder, 'copy.ndjson')
    return kind === 'file'
      ? ndjsonFile({ path, strategy: 'append' })
      : ndjsonFile({ path, strategy: 'replace', maxShrink: 1 })
  }
  const isMerged = kind === 'upsert' || kind === 'rows'
  const key = [...keys[source.key].map(({ name }) => name), 'part']
  return postgresTarget({
    connectionString,
    table: 'copy',
    createTable,
    ...((kind === 'upsert' || (createTable && isMerged)) && { key }),
    ...(kind === 'upsert' && { mode: 'upsert' as const }),
    ...(isReplace(kind)
      ? { strategy: 'replace' as const, swap: kind as 'rows' | 'rename', maxShrink: 1 }
      : { connections }),
  })
}

/**
 * A process that runs one copy and tells how much memory it took. `large-rows.test.ts` makes a program
 * of it, and starts that with its plan as JSON; it writes its {@link CopyReport} to its output.
 */
import { readFileSync } from 'node:fs'
import { JobRegistry, memoryStorage } from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'

/** What is copied, and where. */
export interface CopyPlan {
  /** The Postgres of both sides. */
  readonly url: string
  readonly query: string
  /** A table, or the path of a file, which has a slash. */
  readonly target: string
  readonly batchSize?: number
  readonly batchBytes?: number
}

/** How a copy ended. Memory is in MB: what the process had before the copy, and the most that it took for it. */
export interface CopyReport {
  readonly state: string
  readonly count: number
  readonly error?: readonly string[]
  readonly before: number
  readonly taken: number
}

const { url: connectionString, query, target, ...batches } = JSON.parse(process.argv[2] ?? '') as CopyPlan
const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { source: postgresDatasource({ connectionString }) },
})
registry.define({
  id: 'copy',
  datasource: 'source',
  query,
  target: target.includes('/') ? ndjsonFile({ path: target }) : postgresTarget({ connectionString, table: target }),
  ...batches,
})

/** The most memory that the process has had. Linux counts what its parent had in `maxRSS`. */
function peak(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS / 1024
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024
}

const before = peak()
const { finished } = await registry.start('ingestion', 'copy')
const { state, count, ...rest } = await finished
const error = 'error' in rest ? { error: rest.error } : {}
const report: CopyReport = { state, count, before, taken: peak() - before, ...error }
process.stdout.write(JSON.stringify(report))
await registry.close()

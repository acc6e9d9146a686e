/**
 * A process that does the copy in parts, or helps to: `tsx _parts.ts <task as JSON>` takes turns from the line until it is told to
 * stop, and then says what it took.
 */
import { fileURLToPath } from 'node:url'
import { createPostgresBackend } from 'bullmq'
import { JobRegistry } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import type { Task } from './_bench.js'

/** What a process took. */
export interface Taken {
  readonly cpuSeconds: number
  /** The most memory that it held, in megabytes. */
  readonly peak: number
}

/** A registry of one process that shares the line, on the Postgres of the task: in parts, or not. */
export function openRegistry({ url, table }: Task, partitions?: number): JobRegistry {
  const registry = new JobRegistry({
    storage: postgresStorage({ connectionString: url }),
    dispatcher: bullmqDispatcher({ connection: { connectionString: url, max: 3 }, backend: createPostgresBackend }),
    datasources: { postgres: postgresDatasource({ connectionString: url }) },
    concurrency: 2,
  })
  registry.define({
    id: `bench-${partitions ?? 'whole'}`,
    datasource: 'postgres',
    query: `select * from ${table}`,
    cursor: 'id',
    resume: 'restart',
    target: postgresTarget({ connectionString: url, table: `target.${table}` }),
    ...(partitions !== undefined && { partitions }),
  })
  return registry
}

/** What this process took so far. */
export function taken(): Taken {
  const { user, system } = process.cpuUsage()
  return { cpuSeconds: (user + system) / 1e6, peak: process.resourceUsage().maxRSS / 1024 }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const registry = openRegistry(JSON.parse(process.argv[2] ?? '') as Task, 4)
  await registry.running('ingestion')
  const before = taken().cpuSeconds
  process.send?.('ready')
  process.once('message', async () => {
    await registry.close()
    process.send?.({ ...taken(), cpuSeconds: taken().cpuSeconds - before })
    process.disconnect()
  })
}

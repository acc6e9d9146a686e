/**
 * A process that copies a table of Postgres to MySQL, and says how that ended. `mysql-copies.test.ts` starts it with its {@link MysqlCopyPlan}
 * as JSON, and kills it at random moments. Its jobs resume by themselves.
 */
import { JobRegistry } from 'headgate'
import { type MysqlTargetOptions, mysqlTarget } from 'headgate/mysql'
import { postgresDatasource } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'

/** What is copied, and how. */
export interface MysqlCopyPlan {
  readonly storage: string
  readonly source: string
  readonly query: string
  readonly options: MysqlTargetOptions
}

const plan = JSON.parse(process.argv[2] ?? '') as MysqlCopyPlan
const registry = new JobRegistry({
  storage: sqliteStorage({ path: plan.storage }),
  datasources: { source: postgresDatasource({ connectionString: plan.source }) },
  progressInterval: 20,
  lease: 400,
})
const ended = new Promise<string>((resolve) => {
  // An execution whose process died ends as an error, and another one resumes from it.
  registry.on('status', ({ status }) => {
    if (status.state === 'successful') resolve(JSON.stringify(status))
  })
})
registry.define({
  id: 'copy',
  datasource: 'source',
  query: plan.query,
  cursor: 'id',
  batchSize: 100,
  rateLimit: { rows: 4000 },
  target: mysqlTarget(plan.options),
  resume: 'auto',
  retry: { limit: 1000, delay: 10, maxDelay: 50 },
})
// Otherwise, the registry resumes it.
if ((await registry.status('ingestion', 'copy')) === undefined) await registry.start('ingestion', 'copy')
process.stdout.write(await ended)
await registry.close()

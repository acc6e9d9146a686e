/**
 * A process that fills an index, and says how that ended. `elasticsearch-copies.test.ts` starts it with its {@link ElasticsearchCopyPlan} as
 * JSON, and kills it at random moments. Its job resumes by itself.
 */
import { JobRegistry } from 'headgate'
import { type ElasticsearchTargetOptions, elasticsearchTarget } from 'headgate/elasticsearch'
import { iterableDatasource } from 'headgate/iterable'
import { sqliteStorage } from 'headgate/sqlite'

/** What is written, and how. */
export interface ElasticsearchCopyPlan {
  readonly storage: string
  readonly count: number
  readonly options: ElasticsearchTargetOptions
}

const plan = JSON.parse(process.argv[2] ?? '') as ElasticsearchCopyPlan
const records = Array.from({ length: plan.count }, (_, n) => ({ id: n + 1, name: `name ${n + 1}` }))
const registry = new JobRegistry({ storage: sqliteStorage({ path: plan.storage }), progressInterval: 20, lease: 400 })
const ended = new Promise<string>((resolve) => {
  // An execution whose process died ends as an error, and another one resumes from it.
  registry.on('status', ({ status }) => {
    if (status.state === 'successful') resolve(JSON.stringify(status))
  })
})
registry.on('progress', () => process.stdout.write('.'))
registry.define({
  id: 'copy',
  datasource: iterableDatasource(records),
  cursor: 'id',
  batchSize: 100,
  rateLimit: { rows: 4000 },
  target: elasticsearchTarget(plan.options),
  resume: 'auto',
  retry: { limit: 1000, delay: 10, maxDelay: 50 },
})
// Otherwise, the registry resumes it.
if ((await registry.status('ingestion', 'copy')) === undefined) await registry.start('ingestion', 'copy')
process.stdout.write(await ended)
await registry.close()

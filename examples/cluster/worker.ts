import { setTimeout } from 'node:timers/promises'
import { createPostgresBackend } from 'bullmq'
import { JobRegistry } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { postgresStorage } from 'headgate/postgres'

/** What a worker is told to do. */
export type Order = { start: string; priority?: number } | 'list'

/** What a worker tells. */
export type News = 'ready' | { runs: string; isResumed: boolean } | { waiting: string[] }

const [node = '', connectionString = ''] = process.argv.slice(2)

// #region registry
const registry = new JobRegistry({
  storage: postgresStorage({ connectionString }),
  // On Redis: dispatcher: bullmqDispatcher({ connection: { url: 'redis://localhost:6379' } }),
  dispatcher: bullmqDispatcher({ connection: { connectionString, migrate: true }, backend: createPostgresBackend }),
  concurrency: 1,
  node,
  lease: 1500,
  progressInterval: 50,
})
// #endregion

for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
  registry.define({
    type: 'import',
    id,
    resume: 'auto',
    run: async ({ signal, progress, checkpoint = 0 }) => {
      for (let step = checkpoint as number; step < 20; step++) {
        await setTimeout(50, undefined, { signal })
        progress({ count: step + 1, checkpoint: step + 1 })
      }
    },
  })
}

const tell = (news: News) => process.send?.(news)
registry.on('running', ({ id, status }) => tell({ runs: id, isResumed: status.resumedFrom !== undefined }))
process.on('message', async (order: Order) => {
  if (order !== 'list') await registry.start('import', order.start, { priority: order.priority ?? 0 })
  else tell({ waiting: (await registry.queued()).hits.map(({ id, priority }) => `${id} (${priority})`) })
})
await registry.queued()
tell('ready')

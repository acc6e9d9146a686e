/**
 * One process of a cluster: a registry over a shared storage, told by messages what to do. `cluster.ts` makes a program
 * of it, and starts that with its plan as JSON.
 */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import {
  type Clock,
  type Dispatcher,
  type FailurePolicy,
  type IngestionJob,
  JobError,
  JobRegistry,
  type JobStorage,
  type StartOptions,
  type Target,
} from 'headgate'
import { systemClock } from 'headgate/adapter'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { type Answer, type NodePlan, type Order, openStorage } from './plan.js'
import { copyQuery, wholeQuery } from './source.js'

/** How many jobs of a kind there are: `insert-0`, `insert-1` … */
const jobsOfAKind = 200

type TargetOf = (id: string, plan: Pick<NodePlan, 'source' | 'folder'>) => Target

/** How the jobs read, by the end of their kind. A copy of all that is there would be too fast to be killed in the middle. */
const readings: readonly (readonly [
  RegExp,
  Pick<IngestionJob, 'query' | 'cursor' | 'parallel' | 'partitions' | 'rateLimit'>,
])[] = [
  [/-parts$/, { query: wholeQuery, cursor: 'id', partitions: 4, rateLimit: { rows: 1000 } }],
  [/-cursor$/, { query: wholeQuery, cursor: 'id', rateLimit: { rows: 3000 } }],
  [/-ranges$/, { query: wholeQuery, cursor: 'id', parallel: 2, rateLimit: { rows: 3000 } }],
  [/./, { query: copyQuery }],
]

const insert: TargetOf = (table, { source }) => postgresTarget({ connectionString: source, table })
const upsert: TargetOf = (table, { source }) =>
  postgresTarget({ connectionString: source, table, mode: 'upsert', key: 'id' })
const insertByTwo: TargetOf = (table, { source }) => postgresTarget({ connectionString: source, table, connections: 2 })
const upsertByTwo: TargetOf = (table, { source }) =>
  postgresTarget({ connectionString: source, table, mode: 'upsert', key: 'id', connections: 2 })

const refresh: TargetOf = (table, { source }) =>
  postgresTarget({ connectionString: source, table, onFullRefresh: 'truncate' })

/** The targets of the jobs, by kind: files, and tables of the same name in the database of the source. */
const targets: Record<string, TargetOf> = {
  replace: (id, { folder }) => ndjsonFile({ path: join(folder, `${id}.ndjson`), strategy: 'replace' }),
  append: (id, { folder }) => ndjsonFile({ path: join(folder, `${id}.ndjson`), strategy: 'append' }),
  insert,
  'insert-cursor': insert,
  'insert-ranges': insert,
  'insert-two': insertByTwo,
  'insert-parts': insert,
  refresh,
  'refresh-cursor': refresh,
  'refresh-parts': refresh,
  upsert,
  'upsert-two': upsertByTwo,
  'upsert-cursor': upsert,
  'upsert-ranges': upsert,
  picky: insert,
  rows: (table, { source }) => postgresTarget({ connectionString: source, table, strategy: 'replace', swap: 'rows' }),
  rename: (table, { source }) =>
    postgresTarget({ connectionString: source, table, strategy: 'replace', swap: 'rename' }),
}

/** What the jobs whose tables are picky do about the records that are refused: they go to a table beside it. */
function failuresOf(table: string, source: string): { failures?: FailurePolicy } {
  if (!table.startsWith('picky')) return {}
  return { failures: { deadLetters: postgresTarget({ connectionString: source, table: `${table}-dead` }) } }
}

async function openRegistry(plan: NodePlan): Promise<JobRegistry> {
  const { name, storage, source, folder, kinds = [], lease, saveDelay, line, skew = 0 } = plan
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + skew }
  const registry = new JobRegistry({
    storage: saveDelay === undefined ? openStorage(storage) : slowed(openStorage(storage), saveDelay),
    datasources: { source: postgresDatasource({ connectionString: source }) },
    node: name,
    lease,
    clock,
    progressInterval: 20,
    ...(line !== undefined && { dispatcher: await lineOn(line) }),
  })
  for (const kind of kinds) {
    for (let n = 0; n < jobsOfAKind; n++) {
      const id = `${kind}-${n}`
      registry.define({
        id,
        datasource: 'source',
        pkField: 'id',
        batchSize: 20,
        target: (targets[kind] as TargetOf)(id, { source, folder }),
        resume: 'auto',
        retry: { limit: 100, delay: 50, maxDelay: 500 },
        ...readings.find(([end]) => end.test(kind))?.[1],
        ...failuresOf(id, source),
      })
    }
  }
  registry.define({ type: 'test', id: 'short', run: () => setTimeout(Math.random() * 5) })
  registry.define({ type: 'test', id: 'second', run: () => setTimeout(1000) })
  registry.define({ type: 'test', id: 'endless', run: ({ signal }) => setTimeout(2 ** 30, undefined, { signal }) })
  return registry
}

/** A line that processes share. What makes it is loaded by those alone that have one: every process is soon killed. */
async function lineOn(connectionString: string): Promise<Dispatcher> {
  const [loaded, { bullmqDispatcher }] = await Promise.all([import('bullmq'), import('headgate/bullmq')])
  // Bundlers show a CommonJS package as `default` only.
  const { createPostgresBackend } = 'default' in loaded ? (loaded.default as typeof loaded) : loaded
  const connection = { connectionString, max: 3 }
  return bullmqDispatcher({ connection, backend: createPostgresBackend, lockDuration: 1000 })
}

/** A storage that is further away. */
function slowed(storage: JobStorage, saveDelay: number): JobStorage {
  const save = storage.renew.bind(storage)
  storage.renew = async (...request) => {
    await setTimeout(saveDelay)
    return save(...request)
  }
  return storage
}

async function obey(registry: JobRegistry, order: Order): Promise<Answer> {
  if (order.do === 'close') await registry.close()
  else if (order.do === 'loop') return loop(registry, order.id, order.ms)
  else if (order.do === 'abort') await registry.abort(order.type, order.id)
  else return { executionIds: [(await registry.start(order.type, order.id, startOf(order))).executionId] }
  return {}
}

function startOf({ fullRefresh }: { readonly fullRefresh?: boolean }): StartOptions {
  return fullRefresh === undefined ? {} : { fullRefresh }
}

async function loop(registry: JobRegistry, id: string, ms: number): Promise<Answer> {
  const executionIds: string[] = []
  let refused = 0
  for (const end = Date.now() + ms; Date.now() < end; ) {
    try {
      const execution = await registry.start('test', id)
      executionIds.push(execution.executionId)
      await execution.finished
    } catch (error) {
      if (!JobError.isInstance(error) || error.code !== 'already_running') throw error
      refused++
      await setTimeout(Math.random() * 3)
    }
  }
  return { executionIds, refused }
}

const registry = await openRegistry(JSON.parse(process.argv[2] ?? '') as NodePlan)
const answer = (number: number, said: Answer) => process.send?.({ number, ...said })
process.on('message', ({ number, ...order }: Order & { number: number }) => {
  obey(registry, order as Order).then(
    (said) => answer(number, said),
    (error: Error) => answer(number, { error: error.message }),
  )
})
// A process whose test is over has nothing more to do.
process.on('disconnect', () => process.exit())
answer(0, {})

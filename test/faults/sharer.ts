/**
 * A process that shares a line: it runs whatever has its turn, and starts the jobs that it is told. `sharers.ts` makes
 * a program of it, and starts that with its plan as JSON.
 */
import { setTimeout } from 'node:timers/promises'
import { createPostgresBackend } from 'bullmq'
import { type Dispatcher, JobError, JobRegistry, type Target } from 'headgate'
import type { TargetAbort } from 'headgate/adapter'
import { bullmqDispatcher } from 'headgate/bullmq'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { type Engine, queryOf, type Said, type SharerPlan } from './dispatch-plan.js'

const plan = JSON.parse(process.argv[2] ?? '') as SharerPlan
const { url, lease } = plan

function dispatcherOn(engine: Engine): Dispatcher {
  if (engine.kind === 'redis') return bullmqDispatcher({ connection: { url: engine.url }, lockDuration: 1000 })
  const { connectionString } = engine
  const connection = { connectionString, max: 3 }
  return bullmqDispatcher({ connection, backend: createPostgresBackend, lockDuration: 1000 })
}

/** A dispatcher whose process dies on the way to the line. */
function dying(dispatcher: Dispatcher): Dispatcher {
  return {
    isShared: true,
    work: (worker) => dispatcher.work(worker),
    add: async () => void process.kill(process.pid, 'SIGKILL'),
    remove: (executionId) => dispatcher.remove(executionId),
    move: (executionId, priority) => dispatcher.move(executionId, priority),
    waiting: (page) => dispatcher.waiting(page),
  }
}

const watch = new pg.Client({ connectionString: url })
await watch.connect()
const open = new Set<string>()
let asked: Promise<unknown> = Promise.resolve()

/** Asks over the one session that holds the locks, one after the other. */
function ask(text: string, values: unknown[]): Promise<pg.QueryResult> {
  const answer = asked.then(() => watch.query(text, values))
  asked = answer
  return answer
}

/** A target that notes when a job is written to by two at once: of this process, or of others, which its session tells. */
function exclusive(job: string, target: Target): Target {
  const leave = async () => {
    open.delete(job)
    await ask('select pg_advisory_unlock(hashtext($1))', [job])
  }
  return {
    ...target,
    open: async (context) => {
      const { rows } = await ask('select pg_try_advisory_lock(hashtext($1)) as free', [job])
      if (!rows[0].free || open.has(job)) {
        await ask('insert into overlap values ($1, $2)', [job, context.executionId])
      }
      open.add(job)
      const opened = await Promise.resolve(target.open(context)).catch(async (error) => {
        await leave()
        throw error
      })
      const { writer } = opened
      const { commit, abort } = writer
      Object.assign(writer, {
        commit: async () => {
          await commit?.call(writer)
          await leave()
        },
        abort: async (why: TargetAbort) => {
          try {
            await abort?.call(writer, why)
          } finally {
            await leave()
          }
        },
      })
      return opened
    },
  }
}

const dispatcher = dispatcherOn(plan.engine)
const registry = new JobRegistry({
  storage: postgresStorage({ connectionString: url }),
  datasources: { source: postgresDatasource({ connectionString: url }) },
  dispatcher: plan.diesInLine ? dying(dispatcher) : dispatcher,
  concurrency: plan.concurrency,
  node: plan.name,
  lease,
  progressInterval: 20,
})
for (const job of plan.jobs) {
  const target = postgresTarget({ connectionString: url, table: 'copied', columns: { job: 'job', id: 'id' } })
  registry.define({
    id: job,
    datasource: 'source',
    query: queryOf(job),
    pkField: 'id',
    batchSize: 20,
    target: exclusive(job, target),
    resume: 'auto',
    retry: { limit: 100, delay: 50, maxDelay: 500 },
  })
}

if (plan.every !== undefined) {
  const schedule = { every: plan.every, ifRunning: 'runAfter' } as const
  registry.define({ type: 'task', id: 'tick', run: () => setTimeout(100), schedule, resume: 'auto' })
}

async function start(job: string): Promise<void> {
  try {
    await registry.start('ingestion', job)
  } catch (error) {
    // Accepted by a process that died before it could tell.
    if (!JobError.isInstance(error) || error.code !== 'already_running') throw error
  }
  say({ accepted: job })
}

const say = (said: Said) => process.send?.(said)
process.on('message', (jobs: string[]) => void Promise.all(jobs.map(start)).catch(() => undefined))
// A process whose test is over has nothing more to do.
process.on('disconnect', () => process.exit())
say('ready')

/**
 * Three processes, one queue of jobs, and nothing but a Postgres: `npm run cluster`. A job that is started anywhere runs
 * wherever there is room; one is urgent, one is aborted from outside, and one outlives its process. Nothing is left behind.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { JobRegistry } from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import { startPostgres } from '../../test/support/postgres.js'
import type { News, Order } from './worker.js'

console.log('Starting a Postgres of its own, and three processes that share it …')
const postgres = await startPostgres()
const registry = new JobRegistry({ storage: postgresStorage({ connectionString: postgres.url }) })
const workers = new Map<string, ChildProcess>()
/** Which worker runs a job, or ran it last. */
const places = new Map<string, string>()
let waiting: string[] | undefined

try {
  await Promise.all(['worker 1', 'worker 2', 'worker 3'].map(startWorker))
  await fillAllSlots()
  await lineUp()
  await abortFromHere()
  await killInMidRun()
  await until(async () => (await registry.search({ state: 'successful', size: 0 })).total === 5)
  await showTheLog()
} finally {
  for (const worker of workers.values()) worker.kill('SIGKILL')
  await registry.close()
  await postgres.stop()
}

async function startWorker(name: string): Promise<void> {
  const file = fileURLToPath(new URL('worker.ts', import.meta.url))
  const worker = fork(file, [name, postgres.url])
  workers.set(name, worker)
  worker.on('message', (news: News) => hear(name, news))
  await once(worker, 'message')
}

function hear(name: string, news: News): void {
  if (news === 'ready') console.log(`${name} is ready.`)
  else if ('waiting' in news) waiting = news.waiting
  else {
    console.log(`${name} ${news.isResumed ? 'resumes' : 'runs'} ${news.runs}.`)
    places.set(news.runs, name)
  }
}

function tell(name: string, order: Order): void {
  workers.get(name)?.send(order)
}

/** All jobs are started in one process, and run in all of them. */
async function fillAllSlots(): Promise<void> {
  console.log('\na, b and c are started in worker 1. Each process has room for one job.')
  for (const id of ['a', 'b', 'c']) tell('worker 1', { start: id })
  await until(() => places.size === 3)
}

/** Those that find no room wait in one line, which any process can see. */
async function lineUp(): Promise<void> {
  console.log('\nd and e are started in worker 2, and then f, which is urgent.')
  for (const id of ['d', 'e', 'f']) {
    const { total: before } = await registry.search({ state: 'queued', size: 0 })
    tell('worker 2', { start: id, ...(id === 'f' && { priority: 10 }) })
    await until(async () => (await registry.search({ state: 'queued', size: 0 })).total > before)
  }
  await until(() => {
    if (waiting?.length !== 3) tell('worker 3', 'list')
    return waiting?.length === 3
  })
  console.log(`Waiting, as worker 3 sees it: ${waiting?.join(', ')}.`)
}

/** This process runs no jobs, and aborts one all the same: the slot goes to the urgent one. */
async function abortFromHere(): Promise<void> {
  console.log('\na is aborted, from outside.')
  await registry.abort('import', 'a')
  await until(() => places.has('f'))
}

async function killInMidRun(): Promise<void> {
  const name = places.get('b') ?? ''
  workers.get(name)?.kill('SIGKILL')
  workers.delete(name)
  console.log(`\n${name} is killed while it runs b.`)
}

async function showTheLog(): Promise<void> {
  console.log('')
  const { hits } = await registry.search({ type: 'import', size: 100 })
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
    const states = hits.filter((status) => status.id === id).map(({ state, count }) => `${state} at step ${count}`)
    console.log(`${id}: ${states.reverse().join(', then ')}`)
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await setTimeout(20)
}

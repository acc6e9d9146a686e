/**
 * Empty jobs, start to finished, ten at a time, over Postgres: a registry on `postgresStorage`, against pg-boss, which sends,
 * fetches and completes one by one. Both on one server, in turn: `npx tsx test/bench/storage-jobs.ts [jobs per round]`.
 * The server is the embedded one, which does not wait for its disk, unless `HEADGATE_TEST_POSTGRES_URL` names another.
 */
import { JobRegistry } from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import PgBoss from 'pg-boss'
import { startPostgres } from '../support/postgres.js'
import { median } from './_bench.js'

const jobs = Number(process.argv[2] ?? 3000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const atOnce = 10
const saves = 1000

const server = await startPostgres()
const storage = postgresStorage({ connectionString: server.url })
const registry = new JobRegistry({ storage })
for (let lane = 0; lane < atOnce; lane++) registry.define({ type: 'bench', id: `lane-${lane}`, run: () => {} })
const boss = new PgBoss(server.url)
boss.on('error', console.error)
await boss.start()
await boss.createQueue('bench')

async function overStorage(lane: number): Promise<void> {
  const execution = await registry.start('bench', `lane-${lane}`)
  const { state } = await execution.finished
  if (state !== 'successful') throw new Error(`Expected a successful execution, got ${state}`)
}

async function overBoss(): Promise<void> {
  await boss.send('bench', {})
  // A fetch may come back empty when others hold the rows that it saw.
  let [job] = await boss.fetch('bench')
  while (!job) [job] = await boss.fetch('bench')
  await boss.complete('bench', job.id)
}

/** Jobs per second. */
async function speedOf(job: (lane: number) => Promise<void>): Promise<number> {
  const began = performance.now()
  const runLane = async (lane: number) => {
    for (let done = 0; done < jobs / atOnce; done++) await job(lane)
  }
  await Promise.all(Array.from({ length: atOnce }, (_, lane) => runLane(lane)))
  return jobs / ((performance.now() - began) / 1000)
}

/** Milliseconds of one call, one after the other. */
async function timeOfSave(): Promise<number> {
  const { execution } = await storage.begin({ type: 'bench', id: 'save', state: 'running', node: 'n', lease: 60_000 })
  const times: number[] = []
  for (let count = 0; count < saves; count++) {
    const began = performance.now()
    await storage.renew(execution, { lease: 60_000, count, lastId: `${count}`, checkpoint: { lastId: count } })
    times.push(performance.now() - began)
  }
  await storage.finish(execution, { state: 'successful' })
  return median(times)
}

const speeds: Record<'storage' | 'boss', number[]> = { storage: [], boss: [] }
for (let round = 0; round <= rounds; round++) {
  const storageSpeed = await speedOf(overStorage)
  const bossSpeed = await speedOf(overBoss)
  // The first round warms both up.
  if (round > 0) speeds.storage.push(storageSpeed)
  if (round > 0) speeds.boss.push(bossSpeed)
}
const [own, other] = [median(speeds.storage), median(speeds.boss)]
console.log(`postgresStorage  ${Math.round(own).toString().padStart(6)} jobs/s`)
console.log(`pg-boss          ${Math.round(other).toString().padStart(6)} jobs/s`)
console.log(`ratio            ${(own / other).toFixed(2).padStart(6)} x  (goal: 2)`)
console.log(
  `save             ${(await timeOfSave()).toFixed(2).padStart(6)} ms, median of ${saves} one after the other`,
)

await registry.close()
await boss.stop({ graceful: false, wait: true })
await server.stop()

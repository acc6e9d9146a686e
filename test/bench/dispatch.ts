/**
 * Empty jobs, start to finished, ten at a time, through BullMQ, against BullMQ alone: its `Queue.add`, and a `Worker` that tells
 * of the end. All in this process, in turn, on a Redis and a Postgres of their own:
 * `npx tsx test/bench/dispatch.ts [jobs per round]`.
 */
import { createPostgresBackend, Queue, Worker } from 'bullmq'
import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { postgresStorage } from 'headgate/postgres'
import { startRedis } from '../support/own-redis.js'
import { startPostgres } from '../support/postgres.js'
import { median } from './_bench.js'

const jobs = Number(process.argv[2] ?? 5000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const atOnce = 10

/** One empty job, start to finished. */
type RunOne = (lane: number) => Promise<unknown>

/** What runs jobs. */
interface Contender {
  readonly name: string
  /** How many jobs a round has, of those that are asked for. */
  readonly share: number
  readonly run: RunOne
  close(): Promise<unknown>
}

/** What keeps the queues. */
type Engine = Pick<Parameters<typeof bullmqDispatcher>[0], 'connection' | 'backend'>

const redis = await startRedis()
const postgres = await startPostgres({ max_connections: '200' })
const onRedis: Engine = { connection: { url: redis.url } }
const onPostgres: Engine = {
  connection: { connectionString: postgres.url, migrate: true },
  backend: createPostgresBackend as NonNullable<Engine['backend']>,
}

async function bare(name: string, share: number, { connection, backend }: Engine): Promise<Contender> {
  const options = { connection: connection as never }
  const queue = new Queue('bare', options, backend as never)
  const worker = new Worker('bare', async () => {}, { ...options, concurrency: atOnce }, backend as never)
  const ends = new Map<string, () => void>()
  let count = 0
  worker.on('completed', ({ id = '' }) => {
    ends.get(id)?.()
    ends.delete(id)
  })
  await worker.waitUntilReady()
  const run: RunOne = async () => {
    const jobId = `job-${count++}`
    const ended = new Promise<void>((resolve) => ends.set(jobId, resolve))
    await queue.add('empty', {}, { jobId, removeOnComplete: true })
    await ended
  }
  return { name, share, run, close: () => Promise.all([worker.close(), queue.close()]) }
}

/** Registries that share a storage and a line; jobs are started in each in turn. */
function headgate(name: string, share: number, engine: Engine, storage: JobStorage, registryCount = 1): Contender {
  const registries = Array.from({ length: registryCount }, () => {
    const dispatcher = bullmqDispatcher({ ...engine, queue: name.replaceAll(/\W+/g, '-') })
    const registry = new JobRegistry({ storage, dispatcher, concurrency: atOnce / registryCount })
    for (let lane = 0; lane < atOnce; lane++) registry.define({ type: 'bench', id: `lane-${lane}`, run: () => {} })
    return registry
  })
  const run: RunOne = async (lane) => {
    const { finished } = await (registries[lane % registryCount] as JobRegistry).start('bench', `lane-${lane}`)
    const { state } = await finished
    if (state !== 'successful') throw new Error(`Expected a successful execution, got ${state}`)
  }
  return { name, share, run, close: () => Promise.all(registries.map((registry) => registry.close())) }
}

/** Jobs per second. */
async function speedOf({ run, share }: Contender): Promise<number> {
  const count = (jobs * share) / atOnce
  const began = performance.now()
  const runLane = async (lane: number) => {
    for (let done = 0; done < count; done++) await run(lane)
  }
  await Promise.all(Array.from({ length: atOnce }, (_, lane) => runLane(lane)))
  return (count * atOnce) / ((performance.now() - began) / 1000)
}

async function measure(contenders: readonly Contender[], goal?: number): Promise<void> {
  const speeds = contenders.map((): number[] => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      const speed = await speedOf(contender)
      // The first round warms all up.
      if (round > 0) speeds[index]?.push(speed)
    }
  }
  const [base = Number.NaN] = speeds.map(median)
  for (const [index, { name }] of contenders.entries()) {
    const speed = median(speeds[index] ?? [])
    const ratio = `${(speed / base).toFixed(2)} x${index === 1 && goal !== undefined ? `  (goal: ${goal})` : ''}`
    console.log(`${name.padEnd(40)} ${Math.round(speed).toString().padStart(6)} jobs/s  ${ratio}`)
  }
  await Promise.all(contenders.map((contender) => contender.close()))
}

await measure(
  [
    await bare('BullMQ on Redis', 1, onRedis),
    headgate('headgate on it, memory storage', 1, onRedis, memoryStorage()),
    headgate('the same, ten registries', 1, onRedis, memoryStorage(), 10),
    headgate('the same, Postgres storage', 0.2, onRedis, postgresStorage({ connectionString: postgres.url })),
  ],
  0.5,
)
await measure([
  await bare('BullMQ on Postgres', 0.2, onPostgres),
  headgate('headgate on it, memory storage', 0.2, onPostgres, memoryStorage()),
  headgate('the same, Postgres storage', 0.2, onPostgres, postgresStorage({ connectionString: postgres.url })),
])
console.log(`peak memory ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`)
await Promise.all([redis.stop(), postgres.stop()])

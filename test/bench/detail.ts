/**
 * What details and lists of jobs cost: `npx tsx test/bench/detail.ts [calls per round]`.
 *
 * - A status with `detail=true` against one without, in turn, over node:http and Postgres, of an ingestion that has reported all that
 *   it can, and of one with 100 lines of log.
 * - `registry.jobs()` of 1,000 jobs with their last statuses, against 1,000 calls of `registry.status`, and its calls of the storage.
 */
import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { JobRegistry, type JobStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'
import { postgresStorage } from 'headgate/postgres'
import { startPostgres } from '../support/postgres.js'
import { median } from './_bench.js'

const calls = Number(process.argv[2] ?? 2000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 7)
const jobs = 1000
const listed = jobs - 2

const detail = {
  ...{ read: 1_000_000, written: 999_990, failed: 10, skipped: 0, consistency: 'statement', split: false },
  ...{ attempt: 1, rowsPerSecond: 51_200, bytes: 220_000_000, bytesPerSecond: 11_264_000 },
  ...{ position: '2024-01-01T00:00:03.000Z', lag: 62_000 },
}

const server = await startPostgres()
const counted = { calls: 0 }
const storage = counting(postgresStorage({ connectionString: server.url }))
const registry = new JobRegistry({ storage })
registry.define({ type: 'bench', id: 'plain', run: ({ progress }) => progress({ count: 1, detail }) })
registry.define({
  type: 'bench',
  id: 'logged',
  run({ progress, log }) {
    progress({ count: 1, detail })
    for (let line = 0; line < 100; line++) log(`line ${line}: ${'x'.repeat(60)}`)
  },
})
for (let n = 0; n < listed; n++) registry.define({ type: 'listed', id: `job-${n}`, run: () => {} })
for (const id of ['plain', 'logged']) await (await registry.start('bench', id)).finished
for (let n = 0; n < listed; n++) await (await registry.start('listed', `job-${n}`)).finished

const http = createServer(toNodeHandler(createJobsHandler(registry))).listen(0, '127.0.0.1')
await once(http, 'listening')
const agent = new Agent({ keepAlive: true, maxSockets: 1 })
const { port } = http.address() as AddressInfo

/** A storage that counts its calls. */
function counting(storage: JobStorage): JobStorage {
  return new Proxy(storage, {
    get(_, name) {
      const member = storage[name as keyof JobStorage] as unknown
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        counted.calls++
        return member.apply(storage, args)
      }
    },
  })
}

async function get(path: string): Promise<void> {
  const sent = request({ port, agent, host: '127.0.0.1', path: `/_siren/connector/jobs${path}` }).end()
  const [response] = await once(sent, 'response')
  response.resume()
  await once(response, 'end')
}

/** Milliseconds of a call, on average. */
async function timeOf(call: () => Promise<unknown>, times: number): Promise<number> {
  const began = performance.now()
  for (let done = 0; done < times; done++) await call()
  return (performance.now() - began) / times
}

for (const id of ['plain', 'logged']) {
  const paths = [`/bench/${id}`, `/bench/${id}?detail=true`]
  for (const path of paths) await timeOf(() => get(path), 500)
  const times: number[][] = [[], []]
  // In turn, call by call, so that a busy machine slows both down.
  for (let done = 0; done < rounds * calls; done++) {
    for (const [n, path] of paths.entries()) times[n]?.push(await timeOf(() => get(path), 1))
  }
  const [without = 0, withDetail = 0] = times.map(median)
  const ratio = withDetail / without
  console.log(
    `a status of [${id}]: ${without.toFixed(3)} ms; with its detail ${withDetail.toFixed(3)} ms; ${ratio.toFixed(2)} times`,
  )
}

counted.calls = 0
await registry.jobs()
const callsOfList = counted.calls
const [list, single] = [[], []] as number[][]
for (let round = 0; round < rounds; round++) {
  list?.push(await timeOf(() => registry.jobs(), 3))
  let n = 0
  single?.push(await timeOf(() => registry.status('listed', `job-${n++ % listed}`), jobs))
}
const [ofList, ofSingle] = [median(list ?? []), median(single ?? []) * jobs]
console.log(
  `a list of ${jobs} jobs: ${ofList.toFixed(1)} ms in ${callsOfList} calls of the storage; one status after the other ${ofSingle.toFixed(0)} ms; ${(ofSingle / ofList).toFixed(1)} times`,
)

agent.destroy()
http.close()
await registry.close()
await server.stop()

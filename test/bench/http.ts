/**
 * The status of a job over HTTP, by servers in processes of their own: `npm run build && npx tsx test/bench/http.ts [seconds]`.
 * Held against a bare `node:http` server that writes the same bytes, and the same route by hand in Express.
 *
 * The calls are pipelined, so that the server always has the next one and is what is measured: `busy` is the share of the
 * time that its process worked. Without pipelining, each answer to a client that has nothing else to do has to wake it, which
 * costs about as much as the call: a server slightly slower than autocannon then looks twice as slow. That is printed too, last.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import { median } from './_bench.js'

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const seconds = Number(process.argv[2] ?? 5)
const path = '/_siren/connector/jobs/report/daily'

/** The last one is what the others are held against. */
const names = ['headgate on node:http', 'headgate on Express', 'by hand on Express', 'bare node:http']

const pipelined = { connections: 10, pipelining: 50 }
const single = { connections: 50, pipelining: 1 }

/** What a server came to under one load. */
interface Sample {
  readonly perSecond: number
  /** The share of the time that the server's process worked. */
  readonly busy: number
}

/** What a server came to in one round. */
interface Round {
  readonly pipelined: Sample
  readonly single: Sample
}

async function measure(name: string): Promise<Round> {
  const file = fileURLToPath(new URL('_http-server.mjs', import.meta.url))
  const server = fork(file, [name, path], { execArgv: [] })
  const [port] = await once(server, 'message')
  const url = `http://127.0.0.1:${port}${path}`
  await autocannon({ url, ...pipelined, duration: 1 })
  const round = { pipelined: await load(server, url, pipelined), single: await load(server, url, single) }
  server.kill()
  await once(server, 'exit')
  return round
}

async function load(server: ChildProcess, url: string, by: typeof pipelined): Promise<Sample> {
  const before = await workOf(server)
  const { requests, non2xx, errors } = await autocannon({ url, ...by, duration: seconds })
  const work = (await workOf(server)) - before
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} calls failed`)
  return { perSecond: requests.total / seconds, busy: work / seconds }
}

/** The seconds that a server's process has worked. */
async function workOf(server: ChildProcess): Promise<number> {
  server.send('work')
  const [{ user, system }] = await once(server, 'message')
  return (user + system) / 1e6
}

function print(name: string, taken: readonly Round[], bare: readonly Round[]): void {
  const speedOf = (rounds: readonly Round[], by: keyof Round) => median(rounds.map((round) => round[by].perSecond))
  const ratio = (by: keyof Round) => `${(speedOf(taken, by) / speedOf(bare, by)).toFixed(2)} x`
  const busy = median(taken.map(({ pipelined }) => pipelined.busy))
  const columns = [
    name.padEnd(22),
    `${Math.round(speedOf(taken, 'pipelined')).toLocaleString('en').padStart(8)} calls/s`,
    ratio('pipelined'),
    `(busy ${(busy * 100).toFixed(0)} %)`,
    `not pipelined ${Math.round(speedOf(taken, 'single')).toLocaleString('en').padStart(8)} calls/s`,
    ratio('single'),
  ]
  console.log(columns.join('  '))
}

if (!existsSync(new URL('../../dist/index.js', import.meta.url))) {
  throw new Error('Run `npm run build` first: what is measured is the built package')
}
const taken = new Map(names.map((name) => [name, [] as Round[]]))
for (let round = 0; round < rounds; round++) {
  for (const name of names) taken.get(name)?.push(await measure(name))
}
console.log(`GET ${path}, ${rounds} rounds of ${seconds} s`)
for (const [name, rounds] of taken) print(name, rounds, taken.get('bare node:http') ?? [])

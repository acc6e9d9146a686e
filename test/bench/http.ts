/**
 * The status of a job over HTTP, by servers in processes of their own: `npx tsx test/bench/http.ts [seconds]`. Held against a
 * bare `node:http` server that writes the same bytes, and the same route by hand in Express. Speed is what autocannon saw;
 * per CPU second is what the server's own process spent, which holds where autocannon is the slower of the two.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import express from 'express'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toExpressMiddleware } from 'headgate/http/express'
import { toNodeHandler } from 'headgate/http/node'
import { median } from './_bench.js'

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const path = '/_siren/connector/jobs/report/daily'

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 10_000, lastId: '12219' }) })
const handler = createJobsHandler(registry)

/** The last one is what the others are held against. */
const servers: Record<string, () => RequestListener | Promise<RequestListener>> = {
  'headgate on node:http': () => toNodeHandler(handler),
  'headgate on Express': () => express().use(toExpressMiddleware(handler)),
  'by hand on Express': () => express().get('/_siren/connector/jobs/:type/:id', byHand),
  'bare node:http': async () => {
    const asked = { method: 'GET', url: path, headers: new Headers(), native: undefined }
    const { status, headers, body } = await handler.answer(asked)
    const text = String(body)
    return (_, response) => response.writeHead(status, headers).end(text)
  },
}

/** What somebody would write who needs this one call. */
async function byHand(request: express.Request<{ type: string; id: string }>, response: express.Response) {
  const { type, id } = request.params
  const status = await registry.status(type, id)
  if (!status) return void response.status(404).json({ _id: id, type, found: false })
  const { startTime, infos, state, count, lastId } = status
  response.set('cache-control', 'no-store').json({
    _id: id,
    type,
    found: true,
    status: {
      version: 1,
      id,
      is_running: state === 'running',
      start_time: startTime,
      ...('endTime' in status && { end_time: status.endTime }),
      infos,
      state,
      count,
      last_id: lastId,
    },
  })
}

/** What a server came to in one round. */
interface Sample {
  readonly perSecond: number
  readonly perCpuSecond: number
}

/** Serves in this process, and tells the time that it has worked whenever it is asked. */
async function serve(name: string): Promise<void> {
  await (await registry.start('report', 'daily')).finished
  const listener = await (servers[name] as (typeof servers)[string])()
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.on('message', () => process.send?.(process.cpuUsage()))
  process.send?.((server.address() as AddressInfo).port)
}

async function measure(name: string, seconds: number): Promise<Sample> {
  const server = fork(fileURLToPath(import.meta.url), ['serve', name])
  const [port] = await once(server, 'message')
  const url = `http://127.0.0.1:${port}${path}`
  await autocannon({ url, connections: 50, duration: 1 })
  const before = await workOf(server)
  const { requests, non2xx, errors } = await autocannon({ url, connections: 50, duration: seconds })
  const work = (await workOf(server)) - before
  server.kill()
  await once(server, 'exit')
  if (non2xx + errors > 0) throw new Error(`${name}: ${non2xx + errors} calls failed`)
  return { perSecond: requests.total / seconds, perCpuSecond: requests.total / work }
}

/** The seconds that a server's process has worked. */
async function workOf(server: ChildProcess): Promise<number> {
  server.send('work')
  const [{ user, system }] = await once(server, 'message')
  return (user + system) / 1e6
}

async function compare(seconds: number): Promise<void> {
  const names = Object.keys(servers)
  const samples = new Map(names.map((name) => [name, [] as Sample[]]))
  for (let round = 0; round < rounds; round++) {
    for (const name of names) samples.get(name)?.push(await measure(name, seconds))
  }
  const results = [...samples].map(([name, taken]) => ({
    name,
    perSecond: median(taken.map(({ perSecond }) => perSecond)),
    perCpuSecond: median(taken.map(({ perCpuSecond }) => perCpuSecond)),
  }))
  const bare = results.at(-1) as (typeof results)[number]
  console.log(`GET ${path}, 50 connections, ${rounds} rounds of ${seconds} s`)
  for (const { name, perSecond, perCpuSecond } of results) {
    const columns = [
      name.padEnd(22),
      `${Math.round(perSecond).toLocaleString('en').padStart(8)} calls/s`,
      `${(perSecond / bare.perSecond).toFixed(2)} x`,
      `(per CPU second ${(perCpuSecond / bare.perCpuSecond).toFixed(2)} x)`,
    ]
    console.log(columns.join('  '))
  }
}

const [first, name = ''] = process.argv.slice(2)
await (first === 'serve' ? serve(name) : compare(Number(first ?? 5)))

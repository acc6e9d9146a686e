/**
 * What a start costs a Redis, from the start to the end of an empty job over `bullmqDispatcher`: its commands, by its own
 * count, and its CPU time: `npx tsx test/bench/dispatch-costs.ts [starts]`. It needs `redis-server`, and starts one.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { Redis } from 'ioredis'

const starts = Number(process.argv[2] ?? 5000)
const atOnce = 10
const idle = 30_000

const port = await freePort()
const server = spawn('redis-server', ['--port', `${port}`, '--save', '', '--appendonly', 'no'], { stdio: 'ignore' })
const client = new Redis({ port, maxRetriesPerRequest: null })
const registry = new JobRegistry({
  storage: memoryStorage(),
  dispatcher: bullmqDispatcher({ connection: { port } }),
  concurrency: atOnce,
})
for (let lane = 0; lane < atOnce; lane++) registry.define({ type: 'bench', id: `lane-${lane}`, run: () => {} })

async function freePort(): Promise<number> {
  const probe = createServer().listen(0)
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  return port
}

async function start(n: number): Promise<void> {
  await Promise.all(
    Array.from({ length: atOnce }, async (_, lane) => {
      for (let done = 0; done < n / atOnce; done++) {
        const execution = await registry.start('bench', `lane-${lane}`)
        await execution.finished
      }
    }),
  )
}

interface Spent {
  readonly calls: Map<string, number>
  readonly cpu: number
}

async function spent(): Promise<Spent> {
  const stats = await client.info('commandstats')
  const calls = [...stats.matchAll(/cmdstat_(\S+?):calls=(\d+)/g)].map(([, name = '', n]) => [name, Number(n)] as const)
  const cpu = await client.info('cpu')
  const seconds = [...cpu.matchAll(/used_cpu_(?:user|sys):([\d.]+)/g)].reduce((sum, [, n]) => sum + Number(n), 0)
  return { calls: new Map(calls), cpu: seconds * 1000 }
}

async function costOf(work: () => Promise<unknown>): Promise<Spent> {
  const before = await spent()
  await work()
  const after = await spent()
  const calls = [...after.calls].map(([name, n]) => [name, n - (before.calls.get(name) ?? 0)] as const)
  return { calls: new Map(calls.filter(([name, n]) => n > 0 && name !== 'info')), cpu: after.cpu - before.cpu }
}

function print(title: string, { calls, cpu }: Spent, units: number): void {
  const all = [...calls].sort(([, a], [, b]) => b - a).map(([name, n]) => `${name} ${(n / units).toFixed(2)}`)
  const total = [...calls.values()].reduce((sum, n) => sum + n, 0)
  const scripts = [...calls].filter(([name]) => name.startsWith('eval')).reduce((sum, [, n]) => sum + n, 0)
  console.log(
    `${title}: ${(total / units).toFixed(1)} commands, ${(scripts / units).toFixed(1)} of them scripts that send others`,
  )
  console.log(`  CPU ${(cpu / units).toFixed(3)} ms; ${all.join(', ')}`)
}

await start(500)
const began = performance.now()
print('a start', await costOf(() => start(starts)), starts)
console.log(`  ${Math.round(starts / ((performance.now() - began) / 1000))} starts/s, ${atOnce} at once`)
await setTimeout(2000)
print('a second of a registry with nothing to do', await costOf(() => setTimeout(idle)), idle / 1000)

await registry.close()
client.disconnect()
server.kill()

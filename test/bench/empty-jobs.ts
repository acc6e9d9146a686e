/**
 * Empty jobs, start to finished, over memory storage in one process: `npx tsx test/bench/empty-jobs.ts [count]`.
 * Memory is printed along the way: with retention on, it must not grow.
 */
import { JobRegistry, memoryStorage } from 'headgate'

const total = Number(process.argv[2] ?? 1_000_000)
const atOnce = 10

await using registry = new JobRegistry({ storage: memoryStorage() })
for (let lane = 0; lane < atOnce; lane++) registry.define({ type: 'bench', id: `lane-${lane}`, run: () => {} })

const runLane = async (lane: number, count: number) => {
  for (let done = 0; done < count; done++) {
    const execution = await registry.start('bench', `lane-${lane}`)
    await execution.finished
  }
}

const steps = 10
for (let step = 1; step <= steps; step++) {
  const began = performance.now()
  const lanes = Array.from({ length: atOnce }, (_, lane) => runLane(lane, total / steps / atOnce))
  await Promise.all(lanes)
  const perSecond = Math.round(total / steps / ((performance.now() - began) / 1000))
  const { heapUsed, rss } = process.memoryUsage()
  const [heap, resident] = [heapUsed, rss].map((bytes) => `${Math.round(bytes / 2 ** 20)} MiB`)
  console.log(`${(total / steps) * step} jobs: ${perSecond} per second, heap ${heap}, resident ${resident}`)
}
const { maxRSS } = process.resourceUsage()
console.log(`peak memory ${Math.round(maxRSS / 1024)} MiB`)

/**
 * One job of 4 M rows in 4 parts over two processes, which share a line on BullMQ in Postgres, against one process that does it
 * without parts: `npx tsx test/bench/partitions.ts`. It tells what the processes of Node and all of the machine worked
 * meanwhile, as that is what bounds it: the rest is Postgres, if the machine has nothing else to do.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { runMigrations } from 'bullmq'
import pg from 'pg'
import { bench, type Seen, type Task, timed } from './_bench.js'
import { prepare } from './_copy.js'
import { openRegistry, type Taken, taken } from './_parts.js'

await bench(
  import.meta.url,
  { 'in 4 parts, two processes': (task) => copy(task, 4), 'without parts, one process': (task) => copy(task) },
  async (measure) => {
    const rows = Number(process.env.BENCH_ROWS ?? 4_000_000)
    await measure('Postgres to Postgres', rows, ['in 4 parts, two processes', 'without parts, one process'])
  },
)

async function copy(task: Task, partitions?: number): Promise<Seen> {
  await prepare(task)
  await migrate(task)
  await using registry = openRegistry(task, partitions)
  await registry.running('ingestion')
  const stopHelper = partitions === undefined ? async () => [] : await help(task)
  const [before, busyBefore] = [taken(), busySeconds()]
  const start = performance.now()
  const { state, count } = await timed(async () => {
    const { finished } = await registry.start('ingestion', `bench-${partitions ?? 'whole'}`)
    return finished
  })
  const seconds = (performance.now() - start) / 1000
  const busy = busySeconds() - busyBefore
  const others = await stopHelper()
  const own = taken()
  const ofNode = others.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, own.cpuSeconds - before.cpuSeconds)
  const figures = [seconds, ofNode, busy].map((figure) => figure.toFixed(1))
  console.log(`${figures[0]} s: ${figures[1]} CPU seconds of Node, ${figures[2]} of all on ${cpus().length} processors`)
  return {
    rows: state === 'successful' ? count : Number.NaN,
    peak: [own, ...others].reduce((sum, { peak }) => sum + peak, 0),
  }
}

async function migrate({ url }: Task): Promise<void> {
  const pool = new pg.Pool({ connectionString: url })
  await runMigrations(pool)
  await pool.end()
}

/** Starts a process that helps. Gives what stops it, and tells what it took. */
async function help(task: Task): Promise<() => Promise<Taken[]>> {
  const child = fork(fileURLToPath(new URL('_parts.ts', import.meta.url)), [JSON.stringify(task)])
  await once(child, 'message')
  return async () => {
    child.send('stop')
    const [answer] = (await once(child, 'message')) as [Taken]
    return [answer]
  }
}

/** How long all processors have worked, in seconds. */
function busySeconds(): number {
  const of = ({ user, sys, nice, irq }: ReturnType<typeof cpus>[number]['times']) => user + sys + nice + irq
  return cpus().reduce((sum, { times }) => sum + of(times), 0) / 1000
}

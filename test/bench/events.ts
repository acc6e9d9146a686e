/**
 * Open streams of events, all read by one other process, with 10 jobs that run: `npx tsx test/bench/events.ts [streams]`.
 * Printed are the memory that the server's process takes per stream, and the time from a change of a status to the last
 * stream that has told of it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'

/** How many jobs run, and how many changes are timed. */
const jobs = 10
const changes = 40

const [mark = '1000', port = '', streams = ''] = process.argv.slice(2)
if (mark === 'read') readAll(Number(port), Number(streams))
else await measure(Number(mark))

/** The other process: says when all streams are open, and when all have told of a job. */
function readAll(port: number, streams: number): void {
  const told = new Map<string, number>()
  let opened = 0
  const open = () => {
    get({ port, host: '127.0.0.1', path: '/_events', agent: false }, (response) => {
      response.once('data', () => {
        opened++
        if (opened < streams) open()
        else process.send?.('open')
      })
      response.setEncoding('utf8').on('data', (text: string) => {
        for (const [, id = ''] of text.matchAll(/"id":"(mark-\d+)".{0,200}"successful"/g)) {
          const seen = (told.get(id) ?? 0) + 1
          told.set(id, seen)
          if (seen === streams) process.send?.({ id, time: now() })
        }
      })
    })
  }
  open()
  process.on('disconnect', () => process.exit())
}

async function measure(streams: number): Promise<void> {
  const registry = new JobRegistry({ storage: memoryStorage() })
  for (let job = 0; job < jobs; job++) {
    registry.define({
      type: 'load',
      id: `load-${job}`,
      async run({ signal, progress }) {
        for (let count = 1; !signal.aborted; count++) {
          progress({ count })
          await setTimeout(20)
        }
      },
    })
    await registry.start('load', `load-${job}`)
  }
  const server = createServer(toNodeHandler(createJobsHandler(registry, { basePath: '/' }))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  // The first streams bring the code with them.
  await warmUp(server.address() as AddressInfo)
  const before = await held()
  const reader = fork(fileURLToPath(import.meta.url), [
    'read',
    String((server.address() as AddressInfo).port),
    String(streams),
  ])
  await once(reader, 'message')
  const after = await held()
  const perStream = (field: 'rss' | 'heap') => `${((after[field] - before[field]) / streams / 1000).toFixed(1)} kB`
  console.log(`${streams} streams: ${perStream('rss')} of memory per stream, ${perStream('heap')} of it on the heap`)
  const taken = await timeChanges(registry, reader)
  taken.sort((a, b) => a - b)
  const at = (part: number) => `${taken[Math.floor((taken.length - 1) * part)]?.toFixed(0)} ms`
  console.log(`a change reaches all: median ${at(0.5)}, 90 % ${at(0.9)}, longest ${at(1)}, of ${changes} changes`)
  reader.disconnect()
  await once(reader, 'exit')
  server.closeAllConnections()
  server.close()
  await registry.close()
}

async function timeChanges(registry: JobRegistry, reader: ChildProcess): Promise<number[]> {
  const taken: number[] = []
  for (let change = 0; change < changes; change++) {
    const id = `mark-${change}`
    registry.define({ type: 'mark', id, run: () => {} })
    let ended = 0
    registry.once('successful', () => {
      ended = now()
    })
    const seen = once(reader, 'message')
    await registry.start('mark', id)
    const [{ time }] = await seen
    taken.push(time - ended)
    await setTimeout(50)
  }
  return taken
}

async function warmUp({ port }: AddressInfo): Promise<void> {
  const reader = fork(fileURLToPath(import.meta.url), ['read', String(port), '50'])
  await once(reader, 'message')
  reader.disconnect()
  await once(reader, 'exit')
}

/** The memory that this process holds, in bytes, with what is garbage taken away. */
async function held(): Promise<{ rss: number; heap: number }> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let time = 0; time < 3; time++) {
    collect()
    await setTimeout(200)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heap: heapUsed + external }
}

/** The time, the same in both processes. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

/**
 * The page of the dashboard over 1,000 jobs, 50 of them running, in Chromium on loopback: `npx tsx test/bench/dashboard.ts`
 * prints when it first paints and when it shows the list. `npx tsx test/bench/dashboard.ts 60` also leaves it open for so many
 * minutes with 100 events per second, and prints what it and the server take meanwhile.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadavg } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { JobRegistry, memoryStorage } from 'headgate'
import { createDashboardHandler } from 'headgate/dashboard'
import { toNodeHandler } from 'headgate/http/node'
import type { BrowserContext, CDPSession, Page } from 'playwright-core'
import { openChromium } from '../support/chromium.js'
import { median } from './_bench.js'

const jobs = 1000
const running = 50

/** How long a job that runs waits between two reports, in milliseconds: together, 100 events per second. */
const reportEvery = 500

const rounds = 2 * Number(process.env.BENCH_ROUNDS ?? 5)

/** Notes the first frame that has a row of the list of jobs. */
const noteList = `window.listAt = new Promise((resolve) => {
  new MutationObserver((_, observer) => {
    if (!document.querySelector('.list tbody tr')) return
    observer.disconnect()
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now())))
  }).observe(document, { childList: true, subtree: true })
})`

const [mark = '0'] = process.argv.slice(2)
if (mark === 'serve') await serve()
else await measure(Number(mark))

/** The other process: serves the dashboard, and tells how long it has worked. */
async function serve(): Promise<void> {
  const registry = new JobRegistry({ storage: memoryStorage(), node: 'worker-1' })
  for (let job = 0; job < jobs; job++) await defineJob(registry, job)
  const server = createServer(toNodeHandler(createDashboardHandler(registry))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.on('message', () => process.send?.(process.cpuUsage()))
  process.on('disconnect', () => process.exit())
  process.send?.((server.address() as AddressInfo).port)
}

async function defineJob(registry: JobRegistry, job: number): Promise<void> {
  const id = `table-${String(job).padStart(4, '0')}`
  const isRunning = job % (jobs / running) === 0
  registry.define({
    type: 'copy',
    id,
    ...(job % 5 === 1 && { schedule: { cron: '0 3 * * *', timeZone: 'Europe/Berlin' } }),
    async run({ signal, progress, complete }) {
      for (let count = 1000; isRunning && !signal.aborted; count += 1000) {
        progress({ count, detail: { total: 10_000_000, bytes: count * 180 } })
        await setTimeout(reportEvery)
      }
      progress({ count: job * 100 })
      if (job % 50 === 3) throw new Error('Could not copy.', { cause: new Error('The disk is full.') })
      complete()
    },
  })
  const { finished } = await registry.start('copy', id)
  if (!isRunning) await finished
}

async function measure(minutes: number): Promise<void> {
  const server = fork(fileURLToPath(import.meta.url), ['serve'])
  const [port] = await once(server, 'message')
  const url = `http://127.0.0.1:${port}/dashboard/`
  const { browser, close } = await openChromium()
  try {
    if (rounds > 0) await measurePaint(browser, url)
    if (minutes > 0) await stayOpen({ browser, url, server, minutes })
  } finally {
    await close()
    server.disconnect()
    await once(server, 'exit')
  }
}

/** When something was there, in milliseconds after the navigation began, and what that took of the processors. */
interface Paint {
  readonly first: number
  readonly list: number
  /** The milliseconds that the processes of the pages worked, which a busy machine hardly changes. */
  readonly work: number
}

async function measurePaint(browser: BrowserContext, url: string): Promise<void> {
  const load = loadavg()[0]?.toFixed(1)
  // A page that its browser has not seen yet, and one whose files it has kept.
  const cold: Paint[] = []
  const warm: Paint[] = []
  for (let round = 0; round <= rounds; round++) {
    const [first, again] = [await paintOf(browser, url, true), await paintOf(browser, url, false)]
    // The first round starts the processes of the browser.
    if (round === 0) continue
    cold.push(first)
    warm.push(again)
  }
  console.log(`${jobs} jobs, ${running} running, ${rounds} rounds, load ${load}`)
  for (const [name, taken] of Object.entries({ 'first visit': cold, 'files kept': warm }))
    console.log(
      `${name.padEnd(12)}  first paint ${spread(taken, 'first')}  list ${spread(taken, 'list')}  work ${spread(taken, 'work')}`,
    )
}

async function paintOf(browser: BrowserContext, url: string, isFirstVisit: boolean): Promise<Paint> {
  const page = await browser.newPage()
  const devtools = await browser.newCDPSession(page)
  if (isFirstVisit) await devtools.send('Network.clearBrowserCache')
  await page.addInitScript(noteList)
  const before = await workOfPages(browser)
  await page.goto(url)
  const list = await page.evaluate('window.listAt')
  const work = (await workOfPages(browser)) - before
  const first = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
  await page.close()
  return { first: Number(first), list: Number(list), work }
}

/** How long the processes of all pages have worked, in milliseconds. */
async function workOfPages(browser: BrowserContext): Promise<number> {
  const devtools = await browser.browser()?.newBrowserCDPSession()
  const { processInfo = [] } = (await devtools?.send('SystemInfo.getProcessInfo')) ?? {}
  await devtools?.detach()
  const pages = processInfo.filter(({ type }) => type === 'renderer')
  return 1000 * pages.reduce((sum, { cpuTime }) => sum + cpuTime, 0)
}

function spread(taken: readonly Paint[], what: keyof Paint): string {
  const times = taken.map((paint) => paint[what])
  const [least, middle, most] = [Math.min(...times), median(times), Math.max(...times)].map(Math.round)
  return `${middle} ms (${least}–${most})`
}

interface Stay {
  readonly browser: BrowserContext
  readonly url: string
  readonly server: ChildProcess
  readonly minutes: number
}

/** Leaves the page open, and prints every five minutes what it holds. */
async function stayOpen({ browser, url, server, minutes }: Stay): Promise<void> {
  console.log(`${await eventsPerSecond(url)} events per second`)
  const alone = await loadOf(server, () => setTimeout(30_000))
  const page = await browser.newPage()
  const devtools = await browser.newCDPSession(page)
  await devtools.send('Performance.enable')
  await page.goto(url)
  for (let passed = 0; passed < minutes; passed += 5) {
    const span = Math.min(5, minutes - passed)
    const before = await figuresOf(devtools)
    let most = 0
    const busy = await loadOf(server, async () => {
      for (let sample = 0; sample < span * 6; sample++) {
        await setTimeout(10_000)
        most = Math.max(most, (await figuresOf(devtools)).heap)
      }
    })
    const { heap, work, nodes } = await figuresOf(devtools)
    const columns = [
      `${String(passed + span).padStart(3)} min`,
      `heap ${heap.toFixed(1)} MB, at most ${most.toFixed(1)} MB`,
      `${nodes} nodes`,
      `page busy ${percent((work - before.work) / (span * 60))}`,
      `server busy ${percent(busy)}, ${percent(alone)} of it without the page`,
    ]
    console.log(columns.join('  '))
  }
  await printEnd(page, devtools)
}

/** How many statuses a stream of events has told in a second. */
async function eventsPerSecond(url: string): Promise<number> {
  const seconds = 5
  const { body } = await fetch(`${url}api/_events`, { signal: AbortSignal.timeout(1000 * seconds) })
  let told = 0
  const decoder = new TextDecoder()
  try {
    for await (const bytes of body ?? []) told += decoder.decode(bytes, { stream: true }).split('\ndata:').length - 1
  } catch {
    // The time is over.
  }
  return Math.round(told / seconds)
}

async function printEnd(page: Page, devtools: CDPSession): Promise<void> {
  await devtools.send('HeapProfiler.collectGarbage')
  const { heap } = await figuresOf(devtools)
  console.log(`in the end ${heap.toFixed(1)} MB without garbage, ${await page.locator('.list tbody tr').count()} rows`)
}

interface Figures {
  /** In megabytes. */
  readonly heap: number
  /** How long the page has worked, in seconds. */
  readonly work: number
  readonly nodes: number
}

async function figuresOf(devtools: CDPSession): Promise<Figures> {
  const { metrics } = await devtools.send('Performance.getMetrics')
  const read = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? Number.NaN
  return { heap: read('JSHeapUsedSize') / 1e6, work: read('TaskDuration'), nodes: read('Nodes') }
}

/** The share of a core that the server's process works, while something else goes on. */
async function loadOf(server: ChildProcess, meanwhile: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  const before = await workOf(server)
  await meanwhile()
  return (1000 * ((await workOf(server)) - before)) / (performance.now() - start)
}

/** The seconds that a server's process has worked. */
async function workOf(server: ChildProcess): Promise<number> {
  server.send('work')
  const [{ user, system }] = await once(server, 'message')
  return (user + system) / 1e6
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

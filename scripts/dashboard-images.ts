/** Takes the pictures of the dashboard in `docs/images`, of the jobs of `npm run dashboard`: `npx tsx scripts/dashboard-images.ts [folder]`. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { JobRegistry } from 'headgate'
import { toNodeHandler } from 'headgate/http/node'
import { postgresDatasource, postgresStorage } from 'headgate/postgres'
import pg from 'pg'
import type { Page } from 'playwright-core'
import { createTables, defineJobs, startJobs } from '../examples/dashboard/jobs.js'
import { openChromium } from '../test/support/chromium.js'
import { startPostgres } from '../test/support/postgres.js'
import { buildPage } from './build-page.js'

const {
  argv: [, , folder = fileURLToPath(new URL('../docs/images', import.meta.url))],
} = process

/** A picture of a view. */
interface Picture {
  readonly name: string
  readonly hash: string
  /** What the view waits for, as a selector. */
  readonly ready: string
  readonly height: number
  readonly width?: number
  readonly isDark?: boolean
}

/** While the others run. */
const running: Picture = {
  ...{ name: 'ingestion', hash: '#/job/ingestion/visits', ready: '.strip-part.is-successful' },
  ...{ height: 1000, isDark: true },
}

const pictures: readonly Picture[] = [
  { name: 'jobs', hash: '#/', ready: '.running .sparkline', height: 1260 },
  { name: 'job', hash: '#/job/ingestion/customers', ready: '.steps', height: 716 },
  { name: 'failed-records', hash: '#/job/ingestion/members', ready: '.failures', height: 860 },
  { name: 'replaced', hash: '#/job/ingestion/products', ready: '.swap', height: 575, isDark: true },
  { name: 'log', hash: '#/log?type=ingestion', ready: '.table', height: 700, isDark: true },
  { name: 'phone', hash: '#/', ready: '.running .sparkline', height: 812, width: 375, isDark: true },
]

await buildPage()
// It holds the page that it was built with.
const { createDashboardHandler } = await import('headgate/dashboard')
const postgres = await startPostgres()
const pool = new pg.Pool({ connectionString: postgres.url, max: 24 })
await createTables(pool)
const registry = new JobRegistry({
  storage: postgresStorage({ pool }),
  node: 'worker-1',
  datasources: {
    shop: postgresDatasource({ pool }),
    web: postgresDatasource({ pool }),
    warehouse: postgresDatasource({ pool }),
    legacy: postgresDatasource({ connectionString: 'postgres://reader:secret@127.0.0.1:1/legacy' }),
  },
  concurrency: { datasources: { warehouse: 1, web: 5 } },
})
defineJobs(registry, pool)
const handler = createDashboardHandler(registry, { title: 'Shop' })
const server = createServer(toNodeHandler(handler)).listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dashboard/`
const { browser, close } = await openChromium()
try {
  const started = startJobs(registry, 4)
  const page = await browser.newPage()
  await take(page, running)
  await started
  for (const picture of pictures) await take(page, picture)
} finally {
  await close()
  handler.endStreams()
  server.closeAllConnections()
  server.close()
  await registry.close()
  await pool.end()
  await postgres.stop()
}

async function take(page: Page, { name, hash, ready, height, width = 1120, isDark = false }: Picture): Promise<void> {
  await page.emulateMedia({ colorScheme: isDark ? 'dark' : 'light' })
  await page.setViewportSize({ width, height })
  await page.goto(url + hash)
  await page.locator(ready).first().waitFor({ timeout: 90_000 })
  await setTimeout(1000)
  await page.screenshot({ path: `${folder}/dashboard-${name}.png` })
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { lacksChromium, openChromium, openPage } from '../support/chromium.js'
import { exampleProgram } from '../support/program.js'

async function serve(port = 0): Promise<{ process: ChildProcess; port: number }> {
  const server = spawn(process.execPath, [await exampleProgram('client-page/index.ts')], {
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [printed] = await once(server.stdout.setEncoding('utf8'), 'data')
  return { process: server, port: Number(/port: (\d+)/.exec(printed)?.[1]) }
}

async function stop({ process }: { process: ChildProcess }): Promise<void> {
  process.kill()
  await once(process, 'exit')
}

describe.skipIf(lacksChromium)('in a browser', () => {
  let close: () => Promise<void>
  let browser: BrowserContext
  let server: Awaited<ReturnType<typeof serve>>
  let page: Page
  let errors: string[]

  beforeAll(async () => {
    ;({ browser, close } = await openChromium())
  }, 90_000)
  afterAll(() => close?.())

  beforeEach(async () => {
    server = await serve()
    ;({ page, errors } = await openPage(browser))
    await page.goto(`http://localhost:${server.port}`)
  })
  afterEach(async () => {
    await page.close()
    await stop(server)
    expect(errors).toEqual([])
  })

  const stateOf = (id: string, state: string) => page.locator(`#${id}`, { hasText: state }).waitFor()
  const click = (id: string, text: string) => page.locator(`#${id}`).getByText(text).click()

  test('a page lists, starts and aborts jobs, and shows what happens', async () => {
    await stateOf('customers', 'never ran')
    await click('customers', 'Start')
    await stateOf('customers', 'running')
    const count = page.locator('#customers td:nth-child(3)')
    await expect.poll(async () => Number(await count.textContent()), { timeout: 5000 }).toBeGreaterThan(3)
    await click('customers', 'Start')
    await page.getByText('already_running: Job [copy/customers] is already running.').waitFor()
    await click('customers', 'Abort')
    await stateOf('customers', 'aborted')
    await stateOf('orders', 'never ran')
  })

  test('a page goes on when the server is back', { retry: 2 }, async () => {
    await stateOf('orders', 'never ran')
    await stop(server)
    server = await serve(server.port)
    // Until the page is connected again: the job may end before.
    const startedAgain = async () => {
      await fetch(`http://localhost:${server.port}/jobs/copy/orders/_start`, { method: 'POST' })
      return page.locator('#orders').textContent()
    }
    await expect.poll(startedAgain, { timeout: 45_000, interval: 200 }).toContain('running')
  })

  test('the client does in it what it does elsewhere', async () => {
    // As text: what runs tests would rewrite the import.
    const seen = await page.evaluate(`(async () => {
      const { JobsClient } = await import('/client.js')
      const client = new JobsClient({ url: '/jobs' })
      const started = await client.start('copy', 'orders')
      const over = new AbortController()
      const gaveUp = client.waitFor('copy', 'orders', { signal: over.signal }).catch((error) => error)
      over.abort('enough')
      const ended = client.waitFor('copy', 'orders')
      const aborted = await client.abort('copy', 'orders')
      const { total, hits } = await client.search({ type: 'copy' })
      const code = await client.start('copy', 'nobody').catch((error) => error.code)
      const running = await client.running('copy')
      return [started.state, await gaveUp, (await ended).state, aborted.state, total, hits[0].state, code, running.length]
    })()`)
    expect(seen).toEqual(['running', 'enough', 'aborted', 'aborted', 1, 'aborted', 'not_defined', 0])
  })
})

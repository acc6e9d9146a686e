import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'

/** Debian's, from `apt-get install chromium`. */
const executablePath = '/usr/bin/chromium'

/** Without Chromium, its tests are skipped, but in CI they fail. */
export const lacksChromium = !existsSync(executablePath) && !process.env.CI

const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** A browser with a profile of its own, that `close` removes. */
export async function openChromium(): Promise<{ browser: BrowserContext; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-browser-'))
  const browser = await chromium.launchPersistentContext(folder, { executablePath, args, timeout: 60_000 })
  const close = async () => {
    await browser.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { browser, close }
}

/** A new page, and the errors that nothing in it has caught. */
export async function openPage(browser: BrowserContext): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error)))
  return { page, errors }
}

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { BrowserContext, Page, Request, Route } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { iterableDatasource } from '../../src/adapters/iterable/index.js'
import type { ServedRegistry } from '../../src/http/index.js'
import { type EndedStatus, type JobContext, JobError, type Schedule } from '../../src/index.js'
import { collectingTarget, testDatasource } from '../../src/testing/index.js'
import { lacksChromium, openChromium } from '../support/chromium.js'
import { defineCounting, defineFailing, serveDashboard, watchedRegistry } from './served.js'

const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

describe.skipIf(lacksChromium)('the page of the dashboard', () => {
  let browser: BrowserContext
  let close: () => Promise<void>
  let page: Page
  const errors: string[] = []

  beforeAll(async () => {
    ;({ browser, close } = await openChromium())
    await openPage()
  }, 90_000)
  afterAll(() => close?.())

  /** A page of its own would take each test a process, and half a second. */
  async function openPage(): Promise<void> {
    page = await browser.newPage()
    await page.setViewportSize({ width: 1280, height: 800 })
    page.on('pageerror', (error) => errors.push(String(error)))
    // The policy of the page is strict: nothing of the page may be refused by it.
    page.on('console', (message) => message.text().includes('Content Security') && errors.push(message.text()))
    page.setDefaultTimeout(8000)
  }
  afterEach(async () => {
    await page.unrouteAll({ behavior: 'ignoreErrors' })
    await page.goto('about:blank')
    expect(errors.splice(0)).toEqual([])
  })

  const button = (name: string | RegExp) => page.getByRole('button', { name })
  const text = (words: string | RegExp) => page.getByText(words).first().waitFor()
  const section = (name: string) => page.getByRole('region', { name })

  /** A registry with a job of each fate. */
  async function everyFate(): Promise<ReturnType<typeof watchedRegistry>> {
    const served = watchedRegistry({ concurrency: { process: 1 } })
    const { registry } = served
    defineCounting(registry, 'running')
    defineCounting(registry, 'queued')
    defineFailing(registry, 'failing')
    registry.define({ type: 'copy', id: 'scheduled', run: () => {}, schedule: { cron: '0 3 * * *' } })
    registry.define({ type: 'copy', id: 'paused', run: () => {} })
    registry.define({ type: 'copy', id: 'done', run: ({ progress }) => progress({ count: 7 }) })
    registry.define({ type: 'copy', id: 'inside', run: ({ progress }) => progress({ count: 40, detail: ingested }) })
    for (const id of ['failing', 'done', 'inside']) await (await registry.start('copy', id)).finished
    await registry.pause('copy', 'paused', { reason: 'The source is being moved', by: 'ann' })
    await registry.start('copy', 'running')
    await registry.start('copy', 'queued')
    return served
  }

  describe('shows', () => {
    test('all jobs: what runs, live, what fails and why, what waits, and what is next', async () => {
      const { watched } = await everyFate()
      const { url } = await serveDashboard(watched, { title: 'Shop' })
      await page.goto(url)
      await section('Failing now').getByText('Could not copy.').waitFor()
      await section('Failing now').getByText('because ENOSPC').waitFor()
      const figure = section('Running').locator('.figure strong').first()
      await expect.poll(async () => Number((await figure.textContent())?.replace(',', ''))).toBeGreaterThan(300)
      await section('Running').getByText('/s').waitFor()
      for (const tile of ['1Running', '1Failing', '1Queued', '1Scheduled', '1Paused'])
        await page
          .getByRole('link', { name: tile.replace('1', '1 ') })
          .or(page.locator('.tile', { hasText: tile }))
          .first()
          .waitFor()
      await section('Queued').getByText('waits for').waitFor()
      await text('Healthy')
      await text('Live')
      await page.locator('tr', { hasText: 'paused' }).getByText('Paused', { exact: true }).waitFor()
      await page.locator('tr', { hasText: 'paused' }).getByText('by ann: The source is being moved').waitFor()
      expect(await page.title()).toBe('Shop')
    })

    test('many jobs by one list, the first of those that run, and how far each one is', async () => {
      const { registry, watched } = watchedRegistry()
      const detail = { total: 400 }
      const run = ({ signal, progress }: JobContext) =>
        new Promise<void>((resolve) => {
          progress({ count: 100, detail })
          signal.addEventListener('abort', () => resolve())
        })
      for (let job = 0; job < 60; job++) registry.define({ type: 'copy', id: `job-${100 + job}`, run })
      for (let job = 0; job < 14; job++) await registry.start('copy', `job-${100 + job}`)
      const { url } = await serveDashboard(watched)
      const asked: string[] = []
      const note = (request: Request) => asked.push(new URL(request.url()).pathname.replace(/.*\/api/, ''))
      page.on('request', note)
      await page.goto(url)
      await page.locator('.list tbody tr').first().waitFor()
      page.off('request', note)
      // One read of the list, and a second one if the page takes longer to draw than it waits for that. None is about a single job.
      expect(asked.filter((path) => path === '/').length).toBeLessThanOrEqual(2)
      expect(asked.filter((path) => path.startsWith('/copy'))).toEqual([])
      expect(await page.locator('.list tbody tr').count()).toBe(50)
      await page.locator('.list tr', { hasText: 'job-113' }).getByText('25 %').waitFor()
      expect(await section('Running').locator('.card').count()).toBe(12)
      // The whole list costs no more than the rows in view.
      await button('Show all 60').click()
      await expect.poll(() => page.locator('.list tbody tr').count()).toBe(60)
      const row = "document.querySelector('.list tbody tr')"
      expect(await page.evaluate(`getComputedStyle(${row}).contentVisibility`)).toBe('auto')
      const places = (cells: string) =>
        page.evaluate(`[...document.querySelectorAll('${cells}')].map((cell) => cell.getBoundingClientRect().left)`)
      expect(await places('.list tbody tr:first-child td')).toEqual(await places('.list thead th'))
      await page.getByRole('row', { name: /job-159/ }).waitFor({ state: 'attached' })
      await button('Show all 14 that run').click()
      await expect.poll(() => section('Running').locator('.card').count()).toBe(14)
    })

    test('the jobs that somebody looks for, by an address', async () => {
      const { watched } = await everyFate()
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await page.locator('.tile', { hasText: 'Failing' }).click()
      await expect.poll(() => page.locator('.list tbody tr').count()).toBe(1)
      expect(page.url()).toContain('#/?show=failing')
      await page.goto(`${url}#/?find=sched`)
      await expect
        .poll(() => page.locator('.list tbody tr').allInnerTexts())
        .toEqual([expect.stringContaining('scheduled')])
      await page.locator('body').press('/')
      await page.keyboard.type('nothing')
      await text('No jobs match')
      // The only hit is opened by its name alone, and nothing while there are more.
      const field = page.getByRole('searchbox', { name: 'Find jobs' })
      await field.fill('copy')
      await field.press('Enter')
      await field.fill('done')
      await field.press('Enter')
      await expect.poll(() => page.locator('h1').innerText()).toBe('copy/done')
    })

    test('a job: why it failed, what it was started with, what it logged, and how it did before', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({
        type: 'report',
        id: 'daily',
        run({ params, log, progress, complete }) {
          log('About to read.')
          progress({ count: Number(params.count ?? 0) })
          if (params.fails) throw new Error('No report.', { cause: new Error('The printer burns.') })
          complete()
        },
      })
      for (const params of [{ count: 1 }, { count: 3 }, { count: 2, fails: true }])
        await (await registry.start('report', 'daily', { params })).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/report/daily`)
      await expect.poll(() => page.locator('.causes').innerText()).toMatch(/No report\..*because.*The printer burns\./s)
      await section('Log lines').getByText('About to read.').waitFor()
      await page.getByText('"fails": true').waitFor()
      await expect.poll(() => page.locator('.column').count()).toBe(3)
      const remedy = `${'It says much. '.repeat(35)}Then it says what to do.`
      registry.define({
        type: 'report',
        id: 'long',
        run() {
          throw new Error(remedy)
        },
      })
      await (await registry.start('report', 'long')).finished
      await page.goto(url)
      await section('Failing now').getByText('Then it says what to do.').waitFor()
      await page.goto(`${url}#/job/report/daily`)
      // An older run, by the keyboard.
      await page.locator('.column').last().focus()
      await page.keyboard.press('ArrowLeft')
      await page.keyboard.press('Enter')
      await text('This is the run of')
      await page.reload()
      await page.getByText('"count": 3').waitFor()
      await page.getByText('Show the last run').click()
      await page.getByText('"fails": true').waitFor()
    })

    test('what an ingestion reports, and how far a job is that knows its total', async () => {
      const { registry, watched } = watchedRegistry()
      const datasource = iterableDatasource(() => [1, 2, 3, 4].map((id) => ({ id })))
      const transform = ({ id }: { id: number }) => (id === 1 ? null : { id })
      registry.define({ id: 'a', datasource, transform, target: collectingTarget() })
      await (await registry.start('ingestion', 'a')).finished
      registry.define({
        type: 'copy',
        id: 'long',
        async run({ signal, progress }) {
          for (let count = 100; !signal.aborted; count += 10) {
            progress({ count, detail: { total: 4000 } })
            await new Promise((resolve) => setTimeout(resolve, 50))
          }
        },
      })
      await registry.start('copy', 'long')
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/a`)
      await expect
        .poll(() => page.locator('.sum').innerText())
        .toMatch(/4 read\s+=\s*3 written\s+\+\s*0 failed\s+\+\s*1 skipped/)
      await section('Records').getByText('On average').waitFor()
      await page.goto(url)
      await section('Running').getByText('of 4,000').waitFor()
      await section('Running').getByText('left').waitFor()
      // Another view knows at once what a list of jobs does not tell.
      await page.locator('.list').getByRole('link', { name: 'ingestion/a' }).click()
      const read = page.waitForResponse(/_search.*state=running/)
      await section('Records').waitFor()
      await read
      await page.getByRole('link', { name: 'Jobs' }).first().click()
      await section('Running').getByText('of 4,000').waitFor({ timeout: 1000 })
      expect(Number(await section('Running').getByRole('progressbar').getAttribute('aria-valuenow'))).toBeGreaterThan(1)
    })

    test('figures of one moment, and one rate, which is that of the server at first', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({
        type: 'copy',
        id: 'a',
        async run({ signal, progress }) {
          for (let count = 1; !signal.aborted; count++) {
            // What it reports of itself fits its count. Its rate is none that a page could measure.
            const detail = {
              total: 3000,
              read: 10 * count,
              written: 10 * count,
              failed: 0,
              skipped: 0,
              rowsPerSecond: 7,
            }
            progress({ count: 10 * count, detail })
            await new Promise((resolve) => setTimeout(resolve, 20))
          }
        },
      })
      await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await section('Now').getByText('of 3,000').waitFor()
      const numbers = `(() => {
        const text = (element) => document.querySelector(element).innerText.replaceAll(',', '')
        const figures = text('.now .figures')
        const facts = [...document.querySelectorAll('.job-side .facts > div')].find((div) => /^Count/.test(div.innerText))
        const number = (words, form) => Number(form.exec(words)[1])
        return {
          counts: [number(figures, /(\\d+) of/), number(text('.sum'), /(\\d+) read/), number(facts.innerText.replaceAll(',', ''), /(\\d+)/)],
          percent: number(figures, /([\\d.]+) %/),
          rate: number(figures, /([\\d.]+)\\/s/),
        }
      })()`
      for (let look = 0; look < 20; look++) {
        const { counts, percent, rate } = (await page.evaluate(numbers)) as Record<string, number> & {
          counts: number[]
        }
        expect(new Set(counts).size, String(counts)).toBe(1)
        const exact = (100 * Number(counts[0])) / 3000
        expect(percent).toBe(exact < 10 ? Math.round(10 * exact) / 10 : Math.round(exact))
        expect(rate).toBe(7)
        await page.waitForTimeout(100)
      }
    })

    test('100 % of no run that goes on, and its rate from its start', async () => {
      const { registry, watched } = watchedRegistry()
      const run = ({ signal, progress }: JobContext) =>
        new Promise<void>((resolve) => {
          let count = 9960
          const report = () => progress({ count: Math.min(9999, ++count), detail: { total: 10_000 } })
          const timer = setInterval(report, 300)
          signal.addEventListener('abort', () => {
            clearInterval(timer)
            resolve()
          })
        })
      registry.define({ type: 'copy', id: 'a', run })
      await registry.start('copy', 'a')
      await page.waitForTimeout(2000)
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await section('Now').getByText('99 %').waitFor()
      await page.locator('.course').getByText('on average before this page was opened').waitFor()
      const [first = ''] = ((await page.locator('.course-before').getAttribute('points')) ?? '').split(' ')
      expect(first).toMatch(/^0,/)
    })

    test('the rate of a run from its first second, at the place that it keeps, and as it is', async () => {
      const { registry, watched } = watchedRegistry()
      // 1,000 per second, evenly.
      const run = ({ signal, progress }: JobContext) =>
        new Promise<void>((resolve) => {
          const begun = performance.now()
          const timer = setInterval(() => progress({ count: Math.round(performance.now() - begun) }), 50)
          signal.addEventListener('abort', () => {
            clearInterval(timer)
            resolve()
          })
        })
      registry.define({ type: 'copy', id: 'a', run })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await button('Start copy/a').click()
      await page.locator('.course').waitFor()
      const look = `(() => {
        const points = [...document.querySelectorAll('.course polyline')].flatMap((line) => line.getAttribute('points').trim().split(' '))
        const xs = points.filter(Boolean).map((point) => Number(point.split(',')[0]))
        return {
          height: document.querySelector('.now .card').clientHeight,
          from: Math.min(...xs),
          to: Math.max(...xs),
          text: document.querySelector('.course-caption :nth-child(2)').innerText,
        }
      })()`
      const texts = new Set<string>()
      const { height } = (await page.evaluate(look)) as { height: number }
      for (let at = 0; at < 40; at++) {
        const shown = (await page.evaluate(look)) as { height: number; from: number; to: number; text: string }
        texts.add(shown.text.replace(/[\d,.]+/, 'N'))
        expect(shown).toMatchObject({ height, from: 0, to: 600 })
        const [, rate = '1000'] = /([\d,]+)\/s/.exec(shown.text) ?? []
        expect(Math.abs(Number(rate.replace(',', '')) - 1000), shown.text).toBeLessThan(400)
        await page.waitForTimeout(100)
      }
      expect([...texts]).toEqual(['no rate yet', 'N/s on average', 'up to N/s'])
      // Of a run that has begun before, the average from its start is there with the page.
      await page.reload()
      await page.locator('.course .course-before').waitFor({ state: 'attached' })
      expect(await page.evaluate(look)).toMatchObject({ from: 0, to: 600, text: expect.stringMatching(/average/) })
    })

    test('every number on a phone as a whole, beside errors of any length', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({
        type: 'ingestion-like-type',
        id: 'a-job-with-a-long-name',
        run({ progress, params }) {
          progress({ count: 1_234_567_890 })
          if (params.fails) throw new Error(`${'word '.repeat(40)}${'x'.repeat(300)}`)
        },
      })
      for (const fails of [true, false, true])
        await (await registry.start('ingestion-like-type', 'a-job-with-a-long-name', { params: { fails } })).finished
      const { url } = await serveDashboard(watched)
      for (const [hash, ready] of [
        ['#/log', 'td.message'],
        ['#/job/ingestion-like-type/a-job-with-a-long-name', 'td.message'],
        ['#/', '.list td'],
      ]) {
        await page.setViewportSize({ width: 390, height: 844 })
        await page.goto(url + hash)
        await page.locator(String(ready)).first().waitFor()
        expect(await page.evaluate(clippedTexts), hash).toEqual([])
      }
      await page.setViewportSize({ width: 1280, height: 800 })
    })

    test('why each run failed, once and by its last cause', async () => {
      const { registry, watched } = watchedRegistry()
      defineFailing(registry, 'failing')
      for (let run = 0; run < 2; run++) await (await registry.start('copy', 'failing')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/log`)
      await expect.poll(() => page.locator('td.message').allInnerTexts()).toEqual(['ENOSPC', 'ENOSPC'])
      await page.goto(`${url}#/job/copy/failing`)
      await expect.poll(() => page.locator('td.message').allInnerTexts()).toEqual(['as above', 'ENOSPC'])
      expect(await page.locator('.causes li p').allInnerTexts()).toEqual([
        'Could not copy.',
        'The disk is full.',
        'ENOSPC',
      ])
      // It counts nothing, so nothing speaks of records.
      expect(await page.locator('main').innerText()).not.toMatch(/record|ingest|count/i)
    })

    test('schedules in words with their zone, as they are defined, and the next run', async () => {
      const { registry, watched } = watchedRegistry()
      const define = (id: string, schedule: Schedule) =>
        registry.define({ type: 'report', id, run: () => {}, schedule })
      const timeZone = 'Europe/Berlin'
      define('daily', { cron: '30 2 * * *', timeZone })
      define('quarter', { cron: '*/15 * * * *', timeZone })
      define('monday', { cron: '0 8,20 * * MON' })
      define('weekdays', { cron: '*/20 9-17 * * 1-5' })
      define('monthly', { cron: '0 0 6 1,15 1 *', timeZone })
      define('last', { cron: '0 0 L * *' })
      define('every', { every: 900_000 })
      // What is rare is shown as it is: words that are nearly right would be worse.
      define('either', { cron: '0 3 1 * 1', timeZone })
      define('uneven', { cron: '*/7 * * * *' })
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      const row = (id: string) => page.locator('.list tr', { hasText: `report/${id}` }).locator('.schedule')
      const words = {
        daily: 'every day at 02:30 (Europe/Berlin) 30 2 * * *',
        quarter: 'every 15 minutes */15 * * * *',
        monday: 'on Monday at 08:00 and 20:00 (UTC) 0 8,20 * * MON',
        weekdays: 'every 20 minutes between 09:00 and 17:40 from Monday to Friday (UTC) */20 9-17 * * 1-5',
        monthly: 'on the 1st and 15th of January at 06:00 (Europe/Berlin) 0 0 6 1,15 1 *',
        last: 'on the last day of the month at 00:00 (UTC) 0 0 L * *',
        every: 'every 15 minutes',
        either: '0 3 1 * 1 (Europe/Berlin)',
        uneven: '*/7 * * * * (UTC)',
      }
      for (const [id, text] of Object.entries(words))
        await expect.poll(async () => (await row(id).innerText()).replace(/\s+/g, ' ').trim()).toBe(text)
      await page.goto(`${url}#/job/report/daily`)
      const facts = page.locator('.job-side')
      await facts.getByText('every day at 02:30 (Europe/Berlin)').waitFor()
      await facts.getByText('30 2 * * *', { exact: true }).waitFor()
      // In relation to now, and in the zone of the viewer.
      const next = facts.locator('div', { hasText: 'Next run' }).locator('time')
      const time = Number((await registry.jobs()).find(({ id }) => id === 'daily')?.nextRun)
      const shown = `new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' }).format(${time})`
      expect(await next.innerText()).toMatch(/^in \d+ (h|min) · /)
      expect(await next.innerText()).toContain(await page.evaluate(shown))
    })

    test('schedules that are overdue, by name', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({ type: 'report', id: 'late', run: () => {}, schedule: { cron: '0 3 * * *' } })
      const overdue = [{ type: 'report', id: 'late', since: Date.now() - 600_000 }]
      const health = async () => ({ ...(await registry.health()), overdue })
      const { url } = await serveDashboard(
        new Proxy(watched, { get: (target, name) => (name === 'health' ? health : Reflect.get(target, name)) }),
      )
      await page.goto(url)
      await text('1 overdue')
      await section('Overdue').getByText('should have started 10 min ago').waitFor()
      await section('Overdue').getByRole('link', { name: 'report/late' }).click()
      await expect.poll(() => page.locator('h1').innerText()).toBe('report/late')
    })

    test('a queue that hands out nothing, and why', async () => {
      const { registry, watched } = watchedRegistry()
      const queueProblem = 'The queue `headgate` is paused in BullMQ. Queued jobs do not start.'
      const health = async () => ({ ...(await registry.health()), queueProblem })
      const { url } = await serveDashboard(
        new Proxy(watched, { get: (target, name) => (name === 'health' ? health : Reflect.get(target, name)) }),
      )
      await page.goto(url)
      await expect.poll(() => page.locator('.tile-health').innerText()).toMatch(/^Queue stopped/)
      await section('Queue stopped').getByText(queueProblem).waitFor()
    })

    test('a failed run: what failed first, where, when, in which attempt, its stack and its time line', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({
        id: 'a',
        datasource: iterableDatasource(() => [{ id: 7 }, { id: 8 }]),
        pkField: 'id',
        transform({ id }) {
          if (id === 8) throw new TypeError('no price')
          return { id }
        },
        target: () => {},
      })
      await (await registry.start('ingestion', 'a', { params: { password: 'hunter22' } })).finished
      let attempt = 0
      registry.define({
        type: 'copy',
        id: 'again',
        retry: { limit: 1, delay: 0, isTransient: () => true },
        run() {
          throw new Error('Could not copy.', { cause: new Error(`reason ${++attempt}`) })
        },
      })
      await (await registry.start('copy', 'again')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/a`)
      const why = section('Why it failed')
      await why.getByText('record 2 of this run (id 8)').waitFor()
      await why.getByText('in its first attempt').waitFor()
      await why.getByText('on node-1').waitFor()
      expect(await page.locator('.causes li').last().innerText()).toMatch(/no price$/)
      await section('Stack').getByText('TypeError: no price').waitFor()
      await browser.grantPermissions(['clipboard-read', 'clipboard-write'])
      await why.getByRole('button', { name: 'Copy report' }).click()
      await text('The report is copied.')
      const report = String(await page.evaluate('navigator.clipboard.readText()'))
      for (const part of [
        /^Job ingestion\/a failed\.\nExecution: a\S{36}\nNode: node-1\n/,
        /\nPlace: .*id 8/,
        /because no price/,
      ])
        expect(report).toMatch(part)
      expect(report).toMatch(/Stack:\nTypeError: no price\n {4}at [\s\S]*Parameters:\n\{\n {2}"password": "\*\*\*"/)
      await why.getByRole('link', { name: 'This run in the log' }).click()
      await page.locator('.list, .table').getByText('ingestion/a').waitFor()
      expect(page.url()).toMatch(/#\/log\?type=ingestion&id=a&from=(.*)&to=\1$/)
      await page.goto(`${url}#/job/copy/again`)
      await section('Time line').getByText('Attempt 1 failed: reason 1').waitFor()
      await section('Time line').getByText('Failed in attempt 2').waitFor()
    })

    test('two records of many that failed, each with its own cause and place, and what they share once', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({
        id: 'a',
        datasource: iterableDatasource(() => [{ id: 7 }, { id: 8 }]),
        pkField: 'id',
        transform({ id }) {
          throw new TypeError(`no price of ${id}`)
        },
        target: () => {},
        failures: { total: 1 },
      })
      await (await registry.start('ingestion', 'a')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/a`)
      await section('Next step').waitFor()
      const lines = (await page.locator('.causes').innerText()).split(/\n+/)
      expect(lines.slice(0, 9)).toEqual([
        'Too many records failed: failures.total allows 1, and 1 of 1 were set aside before.',
        'because',
        'The transform failed.',
        'First failed record',
        'no price of 7',
        'Batch 0, record 1 of this run (id 7).',
        'Record that ended the run',
        'no price of 8',
        'Batch 0, record 2 of this run (id 8).',
      ])
      await browser.grantPermissions(['clipboard-read', 'clipboard-write'])
      await section('Why it failed').getByRole('button', { name: 'Copy report' }).click()
      await text('The report is copied.')
      const report = String(await page.evaluate('navigator.clipboard.readText()'))
      expect(report).toContain(
        'Record that ended the run:\nPlace: Batch 0, record 2 of this run (id 8).\nno price of 8\n',
      )
      expect(report.match(/\(id 7\)/g)).toHaveLength(1)
    })

    test('no action on a failure before the page knows that it helps, and then none where the link was', async () => {
      const { registry, watched } = watchedRegistry()
      const id = 'a-name-that-fills-a-row'
      defineFailing(registry, id)
      await (await registry.start('copy', id)).finished
      const { url } = await serveDashboard(watched)
      let answer = () => {}
      const isAsked = new Promise<void>((resolve) => {
        void page.route('**/api/?detail=true', async (route) => {
          await new Promise<void>((go) => {
            answer = go
            resolve()
          })
          await route.continue()
        })
      })
      // On a phone, there is no room for both beside the name.
      await page.setViewportSize({ width: 390, height: 844 })
      await page.goto(url)
      const link = section('Failing now').getByRole('link', { name: `What helps copy/${id}` })
      const before = await link.boundingBox()
      await isAsked
      expect(await button(`Retry copy/${id}`).count()).toBe(0)
      answer()
      await button(`Retry copy/${id}`).waitFor()
      expect(await link.boundingBox()).toEqual(before)
      await section('Failing now')
        .getByRole('link', { name: `copy/${id}`, exact: true })
        .focus()
      await page.keyboard.press('Tab')
      expect(await link.evaluate((element) => element.matches(':focus'))).toBe(true)
      await page.setViewportSize({ width: 1280, height: 800 })
    })

    test('which step helps first, and what each does to the target', async () => {
      const { registry, watched } = watchedRegistry()
      const datasource = iterableDatasource(() => [{ id: 7 }])
      const transform = () => {
        throw new Error('no price')
      }
      registry.define({ id: 'broken', datasource, transform, target: collectingTarget({ strategy: 'replace' }) })
      const schedule = { cron: '0 3 * * *' }
      registry.define({ id: 'planned', datasource, transform, target: () => {}, schedule })
      const failWith = (id: string, error: Error) => {
        const run = () => {
          throw error
        }
        registry.define({ type: 'copy', id, run })
      }
      failWith('busy', Object.assign(new Error('busy'), { code: 'ECONNRESET' }))
      const called = () => {
        throw new Error('no price', { cause: new Error('connect ECONNREFUSED 10.0.0.7:5432') })
      }
      registry.define({ id: 'away', datasource, transform: called, target: () => {} })
      const install = 'Could not load the package `pg-copy-streams`: run `npm install pg-copy-streams`.'
      const missing = new Error("Cannot find package 'pg-copy-streams' imported from /app/x.js")
      failWith('lacking', new JobError('target', install, { cause: missing }))
      failWith('damaged', new JobError('checkpoint', 'The checkpoint was damaged.'))
      const types = {
        broken: 'ingestion',
        planned: 'ingestion',
        busy: 'copy',
        damaged: 'copy',
        away: 'ingestion',
        lacking: 'copy',
      }
      for (const [id, type] of Object.entries(types)) await (await registry.start(type, id)).finished
      const { url } = await serveDashboard(watched)
      const steps = async (id: keyof typeof types) => {
        await page.goto(`${url}#/job/${types[id]}/${id}`)
        await page.locator('h1', { hasText: id }).waitFor()
        await section('Next step').locator('li').first().waitFor()
        return section('Next step').locator('.button').allInnerTexts()
      }
      expect(await steps('broken')).toEqual(['Copy report', 'Retry', 'Full refresh…', 'Reset…'])
      await text('A retry fails again until the record or the transform is fixed.')
      await text('At its end, the new records replace all earlier ones.')
      expect(await steps('planned')).toEqual(['Pause…', 'Copy report', 'Retry', 'Reset…'])
      expect(await steps('busy')).toEqual(['Retry', 'Reset…'])
      expect(await steps('damaged')).toEqual(['Reset…', 'Retry'])
      expect(await steps('away')).toEqual(['Retry', 'Copy report', 'Reset…'])
      await text('If the record is at fault, it fails again.')
      await steps('lacking')
      expect(await page.locator('.causes li').allInnerTexts()).toEqual([install.replaceAll('`', '')])
      expect(await page.locator('.causes li code').allInnerTexts()).toEqual([
        'pg-copy-streams',
        'npm install pg-copy-streams',
      ])
      await page.goto(url)
      await page.locator('.card', { hasText: 'broken' }).getByRole('link', { name: 'What helps' }).waitFor()
      await button('Retry copy/busy').waitFor()
    })

    test('what only an ingestion has: partitions over their range, what was replaced, and its node', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({ type: 'copy', id: 'a', run: ({ progress }) => progress({ count: 40, detail: ingested }) })
      await (await registry.start('copy', 'a')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await expect.poll(() => page.locator('.partition-counts').innerText()).toMatch(/1 of 3.*1 running.*1 queued/s)
      await section('Records').getByText('The times of the ranges are in UTC.').waitFor()
      expect(await page.locator('.partition-list li').allInnerTexts()).toEqual([
        expect.stringMatching(/0\s+done\s+up to 2024-02-01\s+30 records\s+on worker-2/),
        expect.stringMatching(/1\s+running\s+2024-02-01 – 2024-03-01\s+10 records\s+at 2024-02-11 08:00/),
        expect.stringMatching(/2\s+queued\s+from 2024-03-01\s+0 records/),
      ])
      await section('Replaced').getByText('+400').waitFor()
      await section('Replaced').getByText('1,000,400').waitFor()
    })

    test('the last failed records of an ingestion', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({
        id: 'a',
        datasource: iterableDatasource(() => Array.from({ length: 12 }, (_, id) => ({ id, name: '<b>' }))),
        transform: (record) => {
          if (record.id !== 3) throw new Error('no price')
          return record
        },
        target: () => {},
        failures: { total: 20, showRecords: true },
      })
      await (await registry.start('ingestion', 'a')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/a`)
      const failures = section('Failed records')
      await failures.getByText('no price').first().waitFor()
      await failures.getByText('the transform failed').first().waitFor()
      await failures.getByText('These are the last 10 of 11.').waitFor()
      expect(await failures.locator('.failure-record').first().innerText()).toBe('{"id":11,"name":"<b>"}')
      // A run that has succeeded does not hide them.
      await page.goto(url)
      await section('Failed records').getByText('11 failed').waitFor()
      await page.locator('.list tr', { hasText: 'ingestion/a' }).getByText('11 failed').waitFor()
      await page.goto(`${url}#/job/ingestion/a`)
      await section('Runs').locator('tbody').getByText('11 failed').waitFor()
      await page.goto(`${url}#/log`)
      await page.locator('tr', { hasText: 'ingestion/a' }).getByText('11 failed').waitFor()
    })

    test('how many records failed of a last run of any end, and of earlier ones, each with a link to them', async () => {
      const { registry, watched } = watchedRegistry()
      let broken = 0
      registry.define({
        id: 'a',
        datasource: iterableDatasource(() => Array.from({ length: 12 }, (_, id) => ({ id }))),
        transform: (record: { id: number }) => {
          if (record.id < broken) throw new Error(`no price of ${record.id}`)
          return record
        },
        target: () => {},
        failures: { total: 20 },
      })
      const run = async (failing: number) => {
        broken = failing
        await (await registry.start('ingestion', 'a')).finished
      }
      await run(3)
      await run(0)
      await run(4)
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      const focused = () => page.evaluate('document.activeElement.innerText')
      for (const place of [section('Failed records'), page.locator('.list')]) {
        await page.goto(url)
        await place.getByRole('link', { name: '4 failed records of ingestion/a' }).click()
        await expect.poll(focused).toMatch(/^Failed records/)
        await section('Failed records').getByText('no price of 3').waitFor()
      }
      // The run before the last one had none, and the one before that had three.
      const columns = page.locator('.column')
      await expect
        .poll(() =>
          columns.evaluateAll((all) => all.map((column) => / (\d+) failed$/.exec(column.ariaLabel ?? '')?.[1])),
        )
        .toEqual(['3', undefined, '4'])
      expect(await page.locator('.column-failed').count()).toBe(2)
      await section('Runs').locator('tbody').getByRole('link', { name: '3 failed records of ingestion/a' }).click()
      await text('This is the run of')
      await section('Failed records').getByText('no price of 2').waitFor()
      await expect.poll(focused).toMatch(/^Failed records/)
      registry.define({
        id: 'ended',
        datasource: iterableDatasource(() => Array.from({ length: 12 }, (_, id) => ({ id }))),
        transform: () => {
          throw new Error('no price')
        },
        target: () => {},
        failures: { total: 5 },
      })
      await (await registry.start('ingestion', 'ended')).finished
      await page.goto('about:blank')
      await page.goto(url)
      await section('Failing now').getByRole('link', { name: '5 failed records of ingestion/ended' }).click()
      await expect.poll(focused).toMatch(/^Failed records/)
    })

    test('where the next run begins, which a reset begins with', async () => {
      const { registry, watched } = watchedRegistry()
      const datasource = iterableDatasource([{ at: '2024-02-01', id: 7 }])
      registry.define({ id: 'a', datasource, cursor: ['at', 'id'], target: () => {} })
      await (await registry.start('ingestion', 'a')).finished
      const { url } = await serveDashboard(watched)
      const checkpoint = { cursor: { at: '2024-02-01', id: '7' } }
      await page.goto(`${url}#/job/ingestion/a`)
      await page.locator('.job-side').getByText('after at 2024-02-01, id 7').waitFor()
      await page.getByTitle(JSON.stringify(checkpoint)).waitFor()
      await button('Reset…').click()
      expect(JSON.parse(await page.getByLabel('Checkpoint').inputValue())).toEqual(checkpoint)
    })

    test('a job that is unknown, and a job that never ran', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({ type: 'report', id: 'daily', run: () => {} })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/report/nobody`)
      await text('There is no such job')
      await page.goto(`${url}#/job/report/daily`)
      await text('No run has ended yet')
      await page.goto(`${url}#/nowhere`)
      await text('There is no such view')
    })

    test('one heading in every state: while it loads, without the job, after an error and without the server', async () => {
      const { watched } = watchedRegistry()
      const { url } = await serveDashboard(watched)
      const heading = page.locator('h1')
      const views = { '#/': 'Jobs', '#/log': 'Log', '#/job/copy/none': 'copy/none', '#/nowhere': 'Unknown view' }
      const answers: Record<string, (route: Route) => Promise<void>> = {
        loading: () => new Promise(() => {}),
        failing: (route) => route.fulfill({ status: 500, body: '{}' }),
        offline: (route) => route.abort(),
      }
      for (const [state, answer] of Object.entries(answers)) {
        await page.route('**/api/**', answer)
        for (const [hash, name] of Object.entries(views)) {
          await page.goto('about:blank')
          await page.goto(url + hash)
          await expect.poll(() => heading.allInnerTexts(), { message: `${hash} ${state}` }).toEqual([name])
          expect(await faultsOf(page, ['page-has-heading-one']), `${hash} ${state}`).toEqual([])
        }
        await page.unrouteAll({ behavior: 'ignoreErrors' })
      }
      // Until the script is there, too.
      expect(await (await fetch(url)).text()).toContain('<h1 class="visually-hidden">headgate</h1>')
      // It is one element: a reader of the page does not lose it once the job turns out to be unknown.
      let answer = () => {}
      const isAnswered = new Promise<void>((resolve) => {
        answer = resolve
      })
      await page.route('**/api/copy/none?*', (route) => isAnswered.then(() => route.continue()))
      await page.goto('about:blank')
      await page.goto(`${url}#/job/copy/none`)
      await text('No run has ended yet')
      const before = await heading.elementHandle()
      answer()
      await text('There is no such job')
      expect(await before?.evaluate((element) => element.isConnected)).toBe(true)
    })

    test('a registry without jobs', async () => {
      const { url } = await serveDashboard(watchedRegistry().watched)
      await page.goto(url)
      await text('This registry defines no job yet')
      await page.getByRole('link', { name: 'Log' }).click()
      await text('No runs match')
    })

    test('100,000 runs of the log, by pages and by every filter', async () => {
      const asked: object[] = []
      const { watched } = watchedRegistry()
      const { url } = await serveDashboard(logOf(watched, 100_000, asked))
      await page.goto(`${url}#/log`)
      await text('1–50 of')
      // Below the rows: the next page begins at its first one, and so does the keyboard.
      const pages = page.getByRole('navigation', { name: 'Pages', exact: true })
      const focus = () =>
        page.evaluate('[document.activeElement.closest("nav")?.ariaLabel, document.activeElement.textContent]')
      await pages.getByRole('link', { name: 'Older' }).click()
      await text(/51–100 of/)
      expect(await focus()).toEqual(['Pages, above the runs', 'Older'])
      expect(
        await page.evaluate("document.querySelector('.pager.is-top').getBoundingClientRect().top"),
      ).toBeGreaterThan(0)
      await pages.getByRole('link', { name: 'Oldest' }).click()
      await text(/99,951–100,000 of/)
      expect(await focus()).toEqual(['Pages, above the runs', 'Newest'])
      await page.getByLabel('Page', { exact: true }).first().fill('1000')
      await page.keyboard.press('Enter')
      await text(/49,951–50,000 of/)
      const picker = page.getByRole('combobox', { name: 'Job' })
      await picker.fill('job-3')
      await page.getByRole('option', { name: 'The whole id “job-3”' }).click()
      await page.locator('.states label', { hasText: 'Failed' }).click()
      await page.getByLabel('Began from').fill('2026-01-02T03:04')
      await page.getByLabel('Began up to').fill('2026-01-03T00:00')
      await page.keyboard.press('Tab')
      const [from, to] = await page.evaluate(() => [Date.parse('2026-01-02T03:04'), Date.parse('2026-01-03T00:00')])
      await expect
        .poll(() => asked.filter((filter) => Reflect.get(filter, 'size') !== 0).at(-1))
        .toMatchObject({
          id: 'job-3',
          state: 'error',
          startTimeFrom: from,
          startTimeTo: Number(to) + 59_999,
        })
      await page.reload()
      await text('No runs match')
      await button('Remove the filter State Failed').click()
      await button('Remove the filter Id job-3').waitFor()
      expect(page.url()).toMatch(/#\/log\?id=job-3&from=.*&to=.*/)
      await page.setViewportSize({ width: 390, height: 844 })
      await button('Filters').click()
      for (const name of ['Began from', 'Began up to'])
        expect((await page.getByLabel(name).boundingBox())?.width).toBeGreaterThan(300)
      await page.setViewportSize({ width: 1280, height: 800 })
    })
  })

  describe('on a phone', () => {
    test('the log has its runs in view: its filters are behind a button, which says how many are active', async () => {
      const { watched } = watchedRegistry()
      const { url } = await serveDashboard(logOf(watched, 60, []))
      await page.setViewportSize({ width: 375, height: 812 })
      await page.goto(`${url}#/log?type=copy&from=2026-01-02T03:04&to=2099-01-03T00:00`)
      await page.locator('td').first().waitFor()
      const rowTop = async () => (await page.locator('tbody tr').first().boundingBox())?.y ?? 0
      expect(await rowTop()).toBeLessThan(480)
      const filters = button('Filters 2 active')
      expect(await filters.getAttribute('aria-expanded')).toBe('false')
      expect(await page.getByLabel('Began from').isVisible()).toBe(false)
      // Those that are active are shown all the same, and each can be removed.
      for (const name of ['Type copy', 'From', 'Up to'])
        expect(await button(new RegExp(`^Remove the filter ${name}`)).isVisible()).toBe(true)
      await filters.focus()
      await page.keyboard.press('Enter')
      await page.getByLabel('Began from').waitFor()
      expect(await filters.getAttribute('aria-expanded')).toBe('true')
      expect(await faultsOf(page, layout)).toEqual([])
      await page.locator('.states label', { hasText: 'Failed' }).click()
      await button('Filters 3 active').click()
      await text('No runs match')
      expect(await page.getByLabel('Began from').isVisible()).toBe(false)
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(375)
      await button(/^Remove the filter State/).click()
      await button('Filters 2 active').waitFor()
      await page.setViewportSize({ width: 1280, height: 800 })
      expect(await button(/^Filters/).count()).toBe(0)
      await page.getByLabel('Began from').waitFor()
    })
  })

  describe('does', () => {
    test('start, abort with a reason, and start again', async () => {
      const { registry, watched, calls } = watchedRegistry()
      defineCounting(registry, 'a')
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await button('Start copy/a').click()
      await text('copy/a has started.')
      await section('Now').getByRole('progressbar').waitFor()
      await page
        .locator('.job-side div', { hasText: 'Lease' })
        .getByText(/renewed (now|\d+ s ago), runs out in \d+ s/)
        .waitFor()
      await button('Abort…').click()
      await page.getByLabel('Reason').fill('The source is wrong.')
      await page.getByRole('dialog').getByRole('button', { name: 'Abort' }).click()
      await page.locator('.badge', { hasText: 'Aborted' }).waitFor()
      await page.getByText('The source is wrong.').waitFor()
      await button('Retry copy/a').click()
      await page.locator('.badge', { hasText: 'Running' }).waitFor()
      expect(calls.map(([name]) => name)).toEqual(['start', 'abort', 'start'])
      expect(calls[1]?.[3]).toMatchObject({ reason: 'The source is wrong.' })
    })

    test('an abort of the run that was shown, and of no later one', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched)
      const dialog = page.getByRole('dialog')
      for (const hash of ['#/job/copy/a', '#/']) {
        await page.goto('about:blank')
        await page.goto(url + hash)
        await button(/^Abort/).click()
        await registry.abort('copy', 'a')
        await dialog.getByText('This run has ended: aborted.').waitFor()
        const { executionId } = await registry.start('copy', 'a')
        if (hash !== '#/') await dialog.getByText('and another one has begun').waitFor()
        await dialog.getByRole('button', { name: 'Abort' }).click()
        await dialog.getByText('another one runs now. Nothing was aborted.').waitFor()
        await page.keyboard.press('Escape')
        expect(await registry.status('copy', 'a')).toMatchObject({ state: 'running', executionId })
      }
    })

    test('an abort of a run that the list alone has told of, as where there are no events', async () => {
      const { registry, watched, calls } = watchedRegistry()
      defineCounting(registry, 'a')
      const { executionId } = await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched, { authorize: (_, action) => action !== 'events' })
      await page.goto(url)
      await button('Abort copy/a').click()
      await page.getByRole('dialog').getByRole('button', { name: 'Abort' }).click()
      await text('copy/a was asked to stop.')
      expect(calls).toMatchObject([['abort', 'copy', 'a', { executionId }]])
    })

    test('an abort of a run that was queued when it was asked for, and has begun since', async () => {
      const { registry, watched, calls } = watchedRegistry({ concurrency: { process: 1 } })
      for (const id of ['first', 'second']) defineCounting(registry, id)
      await registry.start('copy', 'first')
      const { executionId } = await registry.start('copy', 'second')
      // The list alone, which tells of no execution.
      const { url } = await serveDashboard(watched, { authorize: (_, action) => action !== 'events' })
      await page.goto(url)
      await section('Queued').getByRole('link', { name: 'copy/second' }).waitFor()
      await page.route('**/api/copy/second?*', async (route) => {
        await registry.abort('copy', 'first')
        await expect.poll(async () => (await registry.status('copy', 'second'))?.state).toBe('running')
        await route.continue()
      })
      await button('Abort copy/second').click()
      await page.getByRole('dialog').getByRole('button', { name: 'Abort' }).click()
      await text('copy/second was asked to stop.')
      expect(calls).toMatchObject([['abort', 'copy', 'second', { executionId }]])
    })

    test('a pause that a list of before does not hide', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await text('Live')
      // Longer than the page waits until it reads the list for the second time.
      await page.waitForTimeout(1500)
      let isPaused = () => {}
      const whenPaused = new Promise<void>((resolve) => {
        isPaused = resolve
      })
      const isRead = new Promise<void>((resolve) => {
        void page.route('**/api/', async (route) => {
          const response = await route.fetch()
          resolve()
          await whenPaused
          await route.fulfill({ response })
        })
      })
      await button('Pause…').click()
      await registry.abort('copy', 'a')
      await isRead
      const paused = page.waitForResponse(/_pause/)
      await button(/^Pause$/).click()
      await paused
      isPaused()
      await button('End the pause').waitFor()
    })

    test('nothing with a run that has ended before an abort is confirmed, and says how', async () => {
      const { registry, watched } = watchedRegistry()
      let end = () => {}
      const run = () =>
        new Promise<void>((resolve) => {
          end = resolve
        })
      registry.define({ type: 'copy', id: 'a', run })
      const { finished } = await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await button('Abort…').click()
      end()
      await finished
      await page.getByRole('dialog').getByRole('button', { name: 'Abort' }).click()
      await text('That run of copy/a had ended: succeeded.')
    })

    test('the end of a run, which a screen reader says', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      let fail = (_: Error) => {}
      const run = () =>
        new Promise<void>((_, reject) => {
          fail = reject
        })
      registry.define({ type: 'copy', id: 'b', run })
      for (const id of ['a', 'b']) await registry.start('copy', id)
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await section('Running').getByRole('progressbar').nth(1).waitFor()
      expect(await page.getByRole('heading', { name: 'Running, 2', exact: true }).count()).toBe(1)
      fail(new Error('The disk is full.'))
      await page.getByRole('status').getByText('copy/b: failed: The disk is full.').waitFor()
      await page.goto(`${url}#/job/copy/a`)
      await button('Abort…').waitFor()
      await registry.abort('copy', 'a')
      await page.getByRole('status').getByText('copy/a: aborted.').waitFor()
    })

    test('what covers no row that has the focus', async () => {
      const { registry, watched } = watchedRegistry()
      for (let job = 0; job < 12; job++) registry.define({ type: 'copy', id: `job-${10 + job}`, run: () => {} })
      await page.setViewportSize({ width: 390, height: 844 })
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await button('Pause all…').click()
      await button(/^Pause$/).click()
      await section('Pause of all jobs').waitFor()
      await page.getByRole('dialog').waitFor({ state: 'detached' })
      await page.locator('.notice').waitFor({ state: 'detached' })
      // A call that fails leaves the layout as it is, and its notice stays.
      await page.route(/_unpause/, (route) => route.abort())
      await page.getByRole('link', { name: 'copy/job-13' }).focus()
      const bounds = (element: string) =>
        page.evaluate(`(({ top, bottom }) => ({ top, bottom }))(${element}.getBoundingClientRect())`) as Promise<{
          top: number
          bottom: number
        }>
      const row = "document.activeElement.closest('tr')"
      await page.evaluate(`${row}.scrollIntoView({ block: 'end' })`)
      const before = await bounds(row)
      await page.evaluate("document.querySelector('.banner button').click()")
      await page.locator('.notice.is-error').waitFor()
      const notice = await bounds("document.querySelector('.notice')")
      expect(before.bottom).toBeGreaterThan(notice.top)
      for (let step = 0; step < 4; step++) {
        await expect.poll(async () => (await bounds(row)).bottom, { message: `row ${step}` }).toBeLessThan(notice.top)
        await page.keyboard.press('Tab')
      }
      await page.setViewportSize({ width: 1280, height: 800 })
    })

    test('no end of a pause that has begun since', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.pause('copy', 'a', { by: 'ann' })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await button('End the pause').waitFor()
      await registry.unpause('copy', 'a')
      await new Promise((resolve) => setTimeout(resolve, 5))
      await registry.pause('copy', 'a', { by: 'bob' })
      await button('End the pause').click()
      await text('copy/a was paused anew by bob. That pause goes on.')
      expect((await registry.jobs())[0]?.paused?.by).toBe('bob')
    })

    test('a full refresh, a reset, a pause and its end', async () => {
      const { registry, watched, calls } = watchedRegistry()
      const datasource = iterableDatasource(() => [{ id: 1 }])
      const target = collectingTarget()
      const capabilities = { ...target.capabilities, onFullRefresh: 'merge' as const }
      registry.define({ id: 'a', datasource, target: { ...target, capabilities } })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/a`)
      await button('Full refresh…').click()
      await button('Read everything again').click()
      await expect.poll(() => calls.at(-1)).toMatchObject(['start', 'ingestion', 'a', { fullRefresh: true }])
      await page.locator('.badge', { hasText: 'Succeeded' }).waitFor()
      await button('Reset…').click()
      await page.getByLabel('Checkpoint').fill('{"lastId":')
      await button(/^Reset$/).click()
      await page.getByRole('alert').getByText('The checkpoint is not JSON').waitFor()
      await page.getByLabel('Checkpoint').fill('')
      await button(/^Reset$/).click()
      await text('The next run of ingestion/a begins at the beginning.')
      expect(calls.at(-1)).toMatchObject(['reset', 'ingestion', 'a', {}])
      await button('Pause…').click()
      await page.getByLabel('Reason').fill('Moving')
      await page.getByLabel('By').fill('ann')
      await button(/^Pause$/).click()
      await page.getByText('by ann: Moving').waitFor()
      await button('Start although paused ingestion/a').click()
      await expect.poll(() => calls.at(-1)).toMatchObject(['start', 'ingestion', 'a', { force: true }])
      await button('End the pause').click()
      await button('Pause…').waitFor()
      expect((await registry.jobs())[0]?.paused).toBeUndefined()
    })

    test('a pause of all jobs, which every view tells of', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({ type: 'report', id: 'daily', run: () => {} })
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await button('Pause all…').click()
      await page.getByLabel('Reason').fill('Moving')
      await button(/^Pause$/).click()
      await section('Pause of all jobs').getByText('All jobs are paused since now: Moving').waitFor()
      await page.getByRole('link', { name: 'report/daily' }).click()
      await button('Start although paused report/daily').waitFor()
      await section('Pause of all jobs').getByRole('button', { name: 'End the pause' }).click()
      await button('Start report/daily').waitFor()
      expect(await section('Pause of all jobs').count()).toBe(0)
      expect((await registry.jobs())[0]?.paused).toBeUndefined()
    })

    test('a full refresh only where the server allows one', async () => {
      const { registry, watched } = watchedRegistry()
      const datasource = iterableDatasource(() => [{ id: 1 }])
      registry.define({ id: 'appends', datasource, target: collectingTarget() })
      registry.define({ id: 'replaces', datasource, target: collectingTarget({ strategy: 'replace' }) })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/replaces`)
      await button('Full refresh…').click()
      await page.getByRole('dialog').getByText('At its end, the new records replace all earlier ones.').waitFor()
      await page.goto(`${url}#/job/ingestion/appends`)
      await button('Start with parameters…').click()
      await page.getByRole('textbox', { name: 'Parameters' }).waitFor()
      expect(await page.getByRole('checkbox').count()).toBe(0)
      expect(await button('Full refresh…').count()).toBe(0)
    })

    test('a start with parameters', async () => {
      const { registry, watched, calls } = watchedRegistry()
      registry.define({ type: 'report', id: 'sales', run: ({ complete }) => complete() })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/report/sales`)
      await button('Start with parameters…').click()
      await page.getByRole('textbox', { name: 'Parameters' }).fill('[1]')
      await button('Start').last().click()
      await page.getByRole('alert').getByText('The parameters are not a JSON object').waitFor()
      await page.getByRole('textbox', { name: 'Parameters' }).fill('{"customer": "acme", "days": 3}')
      await button('Start').last().click()
      await page.locator('.job-side').getByText('"customer": "acme"').waitFor()
      expect(calls).toMatchObject([['start', 'report', 'sales', { params: { customer: 'acme', days: 3 } }]])
      // The next ones begin with the last ones.
      await button('Start with parameters…').click()
      expect(JSON.parse(await page.getByRole('textbox', { name: 'Parameters' }).inputValue())).toEqual({
        customer: 'acme',
        days: 3,
      })
    })

    test('a retry from where a past run of an ingestion ended', async () => {
      const { registry, watched, calls } = watchedRegistry()
      const query = 'all {{#last_id}}after {{last_id}}{{/last_id}}'
      const datasource = testDatasource([{ id: 7 }])
      registry.define({ id: 'a', datasource, query, pkField: 'id', selectedBy: ['shop'], target: () => {} })
      const params = { shop: 'eu' }
      for (let run = 0; run < 2; run++) await (await registry.start('ingestion', 'a', { params })).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/a`)
      await page.locator('.column').first().click()
      await button('Retry from there…').click()
      await button('Reset and start').click()
      await expect
        .poll(() => calls)
        .toMatchObject([
          ['reset', 'ingestion', 'a', { checkpoint: { lastId: '7', params } }],
          ['start', 'ingestion', 'a', { params }],
        ])
    })

    test('a retry from where a past run with a cursor ended, which reads what came after it', async () => {
      const { registry, watched, calls } = watchedRegistry()
      const records = [{ at: '2024-02-01', id: 7 }]
      const target = collectingTarget()
      registry.define({ id: 'a', datasource: iterableDatasource(() => records), cursor: ['at', 'id'], target })
      await (await registry.start('ingestion', 'a')).finished
      records.push({ at: '2024-02-02', id: 8 }, { at: '2024-02-02', id: 9 })
      await (await registry.start('ingestion', 'a')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/ingestion/a`)
      await page.locator('.column').first().click()
      await button('Retry from there…').click()
      const checkpoint = { cursor: { at: '2024-02-01', id: '7' } }
      await page.locator('.job-side').getByText('A run after it would begin at').waitFor()
      expect(JSON.parse(await page.getByLabel('Checkpoint').inputValue())).toEqual(checkpoint)
      await button('Reset and start').click()
      await expect
        .poll(() => calls)
        .toMatchObject([
          ['reset', 'ingestion', 'a', { checkpoint }],
          ['start', 'ingestion', 'a', {}],
        ])
      await expect.poll(() => target.records.map(({ id }) => id)).toEqual([7, 8, 9, 8, 9])
      // The view is that of the run that was started.
      await page.getByText('This is the run of').waitFor({ state: 'detached' })
      expect(page.url()).toMatch(/#\/job\/ingestion\/a$/)
    })

    test('no reset of a job that has run again since the dialog was opened', async () => {
      const { registry, watched } = watchedRegistry()
      let at = 0
      registry.define({ type: 'copy', id: 'a', run: ({ progress }) => progress({ checkpoint: { page: ++at } }) })
      await (await registry.start('copy', 'a')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await button('Reset…').click()
      await page.getByLabel('Checkpoint').fill('{"page": 70}')
      await (await registry.start('copy', 'a')).finished
      await page.getByRole('dialog').getByText('another one has begun').waitFor()
      await button(/^Reset$/).click()
      await page
        .getByRole('dialog')
        .getByText('The job has run again since this was opened. Nothing was reset')
        .waitFor()
      expect((await registry.status('copy', 'a'))?.checkpoint).toEqual({ page: 2 })
    })

    test('a search of the log for a job, by a part of its name and by the keyboard', async () => {
      const { registry, watched } = watchedRegistry()
      for (const id of ['north-1', 'north-2', 'south-1']) {
        registry.define({ type: 'copy', id, run: () => {} })
        await (await registry.start('copy', id)).finished
      }
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/log`)
      await page.getByRole('link', { name: 'copy/south-1' }).waitFor()
      await page.locator('.states label', { hasText: 'Ended' }).getByText('3').waitFor()
      await page.keyboard.press('/')
      const picker = page.getByRole('combobox', { name: 'Job' })
      await page.keyboard.type('Orth')
      await expect
        .poll(() => page.getByRole('option').allInnerTexts())
        .toEqual(['copy/north-1', 'copy/north-2', 'The whole id “Orth”'])
      expect(await faultsOf(page)).toEqual([])
      await page.keyboard.press('ArrowDown')
      await expect.poll(() => page.locator('[role=option][aria-selected=true]').innerText()).toBe('copy/north-1')
      await page.keyboard.press('Escape')
      expect(await picker.getAttribute('aria-expanded')).toBe('false')
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('ArrowDown')
      await expect.poll(() => page.locator('[role=option][aria-selected=true]').innerText()).toBe('copy/north-2')
      expect(await picker.getAttribute('aria-activedescendant')).toBe(
        await page.locator('[aria-selected=true]').getAttribute('id'),
      )
      await page.keyboard.press('Enter')
      await expect.poll(() => page.locator('tbody tr').count()).toBe(1)
      expect(page.url()).toContain('#/log?type=copy&id=north-2')
      await button('Remove the filter Job copy/north-2').press('Enter')
      await expect.poll(() => page.locator('tbody tr').count()).toBe(3)
      // The other filters are reached by the keyboard too.
      await page.getByRole('radio', { name: /^Ended/ }).focus()
      await page.keyboard.press('ArrowRight')
      await text('No runs match')
    })

    test('a retry asks for the parameters of the run that failed, and a past run of another job offers none', async () => {
      const { registry, watched, calls } = watchedRegistry()
      registry.define({
        type: 'copy',
        id: 'a',
        run: ({ progress }) => {
          progress({ count: 1, lastId: '1', checkpoint: { page: 1 } })
          throw new Error('no')
        },
      })
      for (let run = 0; run < 2; run++) await (await registry.start('copy', 'a', { params: { day: 3 } })).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await button('Retry… copy/a').click()
      await page.getByRole('dialog').getByRole('button', { name: 'Start' }).click()
      await expect.poll(() => calls).toMatchObject([['start', 'copy', 'a', { params: { day: 3 } }]])
      // On the overview too, where the list does not tell them: on the card of the failure, and in the row.
      for (const name of ['Retry… copy/a', 'Actions for copy/a']) {
        await page.goto('about:blank')
        await page.goto(url)
        await button(name).click()
        if (name.startsWith('Actions')) await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click()
        await expect
          .poll(() => page.getByRole('textbox', { name: 'Parameters' }).inputValue())
          .toMatch(/^\{\s+"day": 3\s+\}$/)
        const { length } = calls
        await page.getByRole('dialog').getByRole('button', { name: 'Start' }).click()
        await expect.poll(() => calls.slice(length)).toMatchObject([['start', 'copy', 'a', { params: { day: 3 } }]])
      }
      await page.goto(`${url}#/job/copy/a`)
      await page.locator('.column').first().click()
      await page.getByText('This is the run of').waitFor()
      expect(await button('Retry from there…').count()).toBe(0)
    })

    test('a start that lacks parameters opens the dialog for them, which says what is missing', async () => {
      const { registry, watched, calls } = watchedRegistry()
      const validate = (value: unknown) =>
        Reflect.has(Object(value), 'day')
          ? { value: { day: 3 } }
          : { issues: [{ message: 'is missing', path: ['day'] }] }
      registry.define({
        type: 'report',
        id: 'sales',
        params: { '~standard': { version: 1 as const, vendor: 'test', validate } },
        run: ({ complete }) => complete(),
      })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/report/sales`)
      await button('Start report/sales').click()
      const dialog = page.getByRole('dialog', { name: 'Start report/sales with parameters' })
      await dialog.getByRole('alert').getByText('params to match the schema').waitFor()
      expect(await page.locator('.notice').count()).toBe(0)
      await dialog.getByLabel('Parameters').fill('{"day": 3}')
      await dialog.getByRole('button', { name: 'Start' }).click()
      await expect.poll(() => calls.at(-1)).toMatchObject(['start', 'report', 'sales', { params: { day: 3 } }])
      await text('Succeeded')
    })

    test('an abort of a job that waits, about which the list says what it may wait for', async () => {
      const { registry, watched, calls } = watchedRegistry({
        datasources: { archive: iterableDatasource([]) },
        concurrency: { datasources: { archive: 1 }, process: 3 },
      })
      const run = ({ signal }: JobContext) => new Promise<void>((go) => signal.addEventListener('abort', () => go()))
      for (const id of ['first', 'second']) registry.define({ type: 'copy', id, run, datasource: 'archive' })
      for (const id of ['other', 'another', 'last']) registry.define({ type: 'copy', id, run })
      for (const id of ['first', 'second', 'other', 'another', 'last']) await registry.start('copy', id)
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      const card = (id: string) =>
        section('Queued')
          .locator('li', { hasText: `copy/${id}` })
          .first()
      await card('last').getByText('Waits for a free slot: 3 jobs run.').waitFor()
      const why =
        'Waits for a free slot of the process, or for the limit of the datasource archive, which copy/first uses now.'
      await expect.poll(() => card('second').locator('.queue-why').innerText()).toBe(why)
      await card('second').getByRole('link', { name: 'copy/second' }).click()
      await expect.poll(() => section('Now').innerText()).toContain(why)
      await section('Now').getByRole('link', { name: 'copy/first' }).click()
      await page.locator('.badge', { hasText: 'Running' }).waitFor()
      await page.goto(url)
      await button('Abort copy/last').click()
      await page.getByRole('dialog').getByText('The job waits, and will not begin.').waitFor()
      await page.getByRole('dialog').getByRole('button', { name: 'Abort' }).click()
      await expect.poll(() => calls.at(-1)?.slice(0, 3)).toEqual(['abort', 'copy', 'last'])
      await card('last').waitFor({ state: 'detached' })
    })

    test('what fails is said, and stays until it is closed or another view is shown', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await button('Start copy/a').waitFor()
      await page.route('**/_start?*', async (route) => {
        // Another tab was faster.
        await registry.start('copy', 'a')
        await route.continue()
      })
      await button('Start copy/a').click()
      await text('copy/a was not started: Job [copy/a] is already running.')
      await button('Close the notice').click()
      await page.locator('.notice').waitFor({ state: 'detached' })
      await page.unrouteAll({ behavior: 'ignoreErrors' })
      await registry.abort('copy', 'a')
      await page.route('**/_start?*', (route) => route.abort())
      await button('Retry copy/a').click()
      await text('copy/a was not started: ')
      await page.getByRole('link', { name: 'Log' }).click()
      await page.locator('.notice').waitFor({ state: 'detached' })
      await page.goBack()
      await registry.start('copy', 'a')
      const other = await browser.newPage()
      await other.goto(`${url}#/job/copy/a`)
      await other.locator('.badge', { hasText: 'Running' }).waitFor()
      await registry.abort('copy', 'a')
      for (const tab of [page, other]) {
        await tab.locator('.badge', { hasText: 'Aborted' }).waitFor()
      }
      await other.close()
    })

    test('everything by the keyboard', async () => {
      const { registry, watched, calls } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await button('Abort copy/a').waitFor()
      await page.keyboard.press('Tab')
      await expect.poll(() => page.evaluate('document.activeElement.textContent.trim()')).toBe('Skip to the content')
      await page.keyboard.press('Enter')
      await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('main')
      await button('Abort copy/a').focus()
      await page.keyboard.press('Enter')
      await page.getByRole('dialog').waitFor()
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'detached' })
      await button('Abort copy/a').focus()
      await page.keyboard.press('Enter')
      // The dialog begins at its first field.
      await page.locator('input[name=reason]:focus').waitFor()
      await page.keyboard.type('by keys')
      await page.keyboard.press('Enter')
      await expect.poll(() => calls.at(-1)).toMatchObject(['abort', 'copy', 'a', { reason: 'by keys' }])
    })

    test('every action from the list and from the job by the keyboard alone', async () => {
      const { registry, watched, calls } = watchedRegistry()
      const datasource = iterableDatasource(async function* () {
        yield { id: 1 }
        if (holds) await new Promise<void>((resolve) => (release = resolve))
      })
      let holds = false
      let release = () => {}
      const target = collectingTarget({ strategy: 'replace' })
      registry.define({ id: 'a', datasource, target })
      await (await registry.start('ingestion', 'a')).finished
      const { url } = await serveDashboard(watched)
      const focus = () =>
        page.evaluate(
          '(document.activeElement.ariaLabel ?? document.activeElement.innerText).trim()',
        ) as Promise<string>
      /** Goes on by the Tab key to what has the name, which has to be seen to have the focus. */
      const tabTo = async (name: string) => {
        for (let step = 0; step < 30 && (await focus()) !== name; step++) await page.keyboard.press('Tab')
        expect(await focus()).toBe(name)
        expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid')
      }
      const dialog = page.getByRole('dialog')
      const views = {
        '#/': { opener: 'Actions for ingestion/a', more: ['Actions for ingestion/a'] },
        '#/job/ingestion/a': { opener: undefined, more: [] },
      }
      for (const [hash, { opener, more }] of Object.entries(views)) {
        await page.goto('about:blank')
        await page.goto(url + hash)
        await (hash === '#/' ? page.locator('.list td') : page.locator('.columns, .table td')).first().waitFor()
        const open = async (action: string) => {
          for (const step of more) {
            await tabTo(step)
            await page.keyboard.press('Enter')
            await dialog.waitFor()
          }
          await tabTo(action)
          await page.keyboard.press('Enter')
          await dialog.getByRole('heading', { name: 'ingestion/a' }).waitFor()
        }
        /** The focus is back where the dialog was opened, or at what has taken its place. */
        const isBack = (instead: string) => expect.poll(focus, { message: hash }).toBe(opener ?? instead)
        await open('Full refresh…')
        await expect.poll(focus).toBe('Read everything again')
        await page.keyboard.press('Escape')
        await isBack('Full refresh…')
        await open('Full refresh…')
        await page.keyboard.press('Enter')
        await expect.poll(() => calls.at(-1)).toMatchObject(['start', 'ingestion', 'a', { fullRefresh: true }])
        await expect.poll(async () => (await registry.status('ingestion', 'a'))?.state).toBe('successful')
        await page.locator(hash === '#/' ? '.list .is-successful' : '.badge.is-successful').waitFor()
        // A run that ends before the page has drawn it leaves the button where it was.
        await expect.poll(focus).toMatch(/^(Actions for ingestion\/a|Start ingestion\/a|Full refresh…)$/)
        await open('Pause…')
        await page.keyboard.type('Moving')
        await page.keyboard.press('Tab')
        await page.keyboard.type('ann')
        await page.keyboard.press('Enter')
        await expect
          .poll(() => calls.at(-1))
          .toMatchObject(['pause', 'ingestion', 'a', { reason: 'Moving', by: 'ann' }])
        await isBack('End the pause')
        if (hash === '#/') {
          await page.keyboard.press('Enter')
          await dialog.waitFor()
          await tabTo('End the pause')
        }
        await page.keyboard.press('Enter')
        await expect.poll(() => calls.at(-1)?.[0]).toBe('unpause')
        await isBack('Pause…')
        holds = true
        await page.evaluate('document.querySelector("h1").focus()')
        await open('Start with parameters…')
        await page.keyboard.press('Control+A')
        await page.keyboard.type('{"day": 3}')
        await tabTo('Start')
        await page.keyboard.press('Enter')
        await expect.poll(() => calls.at(-1)).toMatchObject(['start', 'ingestion', 'a', { params: { day: 3 } }])
        await isBack('Abort…')
        await page.locator('.running .card, .now .card').first().waitFor()
        await page.evaluate('document.querySelector("h1").focus()')
        await open('Abort…')
        await page.keyboard.type('by keys')
        await page.keyboard.press('Enter')
        await expect.poll(() => calls.at(-1)).toMatchObject(['abort', 'ingestion', 'a', { reason: 'by keys' }])
        holds = false
        release()
        await expect.poll(async () => (await registry.status('ingestion', 'a'))?.state).toBe('aborted')
        await isBack('Retry… ingestion/a')
      }
      // A screen reader has a name for each control.
      await page.goto(url)
      await button('Actions for ingestion/a').click()
      await dialog.waitFor()
      expect(await faultsOf(page)).toEqual([])
    })

    test('open a dialog anew by the key that follows the one that has closed it', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched)
      for (const hash of ['#/', '#/job/copy/a']) {
        await page.goto(url + hash)
        await button(/^Abort/).click()
        await page.getByRole('dialog').waitFor()
        // Both keys before anything that the browser has put off, such as the event of the end of a dialog.
        await page.evaluate(`(async () => {
          const dialog = document.querySelector('dialog')
          const opener = [...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Abort…')
          dialog.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))
          dialog.close()
          for (let turn = 0; turn < 10; turn++) await undefined
          opener.click()
        })()`)
        await page.waitForTimeout(100)
        expect(await page.getByRole('dialog').count(), hash).toBe(1)
        await page.keyboard.press('Escape')
        await expect.poll(() => page.getByRole('dialog').count()).toBe(0)
      }
    })

    test('leave the focus where the next key is expected', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      defineFailing(registry, 'b')
      for (let run = 0; run < 2; run++) await (await registry.start('copy', 'b')).finished
      const { url } = await serveDashboard(watched)
      // An open dialog that refuses something has the focus.
      const focus = () =>
        page.evaluate(
          '(document.querySelector("dialog .form-error")?.innerText ?? document.activeElement.ariaLabel ?? document.activeElement.innerText).trim()',
        )
      const press = async (name: string, after: string) => {
        await button(name).focus()
        await page.keyboard.press('Enter')
        await expect.poll(focus, { message: name }).toBe(after)
      }
      await page.goto(`${url}#/job/copy/a`)
      await press('Start copy/a', 'Abort…')
      await press('Abort…', '')
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'detached' })
      expect(await focus()).toBe('Abort…')
      await page.keyboard.press('Enter')
      await page.getByLabel('Reason').press('Enter')
      // A key that is pressed once too often starts nothing.
      await expect.poll(focus, { message: 'the end' }).toBe('copy/a')
      await press('Pause…', '')
      await page.getByLabel('Reason').press('Enter')
      await expect.poll(focus, { message: 'a pause' }).toBe('End the pause')
      await page.keyboard.press('Enter')
      await expect.poll(focus, { message: 'the end of a pause' }).toBe('Pause…')
      // Another action than the first one leads to what can be done with the run, also when buttons before it have come and gone.
      await press('Start with parameters…', '')
      await page.keyboard.press('Escape')
      await button('Start with parameters…').press('Enter')
      await page.getByRole('dialog').getByRole('button', { name: 'Start' }).press('Enter')
      await expect.poll(focus, { message: 'a start' }).toBe('Abort…')
      await button('Pause…').focus()
      await registry.abort('copy', 'a')
      await button('Reset…').waitFor()
      await button('Pause…').press('Enter')
      await page.getByLabel('Reason').press('Enter')
      await expect.poll(focus, { message: 'a pause after an end' }).toBe('End the pause')
      await page.keyboard.press('Enter')
      await expect.poll(focus, { message: 'its end' }).toBe('Pause…')
      await page.goto(url)
      await registry.start('copy', 'a')
      await button('Abort copy/a').focus()
      await registry.abort('copy', 'a')
      await button('Abort copy/a').waitFor({ state: 'detached' })
      await expect.poll(focus, { message: 'a card' }).toMatch(/^Running/)
      // Another run of the same job, and another page of the log.
      await page.goto(`${url}#/job/copy/b`)
      await page.locator('.column').last().focus()
      await page.keyboard.press('ArrowLeft')
      await page.keyboard.press('Enter')
      await text('This is the run of')
      expect(await focus()).toContain('Failed')
    })

    test('nothing when it is read-only', async () => {
      const { watched } = await everyFate()
      const { url } = await serveDashboard(watched, { readOnly: true })
      await page.goto(url)
      await text('Read-only')
      await section('Running').getByRole('progressbar').waitFor()
      await expect.poll(() => button(/Start|Retry|Abort|Pause|Reset/).count()).toBe(0)
      await page.goto(`${url}#/job/copy/failing`)
      await section('Why it failed').waitFor()
      expect(await button(/Start|Retry|Abort|Pause|Reset/).count()).toBe(0)
      const status = await page.evaluate("fetch('api/copy/failing/_start', { method: 'POST' }).then((r) => r.status)")
      expect(status).toBe(403)
    })
  })

  describe('survives', () => {
    test('a server that is started again', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      const first = await serveDashboard(watched)
      await page.goto(first.url)
      await text('Live')
      await first.stop()
      await text('The server does not answer.')
      const port = Number(new URL(first.url).port)
      await serveDashboard(watched, { port })
      await page.locator('.banner').waitFor({ state: 'detached' })
      await registry.start('copy', 'a')
      await section('Running').getByRole('progressbar').waitFor()
      await text('Live')
    })

    test('a server that is away while the log is opened', async () => {
      const { registry, watched } = watchedRegistry()
      defineFailing(registry, 'a')
      await (await registry.start('copy', 'a')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await text('Live')
      await browser.setOffline(true)
      await page.getByRole('link', { name: 'Log' }).click()
      await text('The log could not be read')
      await browser.setOffline(false)
      await page.locator('td.message', { hasText: 'ENOSPC' }).waitFor()
    })

    test('a run that ends before the stream is open', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.start('copy', 'a')
      const { url } = await serveDashboard(watched)
      let open = () => {}
      const opened = new Promise<void>((resolve) => {
        open = resolve
      })
      await page.route(/_events/, (route) => opened.then(() => route.continue()))
      await page.goto(`${url}#/job/copy/a`)
      await page.locator('.badge', { hasText: 'Running' }).waitFor()
      await registry.abort('copy', 'a')
      open()
      await page.locator('.badge', { hasText: 'Aborted' }).waitFor()
    })

    test('a stream that is cut again and again', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      const { url, streams } = await serveDashboard(watched)
      await page.goto(url)
      for (let cut = 0; cut < 3; cut++) {
        await expect.poll(() => streams.size, { interval: 20 }).toBe(1)
        for (const stream of streams) stream.destroy()
      }
      await registry.start('copy', 'a')
      await section('Running').getByRole('progressbar').waitFor()
    })

    test('a device that sleeps while the jobs go on', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.start('copy', 'a')
      const { url, streams } = await serveDashboard(watched)
      await page.goto(url)
      await section('Running').getByRole('progressbar').waitFor()
      await browser.setOffline(true)
      for (const stream of streams) stream.destroy()
      await registry.abort('copy', 'a')
      registry.define({ type: 'copy', id: 'new', run: () => {} })
      await browser.setOffline(false)
      await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
      await text('Nothing runs at the moment')
      await page.locator('.list tr', { hasText: 'Aborted' }).waitFor()
      await page.getByRole('link', { name: 'copy/new' }).waitFor()
    })

    test('an answer that comes later than the event of the end', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({ type: 'copy', id: 'a', run: () => {} })
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/a`)
      await page.route('**/_start?*', async (route) => {
        const response = await route.fetch()
        await page.locator('.badge', { hasText: 'Succeeded' }).waitFor()
        await route.fulfill({ response })
      })
      await button('Start copy/a').click()
      await text('copy/a has started.')
      // Longer than the page collects what has changed.
      await page.waitForTimeout(400)
      expect(await page.locator('.badge').textContent()).toBe('Succeeded')
    })

    test('a login that expires, and comes back', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      await registry.start('copy', 'a')
      let isIn = true
      const { url, streams } = await serveDashboard(watched, { authorize: () => isIn || { status: 401 } })
      await page.goto(`${url}#/job/copy/a`)
      await button('Abort…').waitFor()
      isIn = false
      await button('Abort…').click()
      await page.getByRole('dialog').getByRole('button', { name: 'Abort' }).click()
      await text('Your login has expired.')
      await page.keyboard.press('Escape')
      await text('running')
      for (const stream of streams) stream.destroy()
      isIn = true
      await page.locator('.banner').waitFor({ state: 'detached' })
      await text('Live')
      expect(page.url()).toContain('#/job/copy/a')
    })

    test('a user who may not list jobs, or not follow events', async () => {
      const { registry, watched } = watchedRegistry()
      defineCounting(registry, 'a')
      let allowed: readonly string[] = ['read']
      const { url } = await serveDashboard(watched, {
        authorize: ({ url }, action) =>
          !/api\/?$/.test(url) || allowed.includes('list') ? allowed.includes(action) : false,
      })
      await page.goto(url)
      await text('You may not list the jobs of this server.')
      allowed = ['read', 'list']
      await page.reload()
      await text('Every 5 s')
      await page.getByRole('link', { name: 'copy/a' }).waitFor()
    })

    test('ids that turn the direction of writing, which are shown as they are', async () => {
      const { registry, watched } = watchedRegistry()
      const id = 'a\u202egpj.exe\u2066'
      const shown = 'copy/a\\u202egpj.exe\\u2066'
      defineCounting(registry, id)
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await page.getByRole('link', { name: shown }).click()
      await expect.poll(() => page.locator('h1').innerText()).toBe(shown)
      await button(`Start ${shown}`).click()
      await text(`${shown} has started.`)
      await button('Abort…').click()
      await page.getByRole('heading', { name: `Abort ${shown}` }).waitFor()
      expect(await page.title()).toContain(shown)
    })

    test('ids of every kind', async () => {
      const { registry, watched, calls } = watchedRegistry()
      const ids = ['"><script>globalThis.hit=1</script>', '..a%2F%00/b//c', 'שלום עולם 💥', ' #?&=']
      for (const id of ids) {
        registry.define({ type: `<b>${id}`, id, run: ({ complete }) => complete() })
        await (await registry.start(`<b>${id}`, id)).finished
      }
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      for (const id of ids) {
        const links = page.locator('.list .job-link')
        await links.first().waitFor()
        await links.nth((await links.locator('.job-id').allTextContents()).indexOf(id)).click()
        await expect.poll(() => page.locator('h1 .job-id').textContent()).toBe(id)
        await button(/^Start </).click()
        await expect.poll(() => calls.at(-1)?.slice(0, 3)).toEqual(['start', `<b>${id}`, id])
        await page.locator('.column').first().click()
        await text('This is the run of')
        await page.getByRole('link', { name: 'Jobs' }).first().click()
      }
      expect(await page.evaluate('globalThis.hit')).toBeUndefined()
    })

    test('a status of 5 MB', async () => {
      const { registry, watched } = watchedRegistry()
      const big = 'x'.repeat(5_000_000)
      registry.define({
        type: 'copy',
        id: 'big',
        run({ log, progress }) {
          for (let line = 0; line < 50; line++) log(big.slice(0, 100_000))
          progress({
            count: 1,
            lastId: big.slice(0, 8000),
            detail: { read: 1, written: 1, failed: 0, skipped: 0, big: big.slice(0, 900_000) },
          })
          throw new Error(big, { cause: new Error(big) })
        },
      })
      await (await registry.start('copy', 'big')).finished
      const { url } = await serveDashboard(watched)
      await page.goto(`${url}#/job/copy/big`)
      await section('Why it failed').waitFor()
      await button(/Show all of the last id/).click()
      await page.getByRole('region', { name: 'the last id' }).waitFor()
      const longest = await page.evaluate(longestTask)
      expect(longest).toBeLessThan(1500)
      await page.goto(url)
      await section('Failing now').getByText('xxxx').first().waitFor()
      expect(await page.evaluate('document.body.innerText.length')).toBeLessThan(20_000)
    })

    test('a clock that is an hour wrong', async () => {
      const { registry, watched } = watchedRegistry()
      registry.define({ type: 'copy', id: 'a', run: ({ complete }) => complete() })
      await (await registry.start('copy', 'a')).finished
      await page.addInitScript('const now = Date.now; Date.now = () => now() + 3_600_000')
      const { url } = await serveDashboard(watched)
      await page.goto(url)
      await text("This device's clock is 1 h ahead of the server's.")
      await expect.poll(() => page.locator('.list time').first().textContent()).toMatch(/^(now|\d s ago)$/)
      // The script would run in the next test too.
      await page.close()
      await openPage()
    })
  })

  test('has no fault that axe-core finds, in light and dark, and fits a phone', async () => {
    const { watched } = await everyFate()
    const { url } = await serveDashboard(watched)
    await page.emulateMedia({ reducedMotion: 'reduce' })
    const views: [string, string][] = [
      ['#/', '.cards'],
      ['#/job/copy/failing', '.causes'],
      ['#/job/copy/running', '.log-lines'],
      ['#/job/copy/inside', '.strip'],
      ['#/log?state=error&type=copy', '.table'],
      ['#/job/copy/none', '.empty'],
    ]
    for (const [hash, ready] of views) {
      await page.emulateMedia({ colorScheme: 'light' })
      await page.setViewportSize({ width: 1280, height: 800 })
      await page.goto(url + hash)
      await page.locator(ready).first().waitFor()
      expect(await faultsOf(page), hash).toEqual([])
      await page.emulateMedia({ colorScheme: 'dark' })
      expect(await faultsOf(page, colours), `${hash} in dark`).toEqual([])
      await page.setViewportSize({ width: 390, height: 844 })
      expect(await page.evaluate('document.documentElement.scrollWidth'), hash).toBeLessThanOrEqual(390)
      expect(await faultsOf(page, layout), `${hash} on a phone`).toEqual([])
    }
    await page.goto(`${url}#/job/copy/failing`)
    await button('Reset…').click()
    expect(await faultsOf(page), 'dialog').toEqual([])
  })
})

/** What an ingestion reports that has partitions, a record that failed, and a target that replaces. */
const ingested = {
  ...{ read: 40, written: 38, failed: 2, skipped: 0, parts: { total: 3, done: 1 } },
  partitions: {
    states: { done: 1, running: 1, queued: 1 },
    list: [
      { number: 0, until: '2024-02-01T00:00:00.000Z', state: 'done', read: 30, node: 'worker-2' },
      {
        ...{ number: 1, from: '2024-02-01T00:00:00.000Z', until: '2024-03-01T00:00:00.000Z' },
        ...{ state: 'running', read: 10, position: '2024-02-11T08:00:00.000Z' },
      },
      { number: 2, from: '2024-03-01T00:00:00.000Z', state: 'queued', read: 0 },
    ],
  },
  latestFailures: [
    {
      ...{ key: 'a:1:2', time: '2026-11-30T17:00:00.000Z', phase: 'transform' },
      ...{ error: ['The transform failed.', 'no price'], record: { id: 5, name: '<b>' } },
    },
  ],
  replaced: { how: 'rename', before: 1_000_000, after: 1_000_400, time: '2026-11-30T17:00:00.000Z' },
}

/** The rules of axe-core that depend on colours, and on the width. A page has the same elements in each. */
const colours = ['color-contrast', 'link-in-text-block']
const layout = [...colours, 'target-size', 'scrollable-region-focusable', 'aria-hidden-focus', 'list', 'region']

/** What axe-core finds. It is run from outside, as the policy of the page lets no other script in. */
async function faultsOf(page: Page, rules?: readonly string[]): Promise<string[]> {
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(await readFile(axeFile, 'utf8'))
  const options = { resultTypes: ['violations'], ...(rules && { runOnly: rules }) }
  const run = `axe.run(${JSON.stringify(options)})`
  const found = (await page.evaluate(run)) as { violations: { id: string; nodes: { html: string }[] }[] }
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}

/** How long the page was busy without a pause, at most, while it draws for a second. */
const longestTask = `new Promise((resolve) => {
  let last = performance.now(), longest = 0
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 10)
  setTimeout(() => { clearInterval(timer); resolve(longest) }, 1000)
})`

/** The cells with a number, or with a text that is not cut with an ellipsis, that reach over what shows them. */
const clippedTexts = `[...document.querySelectorAll('td, .figure, .tile-figure, dd')].flatMap((cell) => {
  const range = document.createRange()
  range.selectNodeContents(cell)
  const { right, width } = range.getBoundingClientRect()
  const frame = (cell.closest('.table-frame, .card, .tile, .job-side') ?? document.body).getBoundingClientRect()
  return width > 0 && right > frame.right + 0.5 ? [cell.innerText] : []
})`

/** A registry whose log has so many runs. */
function logOf(registry: ServedRegistry, total: number, asked: object[]): ServedRegistry {
  const runAt = (index: number): EndedStatus => ({
    state: 'successful',
    type: 'copy',
    id: `job-${index % 7}`,
    executionId: `job-${index % 7}019a0000-0000-7000-8000-${String(index).padStart(12, '0')}`,
    startTime: 1_796_000_000_000 - index * 1000,
    endTime: 1_796_000_000_500 - index * 1000,
    infos: 'The job is done.',
    count: index,
  })
  const search: ServedRegistry['search'] = async (filter = {}) => {
    asked.push(filter)
    const { from = 0, size = 10, state } = filter
    if (state !== undefined) return { total: 0, hits: [] }
    const length = Math.max(0, Math.min(size, total - from))
    return { total, hits: Array.from({ length }, (_, index) => runAt(from + index)) }
  }
  return new Proxy(registry, { get: (target, name) => (name === 'search' ? search : Reflect.get(target, name)) })
}

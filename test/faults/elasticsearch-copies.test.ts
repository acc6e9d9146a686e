import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { JobRegistry, memoryStorage } from 'headgate'
import { type ElasticsearchTargetOptions, elasticsearchDatasource, elasticsearchTarget } from 'headgate/elasticsearch'
import { iterableDatasource } from 'headgate/iterable'
import { expect, onTestFinished, test } from 'vitest'
import { describeOpensearch } from '../support/opensearch.js'
import { programOf } from '../support/program.js'
import type { ElasticsearchCopyPlan } from './elasticsearch-copier.js'

/** How often processes are killed in each way of writing. */
const kills = Number(process.env.HEADGATE_TEST_KILLS ?? 2)

const count = 3000

/** How many documents there are that are to be replaced. */
const oldCount = 3

interface Found {
  readonly hits: { readonly hits: readonly { readonly _id: string; readonly _source: { readonly name: string } }[] }
}

describeOpensearch('copies to OpenSearch whose process is killed', (server) => {
  test.each(['append', 'replace'] as const)(
    'by %s have every document once',
    async (strategy) => {
      const isReplace = strategy === 'replace'
      const index = `${server.prefix}${strategy}`
      const options: ElasticsearchTargetOptions = {
        node: server.url,
        index,
        id: 'id',
        strategy,
        ...(isReplace && { maxShrink: 1 }),
      }
      if (isReplace) {
        await server.send('PUT', `/${index}-old`, { aliases: { [index]: {} } })
        for (let n = 1; n <= oldCount; n++)
          await server.send('PUT', `/${index}-old/_doc/-${n}?refresh=true`, { name: 'old' })
      }
      const folder = await mkdtemp(join(tmpdir(), 'headgate-elasticsearch-'))
      const plan: ElasticsearchCopyPlan = { storage: join(folder, 'jobs.db'), count, options }
      const program = await programOf(new URL('elasticsearch-copier.ts', import.meta.url))
      const seen = new Set<number>()
      let said = ''
      for (let killed = 0; !said.includes('{'); killed++) {
        said = ''
        const child = spawn(process.execPath, [program, JSON.stringify(plan)], { stdio: ['ignore', 'pipe', 'inherit'] })
        child.stdout.setEncoding('utf8').on('data', (text) => {
          said += text
        })
        const exited = once(child, 'close')
        if (killed < kills) {
          await Promise.race([once(child.stdout, 'data').then(() => setTimeout(Math.random() * 500)), exited])
          child.kill('SIGKILL')
        }
        await exited
        if (isReplace) seen.add((await server.send<{ count: number }>('GET', `/${index}/_count`)).count)
      }
      expect(JSON.parse(said.slice(said.indexOf('{')))).toMatchObject({ state: 'successful', lastId: String(count) })
      const { hits } = await server.send<Found>('GET', `/${index}/_search?size=10000`)
      const names = hits.hits.map(({ _id, _source }) => [Number(_id), _source.name] as const).sort(([a], [b]) => a - b)
      expect(names).toEqual(Array.from({ length: count }, (_, n) => [n + 1, `name ${n + 1}`]))
      for (const found of seen) expect([oldCount, count]).toContain(found)
      const left = Object.entries(await server.send<Record<string, { aliases: object }>>('GET', `/${index}*`))
      // The one that was there, and the one that took its place.
      expect(left.map(([, { aliases }]) => Object.keys(aliases))).toEqual(isReplace ? [[index], []] : [[]])
      await rm(folder, { recursive: true })
    },
    120_000,
  )
})

describeOpensearch('a server that is killed and started again', (server) => {
  // The server that the environment names stays as it is.
  test.skipIf(process.env.HEADGATE_TEST_OPENSEARCH_URL)(
    'has every document once',
    async () => {
      const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 20 })
      onTestFinished(() => registry.close())
      const index = `${server.prefix}restarted`
      registry.define({
        id: 'copy',
        datasource: iterableDatasource(Array.from({ length: count }, (_, n) => ({ id: n + 1 }))),
        cursor: 'id',
        batchSize: 100,
        rateLimit: { rows: 2000 },
        target: elasticsearchTarget({ node: server.url, index, id: 'id' }),
      })
      const written = new Promise<void>((resolve) => {
        registry.on('progress', ({ status }) => status.count > 500 && resolve())
      })
      const { finished } = await registry.start('ingestion', 'copy')
      await written
      await server.restart()
      expect(await finished).toMatchObject({ state: 'successful', count })
      expect(await server.send('GET', `/${index}/_count`)).toMatchObject({ count })
    },
    120_000,
  )

  test('a read by a cursor goes on after the last checkpoint when its server was restarted', async () => {
    const index = `${server.prefix}source`
    await server.send('PUT', `/${index}`, {
      settings: { number_of_shards: 3, number_of_replicas: 0 },
      mappings: { properties: { id: { type: 'long' } } },
    })
    const lines = Array.from({ length: count }, (_, at) => `{"index":{}}\n{"id":${at + 1}}\n`).join('')
    const headers = { 'content-type': 'application/x-ndjson' }
    await fetch(`${server.url}/${index}/_bulk?refresh=true`, { method: 'POST', headers, body: lines })
    const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 5 })
    onTestFinished(() => registry.close())
    const read: number[] = []
    registry.define({
      id: 'read',
      datasource: elasticsearchDatasource({ node: server.url, index }),
      cursor: 'id',
      batchSize: 100,
      retry: { limit: 3, delay: 100 },
      target: async (batch) => {
        if (read.length === 1000) await server.restart()
        read.push(...batch.records().map(({ id }) => Number(id)))
      },
    })
    const { finished } = await registry.start('ingestion', 'read')
    expect(await finished).toMatchObject({ state: 'successful' })
    expect(new Set(read).size).toBe(count)
    // What no checkpoint had passed comes again.
    expect(read.length).toBeLessThan(count + 1000)
    expect(read.toSorted((one, other) => one - other)[0]).toBe(1)
  }, 120_000)
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { isLive } from 'headgate'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import type { StoragePlan } from './plan.js'
import { fillSource } from './source.js'

/** How long a lease holds, in milliseconds: short, as every crash is noticed after one. */
const lease = 600

describePostgres('when a process is killed', (database) => {
  let folder: string
  beforeAll(async () => {
    await fillSource(database.url)
    folder = await mkdtemp(join(tmpdir(), 'headgate-crashes-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  const plans: Record<string, () => StoragePlan> = {
    postgres: () => ({ kind: 'postgres', url: database.url }),
    sqlite: () => ({ kind: 'sqlite', path: join(folder, 'jobs.db') }),
  }

  /** Runs one job after the other while their processes are killed, until so many kills have hit one in mid-run. */
  async function killInMidRun(cluster: Cluster, strategy: string, lane: number, wanted: number): Promise<number> {
    let kills = 0
    for (let round = 0; kills < wanted; round++) {
      const id = `${strategy}-${lane + 4 * round}`
      await cluster.start('ingestion', id)
      await setTimeout(Math.random() * 500)
      const record = await cluster.storage.find('ingestion', id)
      if (record?.node && isLive(record.state)) {
        kills++
        await cluster.replace(record.node)
      }
      const { state } = await cluster.ended('ingestion', id)
      expect([id, state, await cluster.isWhole(id)]).toEqual([id, 'successful', true])
    }
    return kills
  }

  // At once: most of the time, they wait for leases to run out.
  test.concurrent.for(['postgres', 'sqlite'])(
    'at 12 random moments, over %s, another one ends its file with the bytes of a run that nothing interrupted',
    { timeout: 150_000 },
    async (kind, { onTestFinished }) => {
      const storage = plans[kind]?.() as StoragePlan
      const cluster = await Cluster.open({ storage, source: database.url, kinds: ['replace', 'append'], lease }, 4)
      onTestFinished(() => cluster.close())
      const lanes = ['replace', 'replace', 'append', 'append'].map((strategy, lane) =>
        killInMidRun(cluster, strategy, lane, 3),
      )
      const kills = await Promise.all(lanes)
      expect(kills.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(12)
    },
  )
})

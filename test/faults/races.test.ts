import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import type { StoragePlan } from './plan.js'

describePostgres('when ten processes start the same job again and again for ten seconds', (database) => {
  let folder: string
  let cluster: Cluster
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-races-'))
  })
  afterEach(() => cluster.close())
  afterAll(() => rm(folder, { recursive: true }))

  const plans: Record<string, () => StoragePlan> = {
    postgres: () => ({ kind: 'postgres', url: database.url }),
    sqlite: () => ({ kind: 'sqlite', path: join(folder, 'jobs.db') }),
  }

  test.each(['postgres', 'sqlite'])(
    'over %s, never are two live at once, and no start is lost',
    async (kind) => {
      const storage = plans[kind]?.() as StoragePlan
      cluster = await Cluster.open({ storage, source: database.url, lease: 10_000 }, 10)
      const loops = [...cluster.nodes.values()].map((node) => node.tell({ do: 'loop', id: 'short', ms: 10_000 }))
      const answers = await Promise.all(loops)
      const started = answers.flatMap(({ executionIds = [] }) => executionIds)
      const log = await cluster.log('short')

      expect(log.map(({ executionId }) => executionId).sort()).toEqual([...started].sort())
      expect(log.map(({ epoch }) => epoch)).toEqual(log.map((_, index) => index + 1))
      const overlaps = log.filter(({ startTime }, index) => startTime < (log[index - 1]?.endTime ?? 0))
      expect(overlaps).toEqual([])
      expect(new Set(log.map(({ state }) => state))).toEqual(new Set(['successful']))
      // Many processes had their turn, and stood in each other's way.
      expect(new Set(log.map(({ node }) => node)).size).toBeGreaterThan(5)
      expect(answers.reduce((sum, { refused = 0 }) => sum + refused, 0)).toBeGreaterThan(started.length)
    },
    60_000,
  )
})

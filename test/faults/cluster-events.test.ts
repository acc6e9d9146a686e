import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type JobEvent, JobRegistry } from 'headgate'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { openStorage, type StoragePlan } from './plan.js'
import { fillSource } from './source.js'

/** How long a lease holds, in milliseconds: too long for a test to see its end. */
const lease = 30_000

describePostgres('what a process hears of the others', (database) => {
  let folder: string
  let cluster: Cluster
  let registry: JobRegistry
  beforeAll(async () => {
    await fillSource(database.url)
    folder = await mkdtemp(join(tmpdir(), 'headgate-events-'))
  })
  afterEach(async () => {
    await registry.close()
    await cluster.close()
  })
  afterAll(() => rm(folder, { recursive: true }))

  const plans: Record<string, () => StoragePlan> = {
    postgres: () => ({ kind: 'postgres', url: database.url }),
    sqlite: () => ({ kind: 'sqlite', path: join(folder, 'jobs.db') }),
  }

  /** A cluster of two processes, and what the registry of this one hears of them. */
  async function listen(kind: string) {
    const storage = plans[kind]?.() as StoragePlan
    cluster = await Cluster.open({ storage, source: database.url, kinds: ['append'], lease }, 2)
    registry = new JobRegistry({ storage: openStorage(storage) })
    const heard: JobEvent[] = []
    registry.on('status', (event) => heard.push(event), { scope: 'cluster' })
    const untilHeard = (fits: (event: JobEvent) => boolean) =>
      new Promise<JobEvent>((resolve) => {
        const found = heard.find(fits)
        if (found) resolve(found)
        registry.on('status', (event) => fits(event) && resolve(event), { scope: 'cluster' })
      })
    return { nodes: [...cluster.nodes.values()], heard, untilHeard }
  }

  test.each(['postgres', 'sqlite'])(
    'over %s, the end of every execution, once, however many there are',
    async (kind) => {
      const { nodes, heard } = await listen(kind)
      const answers = await Promise.all(nodes.map((node) => node.tell({ do: 'loop', id: 'short', ms: 1500 })))
      const started = answers.flatMap(({ executionIds = [] }) => executionIds)
      const ends = () => heard.filter(({ id, status }) => id === 'short' && status.state === 'successful')
      for (const end = Date.now() + 5000; Date.now() < end && ends().length < started.length; ) await setTimeout(20)
      expect(
        ends()
          .map(({ status }) => status.executionId)
          .sort(),
      ).toEqual(started.sort())
    },
    30_000,
  )

  test.each(['postgres', 'sqlite'])(
    'over %s, that another one goes on at once with the jobs of one that closes',
    async (kind) => {
      const { nodes, heard, untilHeard } = await listen(kind)
      const { executionIds } = (await nodes[0]?.tell({ do: 'start', type: 'ingestion', id: 'append-1' })) ?? {}
      await cluster.until('ingestion', 'append-1', ({ count }) => count > 0)
      await nodes[0]?.tell({ do: 'close' })
      const { status } = await untilHeard(({ id, status }) => id === 'append-1' && status.state === 'successful')
      expect(status.resumedFrom).toBe(executionIds?.[0])
      expect(await cluster.isWhole('append-1')).toBe(true)
      expect(heard.filter(({ status }) => status.executionId === executionIds?.[0]).at(-1)?.status.state).toBe(
        'aborted',
      )
    },
    30_000,
  )
})

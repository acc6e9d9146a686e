import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { fillSource } from './source.js'

const lease = 1000
const hour = 3_600_000

describePostgres('when the clock of a process is an hour wrong', (database) => {
  let cluster: Cluster
  beforeAll(() => fillSource(database.url))
  afterEach(() => cluster.close())

  test.each([hour, -hour])(
    'by %i ms, its jobs keep their leases and show the time of the storage',
    async (skew) => {
      const storage = { kind: 'postgres', url: database.url } as const
      cluster = await Cluster.open({ storage, source: database.url, lease }, 1)
      const wrong = cluster.add({ skew })
      const { executionIds } = await wrong.tell({ do: 'start', type: 'test', id: 'endless' })
      await setTimeout(3 * lease)
      const found = await cluster.storage.find('test', 'endless')
      expect(found).toMatchObject({ state: 'running', executionId: executionIds?.[0] })
      expect(Math.abs((found?.startTime ?? 0) - Date.now())).toBeLessThan(60_000)

      const [right] = [...cluster.nodes.values()]
      await right?.tell({ do: 'abort', type: 'test', id: 'endless' })
      expect(await cluster.storage.find('test', 'endless')).toMatchObject({
        state: 'aborted',
        executionId: executionIds?.[0],
      })
    },
    30_000,
  )
})

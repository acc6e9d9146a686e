import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { Cluster } from './cluster.js'
import { fillSource } from './source.js'

/** How long a lease holds, in milliseconds. */
const lease = 1000

describePostgres('when a process is frozen for three leases', (database) => {
  let cluster: Cluster
  beforeAll(() => fillSource(database.url))
  afterEach(() => cluster.close())

  const freeze = async (id: string) => {
    const plan = { kind: 'postgres', url: database.url } as const
    cluster = await Cluster.open({ storage: plan, source: database.url, kinds: ['replace', 'append'], lease }, 2)
    const [frozen] = [...cluster.nodes.values()]
    await frozen?.tell({ do: 'start', type: 'ingestion', id })
    const { executionId } = await cluster.until('ingestion', id, ({ count }) => count > 0)
    frozen?.signal('SIGSTOP')
    const { resumedFrom, state } = await cluster.ended('ingestion', id)
    expect({ resumedFrom, state }).toEqual({ resumedFrom: executionId, state: 'successful' })
    await setTimeout(lease)
    const [log, live] = [await cluster.log(id), await cluster.storage.find('ingestion', id)]
    frozen?.signal('SIGCONT')
    return { frozen, executionId, log, live }
  }

  test.each(['replace-0', 'append-0'])(
    'another one goes on with %s; the first one wakes, finds its lease lost, and changes nothing',
    async (id) => {
      const { frozen, log, live, executionId } = await freeze(id)
      // It answers once it has woken up, and can stop by then what it was at.
      await frozen?.tell({ do: 'close' })
      expect(await cluster.log(id)).toEqual(log)
      expect(await cluster.storage.find('ingestion', id)).toEqual(live)
      expect(log[0]).toMatchObject({
        executionId,
        state: 'error',
        error: [
          'The node that ran the job stopped answering.',
          expect.stringMatching(/^The lease of node \[node-1\] expired at \d{4}-\d\d-\d\dT/),
        ],
      })
      expect(await cluster.isWhole(id)).toBe(true)
    },
    60_000,
  )
})

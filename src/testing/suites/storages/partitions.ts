import assert from 'node:assert/strict'
import { type ExecutionRecord, executionOrder } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { begin, beginUnclaimed, expire, leaseOf, present, request, runThrough, type StorageSubject } from './subject.js'

export const partitionCases: Cases<StorageSubject> = {
  async 'partitions: each is live on its own, beside its job'({ storage, peer }) {
    const job = await begin(storage)
    const [first, second] = [await begin(storage, { partition: 0 }), await begin(peer, { partition: 1 })]
    const of = ({ type, id, partition, epoch }: ExecutionRecord) => [type, id, partition, epoch]
    assert.deepEqual(
      [job, first, second].map(of),
      [undefined, 0, 1].map((partition) => ['test', 'a', partition, 1]),
    )
    assert.equal('partition' in job, false)
    assert.ok(first.executionId.startsWith('a') && executionOrder(first.executionId))
    for (const execution of [job, first, second]) {
      assert.deepEqual(await peer.find('test', 'a', execution.partition), execution)
      const { partition } = execution
      const again = await peer.begin(request(partition === undefined ? {} : { partition }))
      assert.deepEqual(again, { started: false, execution })
    }
    assert.equal(await storage.find('test', 'a', 2), undefined)
    assert.equal(await storage.requestAbort({ type: 'test', id: 'a', partition: 2 }), undefined)
  },

  async 'partitions: belong to their job, not to one with a similar name'({ storage }) {
    await begin(storage, { id: 'a', partition: 1 })
    for (const [type, id] of [
      ['test', 'a#1'],
      ['_test', 'a#1'],
      ['test', 'a1'],
      ['1/4:test', 'a'],
    ] as const) {
      assert.equal(await storage.find(type, id), undefined)
      assert.equal('partition' in (await begin(storage, { type, id })), false)
    }
  },

  async 'partitions: of 50 starts of one at once, one starts'({ storage, peer }) {
    const begins = Array.from({ length: 50 }, (_, n) => (n % 2 ? peer : storage).begin(request({ partition: 3 })))
    assert.equal((await Promise.all(begins)).filter(({ started }) => started).length, 1)
  },

  async 'partitions: an abort, a claim and an end affect one partition only'({ storage, peer }) {
    const job = await beginUnclaimed(storage)
    const [first, second] = [
      await beginUnclaimed(storage, { partition: 0 }),
      await beginUnclaimed(storage, { partition: 1 }),
    ]
    assert.equal(present(await peer.requestAbort({ type: 'test', id: 'a', partition: 0 })).state, 'aborting')
    const claimed = present(await peer.claim(leaseOf(second), { node: 'node-2', lease: 60_000 }))
    assert.deepEqual([claimed.partition, claimed.state, claimed.node], [1, 'running', 'node-2'])
    const ended = present(await storage.finish(leaseOf(claimed), { state: 'successful', checkpoint: { at: 1 } }))
    assert.deepEqual(await storage.find('test', 'a', 1), ended)
    assert.deepEqual(await storage.find('test', 'a', 0), { ...first, state: 'aborting' })
    assert.deepEqual(await storage.find('test', 'a'), job)
  },

  async 'partitions: each inherits its own checkpoint'({ storage }) {
    await runThrough(storage, {}, { state: 'successful', checkpoint: { of: 'job' } })
    for (const partition of [0, 1]) {
      await runThrough(storage, { partition }, { state: 'error', error: ['broken'], checkpoint: { of: partition } })
    }
    for (const partition of [0, 1]) {
      const { checkpoint, epoch } = await begin(storage, { partition })
      assert.deepEqual([checkpoint, epoch], [{ of: partition }, 2])
    }
    assert.deepEqual((await begin(storage)).checkpoint, { of: 'job' })
  },

  async 'partitions: an expired lease is settled, and makes an orphan that can be resumed'(subject) {
    const { storage, peer } = subject
    const lost = await expire(subject, { partition: 2 })
    const found = present(await peer.find('test', 'a', 2))
    assert.deepEqual([found.state, found.isOrphaned, found.executionId], ['error', true, lost.executionId])
    assert.deepEqual(await storage.orphans(), { hits: [] })
    assert.deepEqual(await storage.orphans({ includePartitions: true }), { hits: [found] })
    const resumed = await begin(peer, { partition: 2, resumedFrom: lost.executionId, takeovers: 1 })
    assert.deepEqual([resumed.partition, resumed.resumedFrom], [2, lost.executionId])
    assert.deepEqual(await storage.orphans({ includePartitions: true }), { hits: [] })
  },

  async 'partitions: live executions are listed on request'({ storage, pass }) {
    const executions: ExecutionRecord[] = []
    for (const job of [{}, { partition: 0 }, { id: 'b' }, { partition: 1 }, { id: 'b', partition: 0 }]) {
      executions.push(await begin(storage, job))
      await pass(3)
    }
    const without = executions.filter(({ partition }) => partition === undefined)
    const ofA = executions.filter(({ id }) => id === 'a')
    assert.deepEqual(await storage.live({ type: 'test' }), { hits: without })
    assert.deepEqual(await storage.live({ type: 'test', id: 'a' }), { hits: without.slice(0, 1) })
    assert.deepEqual(await storage.live({ type: 'test', includePartitions: true }), { hits: executions })
    assert.deepEqual(await storage.live({ type: 'test', id: 'a', includePartitions: true }), { hits: ofA })
    const { hits, next } = await storage.live({ type: 'test', includePartitions: true, size: 2 })
    assert.deepEqual([hits, next], [executions.slice(0, 2), executions[1]?.executionId])
  },

  async 'partitions: a search finds live and ended ones on request'({ storage, pass }) {
    for (const state of ['successful', 'running'] as const) {
      const found: ExecutionRecord[] = []
      const filter = { state }
      for (const job of [{}, { partition: 0 }, { id: 'b' }, { partition: 1 }, { partition: 0, id: 'b' }]) {
        const ended = state === 'running' ? await begin(storage, job) : await runThrough(storage, job)
        found.unshift(ended)
        await pass(3)
      }
      const without = found.filter(({ partition }) => partition === undefined)
      const first = found.filter(({ partition }) => partition === 0)
      const pages: [object, ExecutionRecord[]][] = [
        [{}, without],
        [{ id: 'a' }, without.filter(({ id }) => id === 'a')],
        [{ includePartitions: true }, found],
        [{ includePartitions: true, id: 'a' }, found.filter(({ id }) => id === 'a')],
        [{ partition: 0 }, first],
        [{ partition: 0, includePartitions: true }, first],
        [{ type: 'test', id: 'b', partition: 0 }, first.filter(({ id }) => id === 'b')],
        [{ partition: 7 }, []],
      ]
      for (const [more, hits] of pages) {
        const expected = { total: hits.length, hits }
        assert.deepEqual(await storage.search({ ...filter, ...more }), expected, JSON.stringify({ ...filter, ...more }))
      }
      const paged = await storage.search({ ...filter, includePartitions: true, from: 1, size: 2 })
      assert.deepEqual(paged, { total: 5, hits: found.slice(1, 3) })
      const searchAfter = present(found[1]).executionId
      const after = await storage.search({ ...filter, includePartitions: true, searchAfter })
      assert.deepEqual(after, { total: 5, hits: found.slice(2) })
    }
  },
}

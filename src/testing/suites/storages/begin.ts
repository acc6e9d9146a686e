import assert from 'node:assert/strict'
import { executionOrder } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { begin, expire, leaseOf, liveOf, present, request, runThrough, type StorageSubject } from './subject.js'

export const beginCases: Cases<StorageSubject> = {
  async 'begin: returns a new execution in the requested state'({ storage }) {
    for (const state of ['queued', 'running'] as const) {
      const { executionId, startTime, leaseUntil, ...rest } = await begin(storage, { id: state, state })
      assert.deepEqual(rest, { type: 'test', id: state, state, epoch: 1, node: 'node-1', count: 0 })
      assert.ok(
        executionId.startsWith(state) && executionOrder(executionId),
        `Expected id and UUID, got ${executionId}`,
      )
      assert.ok((leaseUntil ?? 0) > startTime, 'Expected the lease to hold for some time')
    }
  },

  async 'begin: is found at once, also by another process'({ storage, peer }) {
    const execution = await begin(storage)
    assert.deepEqual(await storage.find('test', 'a'), execution)
    assert.deepEqual(await peer.find('test', 'a'), execution)
  },

  async 'begin: returns the live execution that prevents the start'({ storage, peer }) {
    const execution = await begin(storage)
    const second = await peer.begin(request({ node: 'node-2' }))
    assert.deepEqual(second, { started: false, execution })
  },

  async 'begin: a queued or aborting execution prevents a start too'({ storage }) {
    await begin(storage, { id: 'queued', state: 'queued' })
    await begin(storage, { id: 'aborting' })
    await storage.requestAbort({ type: 'test', id: 'aborting' })
    for (const id of ['queued', 'aborting']) {
      const { started, execution } = await storage.begin(request({ id }))
      assert.deepEqual([started, execution.state], [false, id])
    }
  },

  async 'begin: of 50 at once, one starts'({ storage, peer }) {
    const begins = Array.from({ length: 50 }, (_, n) => (n % 2 ? peer : storage).begin(request({ node: `node-${n}` })))
    const results = await Promise.all(begins)
    const winner = present(results.find(({ started }) => started)).execution
    assert.equal(results.filter(({ started }) => started).length, 1)
    for (const { execution } of results) assert.equal(execution.executionId, winner.executionId)
    assert.equal((await liveOf(storage)).length, 1)
  },

  async 'begin: of 50 at once over an expired lease, one starts'(subject) {
    const { storage, peer } = subject
    await expire(subject)
    const results = await Promise.all(Array.from({ length: 50 }, (_, n) => (n % 2 ? peer : storage).begin(request())))
    assert.equal(results.filter(({ started }) => started).length, 1)
    assert.deepEqual([...new Set(results.map(({ execution }) => execution.epoch))], [2])
  },

  async 'begin: jobs of other types and ids do not prevent a start'({ storage }) {
    const jobs = [
      { type: 'a', id: 'b' },
      { type: 'b', id: 'a' },
      { type: 'a', id: 'b:c' },
      { type: 'a:b', id: 'c' },
    ]
    for (const job of jobs) await begin(storage, job)
    for (const job of jobs) assert.equal(present(await storage.find(job.type, job.id)).type, job.type)
  },

  async 'begin: epochs rise with every execution of a job'({ storage, peer }) {
    const epochs: number[] = []
    for (const each of [storage, peer, storage]) epochs.push((await runThrough(each)).epoch)
    assert.deepEqual(epochs, [1, 2, 3])
    assert.equal((await begin(storage, { id: 'b' })).epoch, 1)
  },

  async 'begin: ids of one job differ and rise'({ storage }) {
    const orders: string[] = []
    for (let n = 0; n < 20; n++) orders.push(executionOrder((await runThrough(storage)).executionId) ?? '')
    assert.deepEqual([...new Set(orders)].sort(), orders)
  },

  async 'begin: takes over the checkpoint, and nothing else'({ storage }) {
    for (const state of ['successful', 'error', 'aborted'] as const) {
      const progress = { count: 7, lastId: '7', checkpoint: { at: state }, detail: { of: state } }
      await runThrough(storage, {}, { state, ...progress, ...(state === 'error' && { error: ['broken'] }) })
      const next = await begin(storage)
      assert.deepEqual([next.checkpoint, next.count, next.lastId, next.error], [{ at: state }, 0, undefined, undefined])
      assert.equal('detail' in next, false)
      await storage.finish(leaseOf(next), { state: 'successful' })
    }
  },

  async 'begin: takes over the checkpoint from before executions that wrote none'({ storage }) {
    await runThrough(storage, {}, { state: 'successful', checkpoint: 1 })
    await runThrough(storage)
    assert.equal((await begin(storage)).checkpoint, 1)
  },

  async 'begin: takes over the checkpoint of an execution with an expired lease'(subject) {
    const { storage, pass } = subject
    const execution = await begin(storage)
    await storage.renew(leaseOf(execution), { lease: 100, checkpoint: [1], count: 5 })
    await pass(150)
    const next = await begin(storage)
    assert.deepEqual([next.checkpoint, next.count, next.epoch], [[1], 0, 2])
  },

  async 'begin: starts without a checkpoint after it was cleared with null'({ storage }) {
    await runThrough(storage, {}, { state: 'successful', checkpoint: { at: 1 } })
    const second = await begin(storage)
    const saved = present(await storage.renew(leaseOf(second), { lease: 1000, checkpoint: null }))
    assert.equal('checkpoint' in saved, false)
    await storage.finish(leaseOf(second), { state: 'successful' })
    assert.equal('checkpoint' in (await begin(storage)), false)
  },
}

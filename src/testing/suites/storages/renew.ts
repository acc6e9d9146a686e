import assert from 'node:assert/strict'
import type { Cases } from '../suite.js'
import { begin, leaseOf, longLease, present, runThrough, type StorageSubject, shortLease } from './subject.js'

export const renewCases: Cases<StorageSubject> = {
  async 'renew: writes progress and returns the current execution'({ storage }) {
    const execution = await begin(storage)
    const progress = { count: 3, lastId: 'c', checkpoint: { at: 3 } }
    const { leaseUntil, ...saved } = present(await storage.renew(leaseOf(execution), { lease: longLease, ...progress }))
    const { leaseUntil: before, ...rest } = execution
    assert.deepEqual(saved, { ...rest, ...progress })
    assert.deepEqual(await storage.find('test', 'a'), { ...saved, leaseUntil })
  },

  async 'renew: keeps what is not given'({ storage }) {
    const lease = leaseOf(await begin(storage))
    await storage.renew(lease, { lease: longLease, count: 3, lastId: 'c', checkpoint: { at: 3 } })
    assert.equal(present(await storage.renew(lease, { lease: longLease })).count, 3)
    await storage.renew(lease, { lease: longLease, count: 4 })
    const { count, lastId, checkpoint } = present(await storage.find('test', 'a'))
    assert.deepEqual({ count, lastId, checkpoint }, { count: 4, lastId: 'c', checkpoint: { at: 3 } })
  },

  async 'renew: replaces the detail'({ storage }) {
    const lease = leaseOf(await begin(storage))
    const first = present(await storage.renew(lease, { lease: longLease, count: 1, detail: { a: 1, b: [2] } }))
    assert.deepEqual(first.detail, { a: 1, b: [2] })
    assert.deepEqual(present(await storage.renew(lease, { lease: longLease, count: 2 })).detail, { a: 1, b: [2] })
    assert.deepEqual(present(await storage.renew(lease, { lease: longLease, detail: { c: 3 } })).detail, { c: 3 })
    assert.deepEqual(present(await storage.renew(lease, { lease: longLease, detail: {} })).detail, {})
    assert.equal(present(await storage.find('test', 'a')).count, 2)
  },

  async 'renew: writes a count of 0 and an empty last id'({ storage }) {
    const lease = leaseOf(await begin(storage))
    await storage.renew(lease, { lease: longLease, count: 3, lastId: 'c' })
    const { count, lastId } = present(await storage.renew(lease, { lease: longLease, count: 0, lastId: '' }))
    assert.deepEqual({ count, lastId }, { count: 0, lastId: '' })
  },

  async 'renew: renews the lease'({ storage, pass }) {
    const lease = leaseOf(await begin(storage, { lease: shortLease }))
    const saved = present(await storage.renew(lease, { lease: longLease }))
    await pass(shortLease + 50)
    assert.deepEqual(await storage.find('test', 'a'), saved)
  },

  async 'renew: shows that an abort was requested, and does not undo it'({ storage, peer }) {
    for (const state of ['queued', 'running'] as const) {
      const execution = await begin(storage, { id: state, state })
      await peer.requestAbort({ type: 'test', id: state })
      assert.equal(present(await storage.renew(leaseOf(execution), { lease: longLease })).state, 'aborting')
    }
  },

  async 'renew: writes nothing under another epoch'({ storage }) {
    const execution = await begin(storage)
    for (const epoch of [0, execution.epoch + 1]) {
      assert.equal(await storage.renew({ ...leaseOf(execution), epoch }, { lease: 1, count: 9 }), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'renew: writes nothing for another execution'({ storage }) {
    const before = await runThrough(storage)
    const execution = await begin(storage)
    const lost = { executionId: before.executionId, epoch: execution.epoch }
    assert.equal(await storage.renew(lost, { lease: 1, count: 9 }), undefined)
    assert.equal(await storage.renew({ executionId: 'unknown', epoch: 1 }, { lease: 1, count: 9 }), undefined)
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'renew: concurrent renewals lose nothing'({ storage, peer }) {
    const lease = leaseOf(await begin(storage))
    await Promise.all([
      storage.renew(lease, { lease: longLease, count: 3 }),
      peer.renew(lease, { lease: longLease, lastId: 'c' }),
      storage.renew(lease, { lease: longLease, checkpoint: [3] }),
      peer.requestAbort({ type: 'test', id: 'a' }),
    ])
    const { state, count, lastId, checkpoint } = present(await storage.find('test', 'a'))
    assert.deepEqual(
      { state, count, lastId, checkpoint },
      { state: 'aborting', count: 3, lastId: 'c', checkpoint: [3] },
    )
  },
}

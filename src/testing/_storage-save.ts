import assert from 'node:assert/strict'
import { begin, leaseOf, longLease, present, runThrough, type StorageSubject, shortLease } from './_storage-subject.js'
import type { Cases } from './_suite.js'

export const saveCases: Cases<StorageSubject> = {
  async 'save: writes progress and gives the execution as it is now'({ storage }) {
    const execution = await begin(storage)
    const progress = { count: 3, lastId: 'c', checkpoint: { at: 3 } }
    const { leaseUntil, ...saved } = present(await storage.save(leaseOf(execution), { lease: longLease, ...progress }))
    const { leaseUntil: before, ...rest } = execution
    assert.deepEqual(saved, { ...rest, ...progress })
    assert.deepEqual(await storage.find('test', 'a'), { ...saved, leaseUntil })
  },

  async 'save: keeps what is not given'({ storage }) {
    const lease = leaseOf(await begin(storage))
    await storage.save(lease, { lease: longLease, count: 3, lastId: 'c', checkpoint: { at: 3 } })
    await storage.save(lease, { lease: longLease })
    await storage.save(lease, { lease: longLease, count: 4 })
    const { count, lastId, checkpoint } = present(await storage.find('test', 'a'))
    assert.deepEqual({ count, lastId, checkpoint }, { count: 4, lastId: 'c', checkpoint: { at: 3 } })
  },

  async 'save: puts the detail in the place of the one before'({ storage }) {
    const lease = leaseOf(await begin(storage))
    const first = present(await storage.save(lease, { lease: longLease, count: 1, detail: { a: 1, b: [2] } }))
    assert.deepEqual(first.detail, { a: 1, b: [2] })
    assert.deepEqual(present(await storage.save(lease, { lease: longLease, count: 2 })).detail, { a: 1, b: [2] })
    assert.deepEqual(present(await storage.save(lease, { lease: longLease, detail: { c: 3 } })).detail, { c: 3 })
    assert.deepEqual(present(await storage.save(lease, { lease: longLease, detail: {} })).detail, {})
    assert.equal(present(await storage.find('test', 'a')).count, 2)
  },

  async 'save: takes a count of 0 and an empty last id as given'({ storage }) {
    const lease = leaseOf(await begin(storage))
    await storage.save(lease, { lease: longLease, count: 3, lastId: 'c' })
    const { count, lastId } = present(await storage.save(lease, { lease: longLease, count: 0, lastId: '' }))
    assert.deepEqual({ count, lastId }, { count: 0, lastId: '' })
  },

  async 'save: renews the lease'({ storage, pass }) {
    const lease = leaseOf(await begin(storage, { lease: shortLease }))
    const saved = present(await storage.save(lease, { lease: longLease }))
    await pass(shortLease + 50)
    assert.deepEqual(await storage.find('test', 'a'), saved)
  },

  async 'save: turns a queued execution to running, which begins then'({ storage, pass }) {
    const execution = await begin(storage, { state: 'queued' })
    await pass(20)
    const saved = present(await storage.save(leaseOf(execution), { lease: longLease, state: 'running' }))
    assert.equal(saved.state, 'running')
    assert.ok(saved.startTime > execution.startTime, 'Expected the start time to move')
  },

  async 'save: does not move the start time of a running execution'({ storage, pass }) {
    const execution = await begin(storage)
    await pass(20)
    const saved = present(await storage.save(leaseOf(execution), { lease: longLease, state: 'running' }))
    assert.equal(saved.startTime, execution.startTime)
  },

  async 'save: shows that an abort was asked for, and does not undo it'({ storage, peer }) {
    for (const state of ['queued', 'running'] as const) {
      const execution = await begin(storage, { id: state, state })
      await peer.requestAbort('test', state)
      for (const request of [{ lease: longLease }, { lease: longLease, state: 'running' as const }]) {
        assert.equal(present(await storage.save(leaseOf(execution), request)).state, 'aborting')
      }
    }
  },

  async 'save: writes nothing under another epoch'({ storage }) {
    const execution = await begin(storage)
    for (const epoch of [0, execution.epoch + 1]) {
      assert.equal(await storage.save({ ...leaseOf(execution), epoch }, { lease: 1, count: 9 }), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'save: writes nothing for another execution'({ storage }) {
    const before = await runThrough(storage)
    const execution = await begin(storage)
    const lost = { executionId: before.executionId, epoch: execution.epoch }
    assert.equal(await storage.save(lost, { lease: 1, count: 9 }), undefined)
    assert.equal(await storage.save({ executionId: 'unknown', epoch: 1 }, { lease: 1, count: 9 }), undefined)
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'save: many at once lose nothing'({ storage, peer }) {
    const lease = leaseOf(await begin(storage))
    await Promise.all([
      storage.save(lease, { lease: longLease, count: 3 }),
      peer.save(lease, { lease: longLease, lastId: 'c' }),
      storage.save(lease, { lease: longLease, checkpoint: [3] }),
      peer.requestAbort('test', 'a'),
    ])
    const { state, count, lastId, checkpoint } = present(await storage.find('test', 'a'))
    assert.deepEqual(
      { state, count, lastId, checkpoint },
      { state: 'aborting', count: 3, lastId: 'c', checkpoint: [3] },
    )
  },
}

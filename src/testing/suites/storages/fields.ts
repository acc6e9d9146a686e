import assert from 'node:assert/strict'
import type { Failure } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { begin, expire, leaseOf, longLease, present, runThrough, type StorageSubject } from './subject.js'

const params = { customer: 'a\u0000é', list: [1, { of: null }] }

export const fieldCases: Cases<StorageSubject> = {
  async 'params: are stored, also in the log, and the next start has none'({ storage, peer }) {
    const execution = await begin(storage, { params })
    assert.deepEqual(execution.params, params)
    assert.deepEqual(await peer.find('test', 'a'), execution)
    const ended = present(await storage.finish(leaseOf(execution), { state: 'successful' }))
    assert.deepEqual(ended.params, params)
    assert.deepEqual((await peer.search({})).hits, [ended])
    assert.equal('params' in (await begin(storage)), false)
  },

  async 'params: an execution that resumes an orphan has those of the orphan, unless others are given'(subject) {
    const { storage } = subject
    const orphan = await expire(subject, { params })
    await storage.orphans()
    const next = await begin(storage, { resumedFrom: orphan.executionId })
    assert.deepEqual(next.params, params)
    await storage.finish(leaseOf(next), { state: 'aborted', isOrphaned: true })
    const last = await begin(storage, { resumedFrom: next.executionId, params: { other: 1 } })
    assert.deepEqual(last.params, { other: 1 })
  },

  async 'params: later changes of the caller are not stored'({ storage }) {
    const given = { list: [1] }
    const execution = await begin(storage, { params: given })
    given.list.push(2)
    for (const record of [execution, present(await storage.find('test', 'a'))]) {
      assert.deepEqual(record.params, { list: [1] })
      Object(record.params).list.push(3)
    }
    assert.deepEqual(present(await storage.find('test', 'a')).params, { list: [1] })
  },

  async 'begin: a given checkpoint takes the place of the earlier one, and everything else is as before'({ storage }) {
    const first = await runThrough(storage, { checkpoint: { at: 1 }, scheduledFor: 1000 })
    assert.deepEqual(first.checkpoint, { at: 1 })
    const given = { at: [2] }
    const other = await begin(storage, { checkpoint: given })
    given.at.push(3)
    assert.deepEqual([other.epoch, other.scheduledFor, other.checkpoint], [2, 1000, { at: [2] }])
    assert.deepEqual(present(await storage.find('test', 'a')).checkpoint, { at: [2] })
    await storage.finish(leaseOf(other), { state: 'successful' })
    const empty = await runThrough(storage, { checkpoint: null })
    assert.equal('checkpoint' in empty, false)
  },

  async 'abort: the first request decides on the reason'({ storage, peer }) {
    const execution = await begin(storage)
    const aborting = present(await storage.requestAbort({ type: 'test', id: 'a', reason: 'first' }))
    assert.deepEqual(aborting, { ...execution, state: 'aborting', abortReason: 'first' })
    assert.deepEqual(await peer.requestAbort({ type: 'test', id: 'a', reason: 'second' }), aborting)
    const ended = present(await storage.finish(leaseOf(execution), { state: 'aborted' }))
    assert.equal(ended.abortReason, 'first')
    assert.deepEqual((await peer.search({})).hits, [ended])
    assert.deepEqual(await peer.requestAbort({ type: 'test', id: 'a', reason: 'third' }), ended)
    assert.equal('abortReason' in (await begin(storage)), false)
  },

  async 'log tail: is replaced by each save, kept without one, and gone at the next start'({ storage, peer }) {
    const lines = Array.from({ length: 100 }, (_, n) => `${n} \u0000é`.padEnd(1000, 'x'))
    const execution = await begin(storage)
    const lease = leaseOf(execution)
    await storage.renew(lease, { lease: longLease, logTail: lines })
    assert.deepEqual(present(await storage.renew(lease, { lease: longLease, count: 1 })).logTail, lines)
    assert.deepEqual(present(await peer.find('test', 'a')).logTail, lines)
    await storage.renew(lease, { lease: longLease, logTail: ['later'] })
    assert.deepEqual(present(await storage.finish(lease, { state: 'successful' })).logTail, ['later'])
    assert.equal('logTail' in (await begin(storage)), false)
  },

  async 'failure: is stored with the end, also in the log, and gone at the next start'({ storage, peer }) {
    const failure = {
      code: 'target',
      isTransient: false,
      attempts: 2,
      stack: 'Error: \u0000é',
      retries: [{ time: 1, error: 'x' }],
    }
    const ended = await runThrough(storage, {}, { state: 'error', error: ['no'], failure: failure as Failure })
    assert.deepEqual(ended.failure, failure)
    assert.deepEqual(await peer.find('test', 'a'), ended)
    assert.deepEqual((await peer.search({})).hits, [ended])
    assert.equal('failure' in (await begin(storage)), false)
  },

  async 'log tail: may be given with the end'({ storage }) {
    const ended = await runThrough(storage, {}, { state: 'successful', logTail: ['a', 'b'] })
    assert.deepEqual(ended.logTail, ['a', 'b'])
    assert.deepEqual((await storage.search({})).hits, [ended])
  },
}

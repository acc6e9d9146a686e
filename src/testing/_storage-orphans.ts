import assert from 'node:assert/strict'
import type { FinishRequest } from '../index.js'
import {
  begin,
  expire,
  leaseOf,
  longLease,
  present,
  request,
  runThrough,
  type StorageSubject,
  shortLease,
} from './_storage-subject.js'
import type { Cases } from './_suite.js'

/** How an execution ends whose node was closed. */
const handedBack: FinishRequest = { state: 'aborted', isOrphaned: true }

export const orphanCases: Cases<StorageSubject> = {
  async 'orphans: none are there while jobs live, or ended by themselves'({ storage }) {
    await begin(storage)
    for (const state of ['successful', 'error', 'aborted'] as const) await runThrough(storage, { id: state }, { state })
    assert.deepEqual(await storage.orphans(), [])
  },

  async 'orphans: an execution whose lease ran out'(subject) {
    const { storage, peer } = subject
    await expire(subject)
    const orphans = await peer.orphans()
    assert.deepEqual(orphans, [await storage.find('test', 'a')])
    assert.deepEqual([orphans[0]?.isOrphaned, orphans[0]?.state], [true, 'error'])
  },

  async 'orphans: an execution that was handed back'({ storage, peer }) {
    const ended = await runThrough(storage, {}, handedBack)
    assert.deepEqual([ended.state, ended.isOrphaned], ['aborted', true])
    assert.deepEqual(await peer.orphans(), [ended])
    assert.deepEqual((await storage.search({})).hits, [ended])
  },

  async 'orphans: nothing that was asked to abort becomes one'(subject) {
    const { storage, peer, pass } = subject
    const lease = leaseOf(await begin(storage))
    await peer.requestAbort('test', 'a')
    const ended = present(await storage.finish(lease, handedBack))
    assert.deepEqual([ended.state, ended.isOrphaned], ['aborted', undefined])
    await begin(storage, { id: 'b', lease: shortLease })
    await peer.requestAbort('test', 'b')
    await pass(shortLease + 50)
    const expired = present(await storage.find('test', 'b'))
    assert.deepEqual([expired.state, expired.isOrphaned], ['error', undefined])
    assert.deepEqual(await storage.orphans(), [])
  },

  async 'orphans: is one no more once somebody has gone on'({ storage, peer }) {
    const orphan = await runThrough(storage, {}, handedBack)
    const next = await begin(peer, { resumedFrom: orphan.executionId, takeovers: 1 })
    assert.deepEqual([next.resumedFrom, next.takeovers, next.epoch], [orphan.executionId, 1, 2])
    assert.deepEqual(await storage.find('test', 'a'), next)
    assert.deepEqual(await storage.orphans(), [])
    const saved = present(await storage.save(leaseOf(next), { lease: longLease, count: 1 }))
    assert.deepEqual([saved.resumedFrom, saved.takeovers], [orphan.executionId, 1])
    const { isOrphaned } = present(await storage.finish(leaseOf(next), { state: 'successful' }))
    assert.equal(isOrphaned, undefined)
    assert.deepEqual(await storage.orphans(), [])
  },

  async 'orphans: is one no more once somebody has started the job anew'({ storage }) {
    await runThrough(storage, {}, handedBack)
    const next = await begin(storage)
    assert.equal('resumedFrom' in next, false)
    await storage.finish(leaseOf(next), { state: 'aborted' })
    assert.deepEqual(await storage.orphans(), [])
  },

  async 'orphans: one that goes on from an orphan may become one itself'({ storage }) {
    const { executionId } = await runThrough(storage, {}, handedBack)
    const second = await runThrough(storage, { resumedFrom: executionId, takeovers: 1 }, handedBack)
    assert.deepEqual(await storage.orphans(), [second])
    assert.equal((await begin(storage, { resumedFrom: second.executionId, takeovers: 2 })).takeovers, 2)
  },

  async 'orphans: of 50 who go on from one at once, one starts'(subject) {
    const { storage, peer } = subject
    const { executionId } = await expire(subject)
    const takeOver = (n: number) => (n % 2 ? peer : storage).begin(request({ resumedFrom: executionId, node: `${n}` }))
    const results = await Promise.all(Array.from({ length: 50 }, (_, n) => takeOver(n)))
    assert.equal(results.filter(({ started }) => started).length, 1)
    assert.deepEqual([...new Set(results.map(({ execution }) => execution.epoch))], [2])
  },

  async 'orphans: nobody goes on from what is no orphan, or no longer the last'({ storage }) {
    const ended = await runThrough(storage)
    const refused = await storage.begin(request({ resumedFrom: ended.executionId }))
    assert.deepEqual(refused, { started: false, execution: ended })
    const orphan = await runThrough(storage, {}, handedBack)
    const last = await runThrough(storage)
    assert.deepEqual(await storage.begin(request({ resumedFrom: orphan.executionId })), {
      started: false,
      execution: last,
    })
    const live = await begin(storage)
    assert.deepEqual(await storage.begin(request({ resumedFrom: last.executionId })), {
      started: false,
      execution: live,
    })
  },

  async 'orphans: of every type and job'({ storage }) {
    for (const [type, id] of [
      ['a', 'b'],
      ['b', 'a'],
      ['b', 'b'],
    ] as const)
      await runThrough(storage, { type, id }, handedBack)
    await runThrough(storage, { type: 'a', id: 'a' })
    const found = (await storage.orphans()).map(({ type, id }) => `${type}/${id}`)
    assert.deepEqual(found.sort(), ['a/b', 'b/a', 'b/b'])
  },
}

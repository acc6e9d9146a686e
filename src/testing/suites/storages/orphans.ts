import assert from 'node:assert/strict'
import type { FinishRequest } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import {
  begin,
  expire,
  leaseOf,
  longLease,
  orphansOf,
  present,
  request,
  runThrough,
  type StorageSubject,
  shortLease,
} from './subject.js'

/** How an execution ends whose node was closed. */
const handedBack: FinishRequest = { state: 'aborted', isOrphaned: true }

export const orphanCases: Cases<StorageSubject> = {
  async 'orphans: live executions, and those that ended by themselves, are none'({ storage }) {
    await begin(storage)
    for (const state of ['successful', 'error', 'aborted'] as const) await runThrough(storage, { id: state }, { state })
    assert.deepEqual(await orphansOf(storage), [])
  },

  async 'orphans: an execution with an expired lease is one'(subject) {
    const { storage, peer } = subject
    await expire(subject)
    const orphans = await orphansOf(peer)
    assert.deepEqual(orphans, [await storage.find('test', 'a')])
    assert.deepEqual([orphans[0]?.isOrphaned, orphans[0]?.state], [true, 'error'])
  },

  async 'orphans: an execution that its node released is one'({ storage, peer }) {
    const ended = await runThrough(storage, {}, handedBack)
    assert.deepEqual([ended.state, ended.isOrphaned], ['aborted', true])
    assert.deepEqual(await orphansOf(peer), [ended])
    assert.deepEqual((await storage.search({})).hits, [ended])
  },

  async 'orphans: an execution with an abort request does not become one'(subject) {
    const { storage, peer, pass } = subject
    const lease = leaseOf(await begin(storage))
    await peer.requestAbort({ type: 'test', id: 'a' })
    const ended = present(await storage.finish(lease, handedBack))
    assert.deepEqual([ended.state, ended.isOrphaned], ['aborted', undefined])
    await begin(storage, { id: 'b', lease: shortLease })
    await peer.requestAbort({ type: 'test', id: 'b' })
    await pass(shortLease + 50)
    const expired = present(await storage.find('test', 'b'))
    assert.deepEqual([expired.state, expired.isOrphaned], ['error', undefined])
    assert.deepEqual(await orphansOf(storage), [])
  },

  async 'orphans: an orphan is listed until a node resumes it'({ storage, peer }) {
    const orphan = await runThrough(storage, {}, handedBack)
    const next = await begin(peer, { resumedFrom: orphan.executionId, takeovers: 1 })
    assert.deepEqual([next.resumedFrom, next.takeovers, next.epoch], [orphan.executionId, 1, 2])
    assert.deepEqual(await storage.find('test', 'a'), next)
    assert.deepEqual(await orphansOf(storage), [])
    const saved = present(await storage.renew(leaseOf(next), { lease: longLease, count: 1 }))
    assert.deepEqual([saved.resumedFrom, saved.takeovers], [orphan.executionId, 1])
    const { isOrphaned } = present(await storage.finish(leaseOf(next), { state: 'successful' }))
    assert.equal(isOrphaned, undefined)
    assert.deepEqual(await orphansOf(storage), [])
  },

  async 'orphans: an orphan is listed until the job starts again'({ storage }) {
    await runThrough(storage, {}, handedBack)
    const next = await begin(storage)
    assert.equal('resumedFrom' in next, false)
    await storage.finish(leaseOf(next), { state: 'aborted' })
    assert.deepEqual(await orphansOf(storage), [])
  },

  async 'orphans: an execution that resumes an orphan may become one'({ storage }) {
    const { executionId } = await runThrough(storage, {}, handedBack)
    const second = await runThrough(storage, { resumedFrom: executionId, takeovers: 1 }, handedBack)
    assert.deepEqual(await orphansOf(storage), [second])
    assert.equal((await begin(storage, { resumedFrom: second.executionId, takeovers: 2 })).takeovers, 2)
  },

  async 'orphans: of 50 concurrent resumes of one orphan, one starts'(subject) {
    const { storage, peer } = subject
    const { executionId } = await expire(subject)
    const takeOver = (n: number) => (n % 2 ? peer : storage).begin(request({ resumedFrom: executionId, node: `${n}` }))
    const results = await Promise.all(Array.from({ length: 50 }, (_, n) => takeOver(n)))
    assert.equal(results.filter(({ started }) => started).length, 1)
    assert.deepEqual([...new Set(results.map(({ execution }) => execution.epoch))], [2])
  },

  async 'orphans: a resume is refused unless the orphan is the last execution of the job'({ storage }) {
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

  async 'orphans: all types and jobs are listed'({ storage }) {
    for (const [type, id] of [
      ['a', 'b'],
      ['b', 'a'],
      ['b', 'b'],
    ] as const)
      await runThrough(storage, { type, id }, handedBack)
    await runThrough(storage, { type: 'a', id: 'a' })
    const found = (await orphansOf(storage)).map(({ type, id }) => `${type}/${id}`)
    assert.deepEqual(found.sort(), ['a/b', 'b/a', 'b/b'])
  },

  async 'orphans: are listed in pages, oldest first, also while nodes resume them'({ storage, pass }) {
    const ids: string[] = []
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      ids.push((await runThrough(storage, { id }, handedBack)).executionId)
      await pass(3)
    }
    const first = await storage.orphans({ size: 2 })
    assert.deepEqual([first.hits.map(({ executionId }) => executionId), first.next], [ids.slice(0, 2), ids[1]])
    for (const id of ['b', 'd']) await begin(storage, { id })
    const rest = await storage.orphans({ size: 3, searchAfter: present(first.next) })
    assert.deepEqual([rest.hits.map(({ executionId }) => executionId), rest.next], [[ids[2], ids[4]], undefined])
  },
}

import assert from 'node:assert/strict'
import { type ExecutionRecord, leaseExpired } from '../../../adapter.js'
import { isEnded } from '../../../index.js'
import type { Cases } from '../suite.js'
import {
  begin,
  expire,
  leaseOf,
  liveOf,
  longLease,
  orphansOf,
  present,
  request,
  type StorageSubject,
  shortLease,
} from './subject.js'

/** Whoever looks first settles: each of them in a case of its own. */
const looks: Cases<StorageSubject> = {
  find: async ({ storage }) => {
    assert.equal(present(await storage.find('test', 'a')).state, 'error')
  },
  live: async ({ storage }) => {
    assert.deepEqual(await liveOf(storage), [])
  },
  search: async ({ storage }) => {
    assert.equal((await storage.search({ state: 'error' })).total, 1)
  },
  requestAbort: async ({ storage }) => {
    assert.equal(present(await storage.requestAbort({ type: 'test', id: 'a' })).state, 'error')
  },
  orphans: async ({ storage }) => {
    assert.equal((await orphansOf(storage)).length, 1)
  },
  begin: async ({ storage }) => {
    await begin(storage)
    await storage.finish(leaseOf(present(await storage.find('test', 'a'))), { state: 'successful' })
  },
}

function assertExpired(found: ExecutionRecord | undefined, execution: ExecutionRecord): void {
  const { state, endTime, error, leaseUntil } = present(found)
  assert.deepEqual({ state, error }, { state: 'error', error: leaseExpired({ node: execution.node, leaseUntil }) })
  assert.ok(
    error?.some((message) => message.includes(`${execution.node}`)),
    'Expected a message that names the node',
  )
  assert.ok(endTime !== undefined && endTime >= (leaseUntil ?? 0), 'Expected an end after the lease')
}

const lookCases = Object.entries(looks).map(([name, look]) => [
  `lease: one that ran out is settled by ${name}`,
  async (subject: StorageSubject) => {
    const execution = await expire(subject)
    await look(subject)
    const { hits } = await subject.storage.search({ state: 'error' })
    assertExpired(hits[0], execution)
  },
])

export const leaseCases: Cases<StorageSubject> = {
  ...Object.fromEntries(lookCases),

  async 'lease: after it expired, a new execution may begin'(subject) {
    const { storage, peer } = subject
    const execution = await expire(subject)
    const { started, execution: next } = await peer.begin(request({ node: 'node-2' }))
    assert.deepEqual([started, next.epoch, next.node], [true, execution.epoch + 1, 'node-2'])
    const { hits } = await storage.search({ state: 'error' })
    assertExpired(hits[0], execution)
  },

  async 'lease: a late save is refused'(subject) {
    const execution = await expire(subject)
    assert.equal(await subject.storage.renew(leaseOf(execution), { lease: longLease, count: 9 }), undefined)
    assertExpired(await subject.storage.find('test', 'a'), execution)
    assert.equal(present(await subject.storage.find('test', 'a')).count, 0)
  },

  async 'lease: a late finish is refused after the lease was settled'(subject) {
    const execution = await expire(subject)
    await subject.peer.find('test', 'a')
    assert.equal(await subject.storage.finish(leaseOf(execution), { state: 'successful', count: 9 }), undefined)
    assertExpired(await subject.storage.find('test', 'a'), execution)
  },

  async 'lease: a late finish succeeds before the lease is settled'(subject) {
    const { storage, peer } = subject
    const execution = await expire(subject)
    const finished = present(await storage.finish(leaseOf(execution), { state: 'successful', count: 9 }))
    assert.deepEqual([finished.state, finished.count, finished.error], ['successful', 9, undefined])
    assert.deepEqual(await peer.find('test', 'a'), finished)
    assert.deepEqual([await orphansOf(storage), (await storage.search({})).total], [[], 1])
  },

  async 'lease: of concurrent late finishes and reads, one settles the execution'(subject) {
    const { storage, peer } = subject
    for (let round = 0; round < 10; round++) {
      const id = `job-${round}`
      const lease = leaseOf(await expire(subject, { id }))
      const finish = () => storage.finish(lease, { state: 'successful' })
      const look = () => peer.find('test', id)
      await Promise.all(round % 2 ? [look(), finish()] : [finish(), look()])
      assert.equal((await storage.search({ id })).total, 1)
      assert.ok(isEnded(present(await storage.find('test', id)).state))
    }
  },

  async 'lease: a late writer does not change the next execution'(subject) {
    const { storage, peer } = subject
    const lost = leaseOf(await expire(subject))
    const next = await begin(peer)
    assert.equal(await storage.renew(lost, { lease: longLease, count: 9 }), undefined)
    assert.equal(await storage.finish(lost, { state: 'successful' }), undefined)
    assert.deepEqual(await storage.find('test', 'a'), next)
  },

  async 'lease: is settled once by concurrent reads'(subject) {
    const { storage, peer, pass } = subject
    await expire(subject)
    const finds = Array.from({ length: 20 }, (_, n) => (n % 2 ? peer : storage).find('test', 'a'))
    const [first, ...others] = await Promise.all(finds)
    await pass(20)
    for (const found of [...others, await storage.find('test', 'a')]) assert.deepEqual(found, first)
    assert.equal((await storage.search({})).total, 1)
  },

  async 'lease: expires for queued and aborting executions too'(subject) {
    const { storage, pass } = subject
    const queued = await begin(storage, { id: 'queued', state: 'queued', lease: shortLease })
    const aborting = await begin(storage, { id: 'aborting', lease: shortLease })
    await storage.requestAbort({ type: 'test', id: 'aborting' })
    await pass(shortLease + 50)
    assertExpired(await storage.find('test', 'queued'), queued)
    assertExpired(await storage.find('test', 'aborting'), aborting)
  },

  async 'lease: its expiry keeps saved progress'({ storage, pass }) {
    const execution = await begin(storage)
    await storage.renew(leaseOf(execution), { lease: shortLease, count: 3, lastId: 'c' })
    await pass(shortLease + 50)
    const found = present(await storage.find('test', 'a'))
    assertExpired(found, execution)
    assert.deepEqual([found.count, found.lastId], [3, 'c'])
  },

  async 'lease: of one job expires without the others'({ storage, pass }) {
    const other = await begin(storage, { id: 'b' })
    await begin(storage, { lease: shortLease })
    await pass(shortLease + 50)
    assert.deepEqual(await liveOf(storage), [other])
  },
}

import assert from 'node:assert/strict'
import { leaseExpired } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import {
  begin,
  beginUnclaimed,
  leaseOf,
  liveOf,
  longLease,
  orphansOf,
  present,
  request,
  type StorageSubject,
  shortLease,
} from './subject.js'

/** Longer than any lease, in milliseconds. */
const manyYears = 90 * 365 * 86_400_000

/** The claim of a node. */
export function claimBy(node: string) {
  return { node, lease: longLease }
}

function claimAtOnce({ storage, peer }: StorageSubject, waiting: ReturnType<typeof leaseOf>) {
  const claims = Array.from({ length: 50 }, (_, n) => (n % 2 ? peer : storage).claim(waiting, claimBy(`node-${n}`)))
  return Promise.all(claims)
}

const grantedCases: Cases<StorageSubject> = {
  async 'claim: an unclaimed execution has no node and no lease, and prevents a second start'({ storage, peer }) {
    const execution = await beginUnclaimed(storage)
    const { state, node, leaseUntil, epoch } = execution
    assert.deepEqual({ state, node, leaseUntil, epoch }, { state: 'queued', node: null, leaseUntil: null, epoch: 1 })
    assert.deepEqual(await peer.find('test', 'a'), execution)
    assert.deepEqual(await liveOf(peer), [execution])
    assert.deepEqual((await peer.search({ state: 'queued' })).hits, [execution])
    assert.deepEqual(await peer.begin(request()), { started: false, execution })
  },

  async 'claim: sets the node, the next epoch and a lease, and the execution runs'({ storage, peer, pass }) {
    const execution = await beginUnclaimed(storage)
    await pass(20)
    const claimed = present(await peer.claim(leaseOf(execution), claimBy('node-2')))
    const { startTime, leaseUntil, ...rest } = claimed
    const { startTime: accepted, leaseUntil: _, ...waiting } = execution
    assert.deepEqual(rest, { ...waiting, state: 'running', node: 'node-2', epoch: 2 })
    assert.ok(startTime > accepted, 'Expected the start time to move')
    assert.ok(Math.abs((leaseUntil ?? 0) - startTime - longLease) < 1000, 'Expected the lease that was asked for')
    assert.deepEqual(await storage.find('test', 'a'), claimed)
  },

  async 'claim: keeps everything else'({ storage }) {
    const first = await begin(storage)
    const released = { state: 'aborted', isOrphaned: true, checkpoint: { at: 3 } } as const
    await storage.finish(leaseOf(first), released)
    const resumed = { resumedFrom: first.executionId, takeovers: 1, scheduledFor: 5 }
    const execution = await beginUnclaimed(storage, resumed)
    const claimed = present(await storage.claim(leaseOf(execution), claimBy('node-2')))
    const { checkpoint, resumedFrom, takeovers, scheduledFor } = claimed
    assert.deepEqual({ checkpoint, resumedFrom, takeovers, scheduledFor }, { checkpoint: { at: 3 }, ...resumed })
  },

  async 'claim: an execution that was aborted while it was queued stays aborting'({ storage, peer }) {
    const execution = await beginUnclaimed(storage)
    await peer.requestAbort({ type: 'test', id: 'a' })
    const claimed = present(await storage.claim(leaseOf(execution), claimBy('node-2')))
    assert.deepEqual([claimed.state, claimed.node, claimed.epoch], ['aborting', 'node-2', 2])
    assert.equal(claimed.startTime, execution.startTime)
    assert.equal(present(await storage.finish(leaseOf(claimed), { state: 'aborted' })).state, 'aborted')
  },

  async 'claim: the next execution of the job has the next epoch'({ storage }) {
    const claimed = present(await storage.claim(leaseOf(await beginUnclaimed(storage)), claimBy('node-2')))
    await storage.finish(leaseOf(claimed), { state: 'successful' })
    assert.equal((await beginUnclaimed(storage)).epoch, 3)
  },
}

const refusedCases: Cases<StorageSubject> = {
  async 'claim: of 50 at once, one succeeds'(subject) {
    const execution = await beginUnclaimed(subject.storage)
    const claimed = (await claimAtOnce(subject, leaseOf(execution))).filter((record) => record !== undefined)
    assert.equal(claimed.length, 1)
    assert.equal(claimed[0]?.epoch, 2)
    assert.deepEqual(await subject.storage.find('test', 'a'), claimed[0])
  },

  async 'claim: of 50 at once against an abort, one succeeds, and is aborting'(subject) {
    const execution = await beginUnclaimed(subject.storage)
    const [claims] = await Promise.all([
      claimAtOnce(subject, leaseOf(execution)),
      subject.peer.requestAbort({ type: 'test', id: 'a' }),
    ])
    assert.equal(claims.filter((record) => record !== undefined).length, 1)
    const { state, epoch } = present(await subject.storage.find('test', 'a'))
    assert.deepEqual([state, epoch], ['aborting', 2])
  },

  async 'claim: is refused for an execution that has a node'({ storage, peer }) {
    for (const state of ['queued', 'running'] as const) {
      const execution = await begin(storage, { id: state, state })
      assert.equal(await peer.claim(leaseOf(execution), claimBy('node-2')), undefined)
      assert.deepEqual(await storage.find('test', state), execution)
    }
  },

  async 'claim: is refused for a claimed execution, in any epoch'({ storage, peer }) {
    const execution = await beginUnclaimed(storage)
    const claimed = present(await storage.claim(leaseOf(execution), claimBy('node-2')))
    for (const lease of [leaseOf(execution), leaseOf(claimed)]) {
      assert.equal(await peer.claim(lease, claimBy('node-3')), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), claimed)
  },

  async 'claim: is refused for an execution that has ended'({ storage, peer }) {
    const execution = await beginUnclaimed(storage)
    const ended = present(await storage.finish(leaseOf(execution), { state: 'aborted' }))
    assert.equal(await peer.claim(leaseOf(execution), claimBy('node-2')), undefined)
    assert.deepEqual(await storage.find('test', 'a'), ended)
  },

  async 'claim: is refused under another epoch, or another id'({ storage, peer }) {
    const before = await beginUnclaimed(storage)
    await storage.finish(leaseOf(before), { state: 'aborted' })
    const execution = await beginUnclaimed(storage)
    const { executionId, epoch } = execution
    for (const lease of [
      { executionId, epoch: epoch - 1 },
      { executionId, epoch: epoch + 1 },
      { executionId: before.executionId, epoch },
      { executionId: 'unknown', epoch },
    ]) {
      assert.equal(await peer.claim(lease, claimBy('node-2')), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },
}

const leaseCases: Cases<StorageSubject> = {
  async 'claim: the token from before can neither renew, run nor finish'({ storage, peer }) {
    const execution = await beginUnclaimed(storage)
    const claimed = present(await peer.claim(leaseOf(execution), claimBy('node-2')))
    assert.equal(await storage.renew(leaseOf(execution), { lease: 1, count: 9 }), undefined)
    assert.equal(await storage.run(leaseOf(execution)), undefined)
    assert.equal(await storage.finish(leaseOf(execution), { state: 'aborted' }), undefined)
    assert.deepEqual(await storage.find('test', 'a'), claimed)
  },

  async 'claim: an unclaimed execution has no lease to renew, and does not run'({ storage, peer }) {
    const execution = await beginUnclaimed(storage)
    assert.equal(await peer.renew(leaseOf(execution), { lease: longLease, count: 3 }), undefined)
    assert.equal(await peer.run(leaseOf(execution)), undefined)
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'claim: an unclaimed execution can be finished by any node'({ storage, peer }) {
    for (const isAborted of [false, true]) {
      const execution = await beginUnclaimed(storage)
      if (isAborted) await storage.requestAbort({ type: 'test', id: 'a' })
      const ended = present(await peer.finish(leaseOf(execution), { state: 'aborted', count: 3 }))
      assert.deepEqual([ended.state, ended.node, ended.leaseUntil, ended.count], ['aborted', null, null, 3])
      assert.deepEqual(await storage.find('test', 'a'), ended)
      assert.deepEqual((await storage.search({})).hits[0], ended)
    }
  },

  async 'claim: of a concurrent claim and finish, one succeeds'({ storage, peer }) {
    for (let round = 0; round < 10; round++) {
      const id = `job-${round}`
      const waiting = leaseOf(await beginUnclaimed(storage, { id }))
      const claim = () => peer.claim(waiting, claimBy('node-2'))
      const end = () => storage.finish(waiting, { state: 'aborted' })
      const done = (await Promise.all(round % 2 ? [claim(), end()] : [end(), claim()])).filter((it) => it !== undefined)
      assert.equal(done.length, 1)
      assert.deepEqual(await storage.find('test', id), done[0])
    }
  },

  async 'claim: an unclaimed execution does not expire'({ storage, peer, pass, movesTime }) {
    const waiting = await beginUnclaimed(storage)
    const aborting = { ...(await beginUnclaimed(storage, { id: 'b' })), state: 'aborting' as const }
    await peer.requestAbort({ type: 'test', id: 'b' })
    await pass(movesTime ? manyYears : shortLease + 50)
    assert.deepEqual(await storage.find('test', 'a'), waiting)
    assert.deepEqual(await liveOf(peer), [waiting, aborting])
    assert.deepEqual(await peer.find('test', 'b'), aborting)
    assert.deepEqual(await orphansOf(peer), [])
    assert.deepEqual((await peer.search({})).total, 0)
    assert.equal(present(await storage.claim(leaseOf(waiting), claimBy('node-2'))).state, 'running')
  },

  async 'claim: the lease of a claimed execution expires like any other'({ storage, peer, pass }) {
    const execution = await beginUnclaimed(storage)
    await storage.claim(leaseOf(execution), { node: 'node-2', lease: shortLease })
    await pass(shortLease + 50)
    const ended = present(await peer.find('test', 'a'))
    assert.deepEqual([ended.state, ended.isOrphaned, ended.epoch], ['error', true, 2])
    assert.deepEqual(ended.error, leaseExpired({ node: 'node-2', leaseUntil: ended.leaseUntil }))
  },
}

export const claimCases: Cases<StorageSubject> = { ...grantedCases, ...refusedCases, ...leaseCases }

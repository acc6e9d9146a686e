import assert from 'node:assert/strict'
import { type BeginRequest, type ExecutionRecord, type JobStorage, leaseExpired, waitingLease } from '../index.js'
import { begin, leaseOf, longLease, present, request, type StorageSubject, shortLease } from './_storage-subject.js'
import type { Cases } from './_suite.js'

/** Longer than any lease but that of an execution that waits, in milliseconds. */
const manyYears = waitingLease * 0.9

/** Begins an execution that waits for any node that takes it. */
export function beginWaiting(storage: JobStorage, overrides: Partial<BeginRequest> = {}): Promise<ExecutionRecord> {
  return begin(storage, { state: 'queued', node: '', lease: waitingLease, ...overrides })
}

/** What a node says that takes an execution and runs it. */
export function taking(node: string) {
  return { node, state: 'running', lease: longLease } as const
}

function takeAtOnce({ storage, peer }: StorageSubject, lease: ReturnType<typeof leaseOf>) {
  const takes = Array.from({ length: 50 }, (_, n) => (n % 2 ? peer : storage).save(lease, taking(`node-${n}`)))
  return Promise.all(takes)
}

const givenCases: Cases<StorageSubject> = {
  async 'take: an execution of no node waits, and stands in the way'({ storage, peer }) {
    const execution = await beginWaiting(storage)
    assert.deepEqual([execution.state, execution.node, execution.epoch], ['queued', '', 1])
    assert.deepEqual(await peer.find('test', 'a'), execution)
    assert.deepEqual(await peer.live('test'), [execution])
    assert.deepEqual(await peer.begin(request()), { started: false, execution })
  },

  async 'take: gives the node, the next epoch and the lease, and lets it run'({ storage, peer, pass }) {
    const execution = await beginWaiting(storage)
    await pass(20)
    const taken = present(await peer.save(leaseOf(execution), taking('node-2')))
    const { startTime, leaseUntil, ...rest } = taken
    const { startTime: accepted, leaseUntil: before, ...waiting } = execution
    assert.deepEqual(rest, { ...waiting, state: 'running', node: 'node-2', epoch: 2 })
    assert.ok(startTime > accepted, 'Expected the start time to move')
    assert.ok(leaseUntil <= before - manyYears, 'Expected the lease that was asked for')
    assert.deepEqual(await storage.find('test', 'a'), taken)
  },

  async 'take: without a state, the execution stays in the line'({ storage }) {
    const execution = await beginWaiting(storage)
    const taken = present(await storage.save(leaseOf(execution), { node: 'node-2', lease: longLease }))
    assert.deepEqual([taken.state, taken.node, taken.startTime], ['queued', 'node-2', execution.startTime])
    const running = present(await storage.save(leaseOf(taken), { state: 'running', lease: longLease }))
    assert.deepEqual([running.state, running.node, running.epoch], ['running', 'node-2', 2])
  },

  async 'take: an execution that runs already for no node is taken too'({ storage }) {
    const execution = await beginWaiting(storage, { state: 'running' })
    const taken = present(await storage.save(leaseOf(execution), taking('node-2')))
    assert.deepEqual([taken.state, taken.startTime, taken.epoch], ['running', execution.startTime, 2])
  },

  async 'take: keeps what is known of the execution, and writes what is given'({ storage }) {
    const first = await begin(storage)
    const handedBack = { state: 'aborted', isOrphaned: true, checkpoint: { at: 3 } } as const
    await storage.finish(leaseOf(first), handedBack)
    const resumed = { resumedFrom: first.executionId, takeovers: 1, scheduledFor: 5 }
    const execution = await beginWaiting(storage, resumed)
    await storage.save(leaseOf(execution), { lease: waitingLease, detail: { of: 'waiting' } })
    const taken = present(await storage.save(leaseOf(execution), { ...taking('node-2'), count: 3, lastId: 'c' }))
    const { count, lastId, checkpoint, detail, resumedFrom, takeovers, scheduledFor } = taken
    assert.deepEqual({ resumedFrom, takeovers, scheduledFor }, resumed)
    assert.deepEqual(
      { count, lastId, checkpoint, detail },
      { count: 3, lastId: 'c', checkpoint: { at: 3 }, detail: { of: 'waiting' } },
    )
  },

  async 'take: one that was asked to abort while it waited stays so'({ storage, peer }) {
    const execution = await beginWaiting(storage)
    await peer.requestAbort('test', 'a')
    const taken = present(await storage.save(leaseOf(execution), taking('node-2')))
    assert.deepEqual([taken.state, taken.node, taken.epoch], ['aborting', 'node-2', 2])
    assert.equal(taken.startTime, execution.startTime)
    assert.equal(present(await storage.finish(leaseOf(taken), { state: 'aborted' })).state, 'aborted')
  },

  async 'take: the next execution of the job has the epoch after'({ storage }) {
    const taken = present(await storage.save(leaseOf(await beginWaiting(storage)), taking('node-2')))
    await storage.finish(leaseOf(taken), { state: 'successful' })
    assert.equal((await beginWaiting(storage)).epoch, 3)
  },
}

const refusedCases: Cases<StorageSubject> = {
  async 'take: of 50 at once, one is given it'(subject) {
    const execution = await beginWaiting(subject.storage)
    const given = (await takeAtOnce(subject, leaseOf(execution))).filter((record) => record !== undefined)
    assert.equal(given.length, 1)
    assert.equal(given[0]?.epoch, 2)
    assert.deepEqual(await subject.storage.find('test', 'a'), given[0])
  },

  async 'take: of 50 at once against an abort, one is given it, and it is aborted'(subject) {
    const execution = await beginWaiting(subject.storage)
    const [taken] = await Promise.all([takeAtOnce(subject, leaseOf(execution)), subject.peer.requestAbort('test', 'a')])
    assert.equal(taken.filter((record) => record !== undefined).length, 1)
    const { state, epoch } = present(await subject.storage.find('test', 'a'))
    assert.deepEqual([state, epoch], ['aborting', 2])
  },

  async 'take: nobody is given one that has a node'({ storage, peer }) {
    for (const state of ['queued', 'running'] as const) {
      const execution = await begin(storage, { id: state, state })
      assert.equal(await peer.save(leaseOf(execution), taking('node-2')), undefined)
      assert.deepEqual(await storage.find('test', state), execution)
    }
  },

  async 'take: nobody is given one that was taken, whatever epoch they know'({ storage, peer }) {
    const execution = await beginWaiting(storage)
    const taken = present(await storage.save(leaseOf(execution), taking('node-2')))
    for (const lease of [leaseOf(execution), leaseOf(taken)]) {
      assert.equal(await peer.save(lease, taking('node-3')), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), taken)
  },

  async 'take: nobody is given one that has ended'({ storage, peer }) {
    const execution = await beginWaiting(storage)
    const ended = present(await storage.finish(leaseOf(execution), { state: 'aborted' }))
    assert.equal(await peer.save(leaseOf(execution), taking('node-2')), undefined)
    assert.deepEqual(await storage.find('test', 'a'), ended)
  },

  async 'take: nobody is given one under another epoch, or another id'({ storage, peer }) {
    const before = await beginWaiting(storage)
    await storage.finish(leaseOf(before), { state: 'aborted' })
    const execution = await beginWaiting(storage)
    const { executionId, epoch } = execution
    for (const lease of [
      { executionId, epoch: epoch - 1 },
      { executionId, epoch: epoch + 1 },
      { executionId: before.executionId, epoch },
      { executionId: 'unknown', epoch },
    ]) {
      assert.equal(await peer.save(lease, taking('node-2')), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },
}

const leaseCases: Cases<StorageSubject> = {
  async 'take: who knew it before can neither save nor finish after'({ storage, peer }) {
    const execution = await beginWaiting(storage)
    const taken = present(await peer.save(leaseOf(execution), taking('node-2')))
    assert.equal(await storage.save(leaseOf(execution), { lease: 1, count: 9 }), undefined)
    assert.equal(await storage.finish(leaseOf(execution), { state: 'aborted' }), undefined)
    assert.deepEqual(await storage.find('test', 'a'), taken)
  },

  async 'take: whoever knows one that waits can save and end it'({ storage, peer }) {
    const execution = await beginWaiting(storage)
    const saved = present(await peer.save(leaseOf(execution), { lease: waitingLease, count: 3 }))
    assert.deepEqual([saved.state, saved.node, saved.epoch, saved.count], ['queued', '', 1, 3])
    const ended = present(await peer.finish(leaseOf(execution), { state: 'aborted' }))
    assert.deepEqual([ended.state, ended.node, ended.count], ['aborted', '', 3])
    assert.deepEqual(await storage.find('test', 'a'), ended)
    assert.deepEqual((await storage.search({})).hits, [ended])
  },

  async 'take: against an end at the same time, one of them is done'({ storage, peer }) {
    for (let round = 0; round < 10; round++) {
      const id = `job-${round}`
      const lease = leaseOf(await beginWaiting(storage, { id }))
      const take = () => peer.save(lease, taking('node-2'))
      const end = () => storage.finish(lease, { state: 'aborted' })
      const done = (await Promise.all(round % 2 ? [take(), end()] : [end(), take()])).filter((it) => it !== undefined)
      assert.equal(done.length, 1)
      assert.deepEqual(await storage.find('test', id), done[0])
    }
  },

  async 'take: one that waits does not run out, however long it waits'({ storage, peer, pass, movesTime }) {
    const waiting = await beginWaiting(storage)
    const aborting = { ...(await beginWaiting(storage, { id: 'b' })), state: 'aborting' as const }
    await peer.requestAbort('test', 'b')
    await pass(movesTime ? manyYears : shortLease + 50)
    assert.deepEqual(await storage.find('test', 'a'), waiting)
    assert.deepEqual((await peer.live('test')).map(({ id }) => id).sort(), ['a', 'b'])
    assert.deepEqual(await peer.find('test', 'b'), aborting)
    assert.deepEqual(await peer.orphans(), [])
    assert.deepEqual((await peer.search({})).total, 0)
    assert.equal(present(await storage.save(leaseOf(waiting), taking('node-2'))).state, 'running')
  },

  async 'take: the lease of one that was taken runs out as any'({ storage, peer, pass }) {
    const execution = await beginWaiting(storage)
    await storage.save(leaseOf(execution), { ...taking('node-2'), lease: shortLease })
    await pass(shortLease + 50)
    const ended = present(await peer.find('test', 'a'))
    assert.deepEqual([ended.state, ended.isOrphaned, ended.epoch], ['error', true, 2])
    assert.deepEqual(ended.error, leaseExpired({ node: 'node-2', leaseUntil: ended.leaseUntil }))
  },
}

export const takeCases: Cases<StorageSubject> = { ...givenCases, ...refusedCases, ...leaseCases }

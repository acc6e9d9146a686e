import assert from 'node:assert/strict'
import type { Cases } from '../suite.js'
import { begin, leaseOf, present, runThrough, type StorageSubject, shortLease } from './subject.js'

export const runCases: Cases<StorageSubject> = {
  async 'run: a queued execution begins to run, and its start time is then'({ storage, peer, pass }) {
    const execution = await begin(storage, { state: 'queued' })
    await pass(20)
    const running = present(await storage.run(leaseOf(execution)))
    assert.deepEqual(running, { ...execution, state: 'running', startTime: running.startTime })
    assert.ok(running.startTime > execution.startTime, 'Expected the start time to move')
    assert.deepEqual(await peer.find('test', 'a'), running)
  },

  async 'run: changes nothing of an execution that runs already'({ storage, pass }) {
    const execution = await begin(storage)
    await pass(20)
    assert.deepEqual(await storage.run(leaseOf(execution)), execution)
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'run: an execution with an abort request stays aborting'({ storage, peer }) {
    const execution = await begin(storage, { state: 'queued' })
    await peer.requestAbort({ type: 'test', id: 'a' })
    assert.deepEqual(await storage.run(leaseOf(execution)), { ...execution, state: 'aborting' })
  },

  async 'run: is refused under another epoch, another id, and after the end'({ storage }) {
    const ended = await runThrough(storage)
    const execution = await begin(storage, { state: 'queued' })
    const { executionId, epoch } = execution
    for (const lease of [
      { executionId, epoch: epoch - 1 },
      { executionId, epoch: epoch + 1 },
      { executionId: 'unknown', epoch },
      leaseOf(ended),
    ]) {
      assert.equal(await storage.run(lease), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'run: is refused when the lease has expired'({ storage, pass }) {
    const execution = await begin(storage, { state: 'queued', lease: shortLease })
    await pass(shortLease + 50)
    assert.equal(await storage.run(leaseOf(execution)), undefined)
    assert.equal(present(await storage.find('test', 'a')).state, 'error')
  },
}

import assert from 'node:assert/strict'
import { isLive } from '../../../index.js'
import type { Cases } from '../suite.js'
import { begin, leaseOf, liveOf, longLease, present, runThrough, type StorageSubject, shortLease } from './subject.js'

export const endCases: Cases<StorageSubject> = {
  async 'finish: ends the execution, with the given result'({ storage, peer }) {
    const execution = await begin(storage)
    const end = { state: 'error' as const, error: ['broken', 'why'], count: 3, lastId: 'c', checkpoint: { at: 3 } }
    const finished = present(await storage.finish(leaseOf(execution), end))
    const { endTime, leaseUntil, ...rest } = finished
    const { leaseUntil: before, ...begun } = execution
    assert.deepEqual(rest, { ...begun, ...end })
    assert.ok(endTime !== undefined && endTime >= execution.startTime, 'Expected an end time after the start')
    assert.deepEqual(await peer.find('test', 'a'), finished)
    assert.deepEqual(await liveOf(storage), [])
  },

  async 'finish: keeps what is not given'({ storage }) {
    const lease = leaseOf(await begin(storage))
    await storage.renew(lease, { lease: longLease, count: 3, lastId: 'c', checkpoint: [3] })
    const { count, lastId, checkpoint } = present(await storage.finish(lease, { state: 'successful' }))
    assert.deepEqual({ count, lastId, checkpoint }, { count: 3, lastId: 'c', checkpoint: [3] })
  },

  async 'finish: stores the given detail, or keeps the one before, also in the log'({ storage, peer }) {
    for (const [id, said] of Object.entries({ before: {}, new: { detail: { of: 'new' } } })) {
      const execution = await begin(storage, { id })
      await storage.renew(leaseOf(execution), { lease: longLease, detail: { of: 'before' } })
      const finished = present(await storage.finish(leaseOf(execution), { state: 'successful', ...said }))
      assert.deepEqual(finished.detail, { of: id })
      assert.deepEqual(await peer.find('test', id), finished)
      assert.deepEqual((await peer.search({ id })).hits, [finished])
    }
  },

  async 'finish: adds no detail'({ storage }) {
    const ended = await runThrough(storage)
    assert.equal('detail' in ended, false)
    assert.equal('detail' in present((await storage.search({})).hits[0]), false)
  },

  async 'finish: adds no error'({ storage }) {
    assert.equal('error' in (await runThrough(storage)), false)
  },

  async 'finish: ends a queued execution too'({ storage }) {
    assert.equal((await runThrough(storage, { state: 'queued' }, { state: 'aborted' })).state, 'aborted')
  },

  async 'finish: decides how an execution ended after an abort request'({ storage }) {
    for (const state of ['aborted', 'successful', 'error'] as const) {
      const lease = leaseOf(await begin(storage))
      await storage.requestAbort({ type: 'test', id: 'a' })
      assert.equal(present(await storage.finish(lease, { state })).state, state)
    }
  },

  async 'finish: ends nothing under another epoch or execution'({ storage }) {
    const execution = await begin(storage)
    const { executionId, epoch } = execution
    for (const lost of [
      { executionId, epoch: epoch + 1 },
      { executionId, epoch: 0 },
      { executionId: 'unknown', epoch },
    ]) {
      assert.equal(await storage.finish(lost, { state: 'successful' }), undefined)
    }
    assert.deepEqual(await storage.find('test', 'a'), execution)
  },

  async 'finish: of 20 at once, one ends the execution'({ storage, peer }) {
    const lease = leaseOf(await begin(storage))
    const finishes = Array.from({ length: 20 }, (_, n) =>
      (n % 2 ? peer : storage).finish(lease, { state: 'aborted', count: n }),
    )
    const finished = (await Promise.all(finishes)).filter((record) => record !== undefined)
    assert.equal(finished.length, 1)
    assert.deepEqual(await storage.find('test', 'a'), finished[0])
  },

  async 'finish: with a concurrent abort, the end stands'({ storage, peer }) {
    for (let round = 0; round < 10; round++) {
      const id = `job-${round}`
      const lease = leaseOf(await begin(storage, { id }))
      const abort = () => peer.requestAbort({ type: 'test', id })
      const finish = () => storage.finish(lease, { state: 'successful' })
      const answers = await Promise.all(round % 2 ? [abort(), finish()] : [finish(), abort()])
      const [asked, finished] = round % 2 ? answers : answers.toReversed()
      assert.deepEqual(await storage.find('test', id), present(finished))
      if (present(asked).state !== 'aborting') assert.deepEqual(asked, finished)
    }
  },

  async 'abort: returns undefined for a job that never ran'({ storage }) {
    assert.equal(await storage.requestAbort({ type: 'test', id: 'a' }), undefined)
    assert.equal(await storage.find('test', 'a'), undefined)
  },

  async 'abort: moves a queued or running execution to aborting, once'({ storage, peer }) {
    for (const state of ['queued', 'running'] as const) {
      const execution = await begin(storage, { id: state, state })
      const aborting = { ...execution, state: 'aborting' as const }
      assert.deepEqual(await storage.requestAbort({ type: 'test', id: state }), aborting)
      assert.deepEqual(await peer.requestAbort({ type: 'test', id: state }), aborting)
      assert.deepEqual(await storage.find('test', state), aborting)
    }
  },

  async 'abort: returns an ended execution unchanged'({ storage }) {
    const ended = await runThrough(storage)
    assert.deepEqual(await storage.requestAbort({ type: 'test', id: 'a' }), ended)
    assert.deepEqual(await storage.find('test', 'a'), ended)
  },

  async 'abort: of an execution by its id leaves another one alone'({ storage, peer }) {
    const first = await runThrough(storage)
    const request = { type: 'test', id: 'a', executionId: first.executionId }
    assert.deepEqual(await storage.requestAbort(request), first)
    const second = await begin(storage)
    assert.deepEqual(await storage.requestAbort(request), second)
    assert.deepEqual(await peer.requestAbort(request), second)
    assert.deepEqual(await storage.find('test', 'a'), second)
    const meant = { ...request, executionId: second.executionId }
    assert.deepEqual(await peer.requestAbort(meant), { ...second, state: 'aborting' })
  },

  async 'abort: is not carried over to the next execution'({ storage }) {
    const lease = leaseOf(await begin(storage))
    await storage.requestAbort({ type: 'test', id: 'a' })
    await storage.finish(lease, { state: 'aborted' })
    assert.equal((await begin(storage)).state, 'running')
  },

  async 'end: nothing changes an execution that has ended'({ storage, pass }) {
    for (const state of ['successful', 'error', 'aborted'] as const) {
      const ended = await runThrough(storage, { id: state, lease: shortLease }, { state })
      await pass(shortLease + 50)
      assert.equal(await storage.renew(leaseOf(ended), { lease: longLease, count: 9 }), undefined)
      assert.equal(await storage.run(leaseOf(ended)), undefined)
      assert.equal(await storage.finish(leaseOf(ended), { state: 'error', error: ['late'] }), undefined)
      await storage.requestAbort({ type: 'test', id: state })
      assert.deepEqual(await storage.find('test', state), ended)
    }
  },

  async 'end: one finish only ends an execution, with concurrent reads'({ storage, peer }) {
    const lease = leaseOf(await begin(storage))
    const looks = () => Promise.all([peer.find('test', 'a'), liveOf(peer), peer.search({ type: 'test' })])
    const [finished, [found, live, { total }]] = await Promise.all([
      storage.finish(lease, { state: 'successful' }),
      looks(),
    ])
    assert.ok(live.every(({ state }) => isLive(state)) && total <= 1)
    if (!isLive(present(found).state)) assert.deepEqual(found, finished)
  },
}

import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import type { StorageChange } from '../../../adapter.js'
import type { JobState } from '../../../index.js'
import type { Cases } from '../suite.js'
import { claimBy } from './claim.js'
import { begin, beginUnclaimed, expire, leaseOf, longLease, present, type StorageSubject } from './subject.js'

/** Watches a storage. `told` resolves when a change of job `[test/<id>]` was reported, to that state if given. */
function watch({ storage, watchTimeout }: StorageSubject) {
  assert.ok(storage.watch, 'Expected the method `watch`: a storage without it says so in `unsupported`')
  const changes: StorageChange[] = []
  const waits = new Set<() => void>()
  const stop = storage.watch((change) => {
    changes.push(change)
    for (const look of waits) look()
  })
  const told = async (id: string, state: JobState) => {
    const isIt = (change: StorageChange) => change.type === 'test' && change.id === id && change.state === state
    const wasTold = () => changes.some(isIt)
    const tell = new Promise<boolean>((resolve) => {
      const look = () => wasTold() && resolve(true)
      waits.add(look)
      look()
    })
    const late = new AbortController()
    const isTold = await Promise.race([
      tell,
      setTimeout(watchTimeout, false, { signal: late.signal }).catch(() => false),
    ])
    late.abort()
    assert.ok(isTold, `Expected a change of [test/${id}] within ${watchTimeout} ms, got ${JSON.stringify(changes)}`)
  }
  return { changes, stop, told }
}

export const watchCases: Cases<StorageSubject> = {
  async 'watch: reports every change of state, and which execution changed'(subject) {
    const { peer } = subject
    const { changes, stop, told } = watch(subject)
    const statesOf = (executionId: string) =>
      changes.filter((change) => change.executionId === executionId).map(({ state }) => state)
    const execution = await begin(peer, { state: 'queued' })
    await told('a', 'queued')
    await peer.run(leaseOf(execution))
    await told('a', 'running')
    await peer.requestAbort({ type: 'test', id: 'a' })
    await told('a', 'aborting')
    await peer.finish(leaseOf(execution), { state: 'aborted' })
    await told('a', 'aborted')
    assert.deepEqual([...new Set(statesOf(execution.executionId))], ['queued', 'running', 'aborting', 'aborted'])
    stop()
  },

  async 'watch: does not report progress'(subject) {
    const { peer } = subject
    const { changes, stop, told } = watch(subject)
    const lease = leaseOf(await begin(peer))
    await told('a', 'running')
    const before = changes.length
    for (let count = 1; count <= 5; count++) await peer.renew(lease, { lease: longLease, count })
    await peer.finish(lease, { state: 'successful' })
    await told('a', 'successful')
    assert.deepEqual(changes.slice(before).filter(({ state }) => state === 'running').length < 5, true)
    stop()
  },

  async 'watch: reports a claim'(subject) {
    const { peer } = subject
    const { stop, told } = watch(subject)
    const waiting = await beginUnclaimed(peer)
    await told('a', 'queued')
    await peer.claim(leaseOf(waiting), claimBy('node-2'))
    await told('a', 'running')
    stop()
  },

  async 'watch: reports which partition changed'(subject) {
    const { peer } = subject
    const { changes, stop, told } = watch(subject)
    const { executionId } = await begin(peer, { partition: 1 })
    await begin(peer, { id: 'b' })
    await told('a', 'running')
    await told('b', 'running')
    const { partition } = present(changes.find((change) => change.executionId === executionId))
    assert.equal(partition, 1)
    assert.ok(changes.every((change) => (change.id === 'b') === !('partition' in change)))
    stop()
  },

  async 'watch: reports an abort request, also of another process'(subject) {
    const { storage, peer } = subject
    const { stop, told } = watch(subject)
    await begin(storage)
    await begin(peer, { id: 'b' })
    await storage.requestAbort({ type: 'test', id: 'a' })
    await peer.requestAbort({ type: 'test', id: 'b' })
    await told('a', 'aborting')
    await told('b', 'aborting')
    stop()
  },

  async 'watch: reports the end of an execution'(subject) {
    const { peer } = subject
    const lease = leaseOf(await begin(peer))
    const { stop, told } = watch(subject)
    await peer.finish(lease, { state: 'successful' })
    await told('a', 'successful')
    stop()
  },

  async 'watch: reports an expired lease when a read has settled it'(subject) {
    const { stop, told } = watch(subject)
    await expire(subject)
    await subject.peer.find('test', 'a')
    await told('a', 'error')
    stop()
  },

  async 'watch: reports nothing after it was stopped'(subject) {
    const { storage } = subject
    const first = watch(subject)
    const second = watch(subject)
    const lease = leaseOf(await begin(storage))
    first.stop()
    first.stop()
    const before = first.changes.length
    await storage.finish(lease, { state: 'successful' })
    await second.told('a', 'successful')
    assert.equal(first.changes.length, before)
    second.stop()
  },
}

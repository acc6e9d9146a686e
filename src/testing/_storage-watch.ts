import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import type { JobState, JobStorage, StorageChange } from '../index.js'
import { begin, expire, leaseOf, longLease, type StorageSubject } from './_storage-subject.js'
import { beginWaiting, taking } from './_storage-take.js'
import type { Cases } from './_suite.js'

/** How long to wait to be told, in milliseconds of real time. */
const patience = 5000

/** Watches a storage: `told` resolves once a change of job `[test/<id>]`, to that state if given, was told. */
function watch(storage: JobStorage) {
  assert.ok(storage.watch, 'Expected the method `watch`: a storage without it says so in `cannot`')
  const changes: StorageChange[] = []
  const waits = new Set<() => void>()
  const stop = storage.watch((change) => {
    changes.push(change)
    for (const look of waits) look()
  })
  const told = async (id: string, state?: JobState) => {
    const isIt = (change: StorageChange) =>
      change.type === 'test' && change.id === id && (state ?? change.state) === change.state
    const wasTold = () => changes.some(isIt)
    const tell = new Promise<boolean>((resolve) => {
      const look = () => wasTold() && resolve(true)
      waits.add(look)
      look()
    })
    const late = new AbortController()
    const isTold = await Promise.race([tell, setTimeout(patience, false, { signal: late.signal }).catch(() => false)])
    late.abort()
    assert.ok(isTold, `Expected to be told of [test/${id}] within ${patience} ms, was told ${JSON.stringify(changes)}`)
  }
  return { changes, stop, told }
}

export const watchCases: Cases<StorageSubject> = {
  async 'watch: tells of every change of state, and which execution changed'({ storage, peer }) {
    const { changes, stop, told } = watch(storage)
    const statesOf = (executionId: string) =>
      changes.filter((change) => change.executionId === executionId).map(({ state }) => state)
    const execution = await begin(peer, { state: 'queued' })
    await told('a', 'queued')
    await peer.save(leaseOf(execution), { lease: longLease, state: 'running' })
    await told('a', 'running')
    await peer.requestAbort('test', 'a')
    await told('a', 'aborting')
    await peer.finish(leaseOf(execution), { state: 'aborted' })
    await told('a', 'aborted')
    assert.deepEqual([...new Set(statesOf(execution.executionId))], ['queued', 'running', 'aborting', 'aborted'])
    stop()
  },

  async 'watch: tells nothing of progress'({ storage, peer }) {
    const { changes, stop, told } = watch(storage)
    const lease = leaseOf(await begin(peer))
    await told('a', 'running')
    const before = changes.length
    for (let count = 1; count <= 5; count++) await peer.save(lease, { lease: longLease, count })
    await peer.finish(lease, { state: 'successful' })
    await told('a', 'successful')
    assert.deepEqual(changes.slice(before).filter(({ state }) => state === 'running').length < 5, true)
    stop()
  },

  async 'watch: tells that an execution was taken and left the line'({ storage, peer }) {
    const { stop, told } = watch(storage)
    const waiting = await beginWaiting(peer)
    await told('a', 'queued')
    await peer.save(leaseOf(waiting), taking('node-2'))
    await told('a', 'running')
    stop()
  },

  async 'watch: tells that an abort was asked for, also by another process'({ storage, peer }) {
    const { stop, told } = watch(storage)
    await begin(storage)
    await begin(peer, { id: 'b' })
    await storage.requestAbort('test', 'a')
    await peer.requestAbort('test', 'b')
    await told('a')
    await told('b')
    stop()
  },

  async 'watch: tells that an execution ended'({ storage, peer }) {
    const lease = leaseOf(await begin(peer))
    const { stop, told } = watch(storage)
    await peer.finish(lease, { state: 'successful' })
    await told('a', 'successful')
    stop()
  },

  async 'watch: tells that a lease ran out, once somebody looked'(subject) {
    const { stop, told } = watch(subject.storage)
    await expire(subject)
    await subject.peer.find('test', 'a')
    await told('a', 'error')
    stop()
  },

  async 'watch: tells nothing more once it was stopped'({ storage }) {
    const first = watch(storage)
    const second = watch(storage)
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

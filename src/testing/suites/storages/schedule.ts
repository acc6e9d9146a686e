import assert from 'node:assert/strict'
import type { JobStorage } from '../../../index.js'
import type { Cases } from '../suite.js'
import {
  begin,
  expire,
  leaseOf,
  liveOf,
  longLease,
  present,
  request,
  runThrough,
  type StorageSubject,
} from './subject.js'

/** A time of a schedule, and the next. */
const tick = Date.UTC(2030, 0, 1)
const next = tick + 1000

async function isRefused(storage: JobStorage, scheduledFor: number): Promise<void> {
  const last = await storage.find('test', 'a')
  assert.deepEqual(await storage.begin(request({ scheduledFor })), { started: false, execution: last })
}

export const scheduleCases: Cases<StorageSubject> = {
  async 'schedule: the scheduled time of an execution is stored, also in the log'({ storage, peer }) {
    for (const scheduledFor of [tick, 0]) {
      const id = `${scheduledFor}`
      const execution = await begin(storage, { id, scheduledFor })
      assert.equal(execution.scheduledFor, scheduledFor)
      assert.equal(present(await peer.renew(leaseOf(execution), { lease: longLease })).scheduledFor, scheduledFor)
      assert.equal((await liveOf(peer))[0]?.scheduledFor, scheduledFor)
      const ended = present(await storage.finish(leaseOf(execution), { state: 'successful' }))
      assert.equal(ended.scheduledFor, scheduledFor)
      assert.deepEqual(await peer.find('test', id), ended)
      assert.deepEqual((await peer.search({ id })).hits, [ended])
    }
  },

  async 'schedule: an execution without a scheduled time shows none'({ storage }) {
    assert.equal('scheduledFor' in (await begin(storage)), false)
    assert.equal('scheduledFor' in present(await storage.find('test', 'a')), false)
  },

  async 'schedule: of 50 for one time at once, one starts, although it ends at once'({ storage, peer }) {
    const run = async (each: JobStorage, scheduledFor: number) => {
      const { started, execution } = await each.begin(request({ scheduledFor }))
      if (started) await each.finish(leaseOf(execution), { state: 'successful' })
      return started
    }
    for (const time of [tick, next]) {
      const runs = Array.from({ length: 50 }, (_, n) => run(n % 2 ? peer : storage, time))
      assert.equal((await Promise.all(runs)).filter(Boolean).length, 1)
    }
    assert.equal((await storage.search({})).total, 2)
  },

  async 'schedule: the same time and earlier ones start nothing more, later ones do'({ storage, peer }) {
    await runThrough(storage, { scheduledFor: tick })
    for (const time of [tick, tick - 1, 0]) await isRefused(peer, time)
    const later = await begin(peer, { scheduledFor: next })
    assert.deepEqual([later.scheduledFor, later.epoch], [next, 2])
  },

  async 'schedule: a live execution prevents a start for a later time, until it ends'({ storage }) {
    const execution = await begin(storage, { scheduledFor: tick })
    await isRefused(storage, next)
    await storage.finish(leaseOf(execution), { state: 'error', error: ['broken'] })
    assert.equal((await begin(storage, { scheduledFor: next })).scheduledFor, next)
  },

  async 'schedule: executions without a time carry the last one over'({ storage, peer }) {
    await runThrough(storage, { scheduledFor: tick })
    for (let n = 0; n < 2; n++) assert.equal((await runThrough(peer)).scheduledFor, tick)
    await isRefused(storage, tick)
    await runThrough(storage, { scheduledFor: next })
    await runThrough(storage)
    await isRefused(peer, next)
  },

  async 'schedule: a job that ran without one may begin for any time'({ storage }) {
    await runThrough(storage)
    assert.equal((await begin(storage, { scheduledFor: 0 })).scheduledFor, 0)
  },

  async 'schedule: each job has its own times'({ storage }) {
    await runThrough(storage, { scheduledFor: next })
    for (const job of [{ id: 'b' }, { type: 'other' }]) {
      assert.equal((await begin(storage, { ...job, scheduledFor: tick })).scheduledFor, tick)
    }
  },

  async 'schedule: an expired lease does not allow a second start for the same time'(subject) {
    const { storage, peer } = subject
    const { executionId } = await expire(subject, { scheduledFor: tick })
    const { started, execution } = await peer.begin(request({ scheduledFor: tick }))
    assert.deepEqual([started, execution.state, execution.scheduledFor], [false, 'error', tick])
    const resumed = await begin(storage, { resumedFrom: executionId })
    assert.deepEqual([resumed.scheduledFor, resumed.epoch], [tick, 2])
  },

  async 'schedule: a start with a time and an orphan must satisfy both conditions'({ storage }) {
    const orphaned = { state: 'aborted', isOrphaned: true } as const
    const { executionId: resumedFrom } = await runThrough(storage, { scheduledFor: tick }, orphaned)
    assert.equal((await storage.begin(request({ resumedFrom, scheduledFor: tick }))).started, false)
    assert.equal((await storage.begin(request({ resumedFrom: `${resumedFrom}x`, scheduledFor: next }))).started, false)
    const execution = await begin(storage, { resumedFrom, scheduledFor: next })
    assert.deepEqual([execution.resumedFrom, execution.scheduledFor], [resumedFrom, next])
  },
}

import assert from 'node:assert/strict'
import type { Cases } from '../suite.js'
import { begin, leaseOf, liveOf, longLease, present, request, runThrough, type StorageSubject } from './subject.js'

/** These run over a storage whose log keeps 2 executions. */
export const retentionCases: Cases<StorageSubject> = {
  async 'retention: the last execution of every job stays'({ storage }) {
    for (const id of ['a', 'b', 'c', 'd'])
      await runThrough(storage, { id }, { state: 'successful', checkpoint: { at: id } })
    for (let n = 0; n < 20; n++) await runThrough(storage, { id: 'busy' })
    for (const id of ['a', 'b', 'c', 'd']) {
      assert.deepEqual(present(await storage.find('test', id)).checkpoint, { at: id })
      const { epoch, checkpoint } = await begin(storage, { id })
      assert.deepEqual({ epoch, checkpoint }, { epoch: 2, checkpoint: { at: id } })
    }
    assert.equal((await begin(storage, { id: 'busy' })).epoch, 21)
  },

  async 'retention: the last time of a schedule stays'({ storage }) {
    await runThrough(storage, { scheduledFor: 1000 })
    for (let n = 0; n < 5; n++) await runThrough(storage, { id: 'busy' })
    assert.equal((await storage.begin(request({ scheduledFor: 1000 }))).started, false)
    assert.equal((await begin(storage)).scheduledFor, 1000)
  },

  async 'retention: live executions stay'({ storage }) {
    const execution = await begin(storage)
    for (let n = 0; n < 20; n++) await runThrough(storage, { id: 'busy' })
    assert.deepEqual(await liveOf(storage), [execution])
    assert.notEqual(await storage.renew(leaseOf(execution), { lease: longLease, count: 1 }), undefined)
  },

  async 'retention: the newest executions are kept'({ storage, pass }) {
    const ids: string[] = []
    for (let n = 0; n < 6; n++) {
      ids.unshift((await runThrough(storage, { id: 'busy' })).executionId)
      await pass(3)
    }
    const { hits } = await storage.search({ size: 2 })
    assert.deepEqual(
      hits.map(({ executionId }) => executionId),
      ids.slice(0, 2),
    )
  },
}

import assert from 'node:assert/strict'
import type { OpenEnds, Pauses } from '../../../adapter.js'
import type { JobStorage } from '../../../index.js'
import type { Cases } from '../suite.js'
import {
  begin,
  expire,
  leaseOf,
  liveOf,
  orphansOf,
  present,
  request,
  runThrough,
  type StorageSubject,
  shortLease,
} from './subject.js'

/** An optional member of a storage. */
function its<Name extends 'latest' | 'reset' | 'pauses' | 'ends'>(storage: JobStorage, name: Name) {
  const member = storage[name]
  assert.ok(member, `Expected \`${name}\`: a storage without it says so in \`unsupported\``)
  const bound = typeof member === 'function' ? member.bind(storage) : member
  return bound as NonNullable<JobStorage[Name]>
}

export const latestCases: Cases<StorageSubject> = {
  async 'latest: the live or the last execution of each job'({ storage, peer }) {
    for (const id of ['ended', 'both', 'unasked']) await runThrough(storage, { id })
    await begin(storage, { id: 'both' })
    await begin(storage, { id: 'live', type: 'other' })
    await begin(storage, { id: 'both', partition: 0 })
    const jobs = [
      { type: 'test', id: 'ended' },
      { type: 'test', id: 'both' },
      { type: 'other', id: 'live' },
      { type: 'test', id: 'live' },
      { type: 'test', id: 'never' },
    ]
    const found = await Promise.all(jobs.slice(0, 3).map(({ type, id }) => storage.find(type, id)))
    const order = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
    assert.deepEqual((await its(peer, 'latest')(jobs)).sort(order), found.map(present).sort(order))
    assert.deepEqual(await its(storage, 'latest')([]), [])
  },

  async 'latest: of 1,000 jobs, with any characters'({ storage }) {
    const ids = ['a:b', `"'\\é\u{1f600}`, 'A', 'a', 'x'.repeat(512)]
    for (const id of ids) await runThrough(storage, { id })
    const jobs = Array.from({ length: 1000 }, (_, n) => ({ type: 'test', id: ids[n] ?? `never-${n}` }))
    const found = await its(storage, 'latest')(jobs)
    assert.deepEqual(found.map(({ id }) => id).sort(), [...ids].sort())
  },

  async 'latest: settles an expired lease'(subject) {
    await expire(subject)
    const [record] = await its(subject.peer, 'latest')([{ type: 'test', id: 'a' }])
    assert.deepEqual([record?.state, record?.isOrphaned], ['error', true])
  },
}

const job = { type: 'test', id: 'a' }

export const pauseCases: Cases<StorageSubject> = {
  async 'pause: is listed with its reason and time, also by another process'({ storage, peer, pass }) {
    const { startTime } = await begin(storage)
    await pass(1)
    const pause = await its(storage, 'pauses').pause(job, { reason: 'a\u0000é', by: 'me' })
    assert.deepEqual({ ...pause, since: 0 }, { ...job, since: 0, reason: 'a\u0000é', by: 'me' })
    assert.ok(pause.since >= startTime, 'Expected the time of the clock of the storage')
    assert.deepEqual(await its(peer, 'pauses').list(), [pause])
  },

  async 'pause: of a job that never ran, without a reason'({ storage }) {
    const { since, ...rest } = await its(storage, 'pauses').pause({ type: 'new', id: `"'\\é:b` }, {})
    assert.deepEqual(rest, { type: 'new', id: `"'\\é:b` })
    assert.ok(Number.isSafeInteger(since), 'Expected a time')
  },

  async 'pause: what is paused stays as it is'({ storage, peer, pass }) {
    const first = await its(storage, 'pauses').pause(job, { reason: 'first' })
    await pass(5)
    assert.deepEqual(await its(peer, 'pauses').pause(job, { reason: 'second', by: 'me' }), first)
    assert.deepEqual(await its(storage, 'pauses').list(), [first])
  },

  async 'pause: that of all jobs and those of single jobs are independent'({ storage, peer }) {
    const pauses: Pauses = its(storage, 'pauses')
    const other = { type: 'test', id: 'b' }
    for (const scope of [job, other, {}]) await pauses.pause(scope, {})
    assert.equal(await its(peer, 'pauses').unpause(job), true)
    assert.equal(await pauses.unpause(job), false)
    assert.equal((await pauses.list()).length, 2)
    assert.equal(await pauses.unpause({}), true)
    assert.deepEqual(
      (await pauses.list()).map(({ type, id }) => ({ type, id })),
      [other],
    )
    assert.equal(await pauses.unpause({}), false)
  },
}

export const resetCases: Cases<StorageSubject> = {
  async 'reset: sets or clears where the next execution begins'({ storage, peer }) {
    for (const checkpoint of [{ at: 2 }, false, null]) {
      const ended = await runThrough(storage, { id: 'b' }, { state: 'successful', checkpoint: { at: 1 }, count: 3 })
      const answer = await its(peer, 'reset')('test', 'b', { checkpoint })
      const { checkpoint: _, ...rest } = ended
      const expected = checkpoint === null ? rest : { ...rest, checkpoint }
      assert.deepEqual(answer, { reset: true, execution: expected })
      assert.deepEqual(await storage.find('test', 'b'), expected)
      const next = await begin(storage, { id: 'b' })
      assert.deepEqual(['checkpoint' in next, next.checkpoint], [checkpoint !== null, checkpoint ?? undefined])
      await storage.finish(leaseOf(next), { state: 'successful' })
    }
  },

  async 'reset: changes nothing of a live job'({ storage, peer }) {
    await runThrough(storage, {}, { state: 'successful', checkpoint: 1 })
    for (const state of ['queued', 'running'] as const) {
      const live = await begin(storage, { state })
      assert.deepEqual(await its(peer, 'reset')('test', 'a', { checkpoint: 2 }), { reset: false, execution: live })
      assert.deepEqual(await storage.find('test', 'a'), live)
      await storage.finish(leaseOf(live), { state: 'successful' })
    }
    assert.equal((await begin(storage)).checkpoint, 1)
  },

  async 'reset: with the id of an execution, only while that is the last one'({ storage, peer }) {
    const reset = its(peer, 'reset')
    const never = `a${crypto.randomUUID()}`
    assert.deepEqual(await reset('test', 'a', { checkpoint: 2, executionId: never }), { reset: false })
    const first = await runThrough(storage, {}, { state: 'successful', checkpoint: 1 })
    const { executionId } = first
    assert.deepEqual(await reset('test', 'a', { checkpoint: 2, executionId }), {
      reset: true,
      execution: { ...first, checkpoint: 2 },
    })
    const last = await runThrough(storage, {}, { state: 'successful', checkpoint: 3 })
    assert.deepEqual(await reset('test', 'a', { checkpoint: 4, executionId }), { reset: false, execution: last })
    assert.deepEqual(await storage.find('test', 'a'), last)
  },

  async 'reset: settles an expired lease'(subject) {
    const { storage } = subject
    await expire(subject)
    const { reset, execution } = await its(storage, 'reset')('test', 'a', { checkpoint: 2 })
    assert.deepEqual([reset, execution?.state, execution?.checkpoint], [true, 'error', 2])
  },

  async 'reset: clears the checkpoints of partitions, of that job only'({ storage, peer }) {
    for (const id of ['a', 'b']) {
      for (const partition of [{}, { partition: 0 }, { partition: 1 }])
        await runThrough(storage, { id, ...partition }, { state: 'successful', checkpoint: 1 })
    }
    await its(peer, 'reset')('test', 'a', { checkpoint: 2 })
    const checkpoints: unknown[] = []
    for (const id of ['a', 'b']) {
      for (const partition of [undefined, 0, 1])
        checkpoints.push((await storage.find('test', id, partition))?.checkpoint)
    }
    assert.deepEqual(checkpoints, [2, undefined, undefined, 1, 1, 1])
  },

  async 'reset: a live partition prevents it'({ storage }) {
    await runThrough(storage, {}, { state: 'successful', checkpoint: 1 })
    const live = await begin(storage, { partition: 3 })
    assert.deepEqual(await its(storage, 'reset')('test', 'a', { checkpoint: 2 }), { reset: false, execution: live })
    assert.equal((await storage.find('test', 'a'))?.checkpoint, 1)
  },

  async 'reset: of a job that never ran: it is still not found, and begins there'({ storage, peer }) {
    const reset = its(storage, 'reset')
    assert.deepEqual(await reset('test', 'a', { checkpoint: null }), { reset: true })
    for (const checkpoint of [{ at: 1 }, null, { at: 2 }]) {
      assert.deepEqual(await reset('test', 'a', { checkpoint }), { reset: true })
    }
    assert.equal(await peer.find('test', 'a'), undefined)
    assert.equal(await peer.requestAbort({ type: 'test', id: 'a' }), undefined)
    assert.deepEqual(await liveOf(storage), [])
    assert.deepEqual(await orphansOf(storage), [])
    assert.equal((await storage.search({})).total, 0)
    if (peer.latest) assert.deepEqual(await peer.latest([job]), [])
    const first = await begin(peer)
    assert.deepEqual([first.checkpoint, first.epoch], [{ at: 2 }, 1])
    await peer.finish(leaseOf(first), { state: 'successful' })
    assert.deepEqual((await begin(storage)).checkpoint, { at: 2 })
  },

  async 'reset: with a concurrent start, one of them comes first'({ storage, peer }) {
    for (let round = 0; round < 10; round++) {
      const id = `job-${round}`
      await runThrough(storage, { id }, { state: 'successful', checkpoint: 1 })
      const both = [
        () => its(peer, 'reset')('test', id, { checkpoint: 2 }),
        () => storage.begin(request({ id })),
      ] as const
      const [{ reset }] = await Promise.all([both[0](), both[1]()])
      assert.equal((await storage.find('test', id))?.checkpoint, reset ? 2 : 1)
    }
  },
}

/** Claims ends for a minute. */
function claim(ends: OpenEnds, size = 10) {
  return ends.claim({ node: 'node-1', lease: 60_000, size })
}

export const openEndCases: Cases<StorageSubject> = {
  async 'ends: those whose notification is open, the first that ended first'({ storage, peer, pass }) {
    const first = await begin(storage, { id: 'first', notifiesEnd: true })
    assert.equal(first.notifiesEnd, true)
    await runThrough(storage, { id: 'unasked' })
    const ids: string[] = []
    for (const id of ['b', 'c']) {
      await pass(2)
      ids.push((await runThrough(storage, { id, notifiesEnd: true })).executionId)
    }
    await pass(2)
    const last = present(await storage.finish(leaseOf(first), { state: 'error', error: ['why'] }))
    await begin(storage, { id: 'b' })
    const claimed = await claim(its(peer, 'ends'))
    assert.deepEqual(
      claimed.map(({ executionId }) => executionId),
      [...ids, last.executionId],
    )
    assert.deepEqual(claimed.at(-1), last)
  },

  async 'ends: the next start asks for itself'({ storage }) {
    await runThrough(storage, { notifiesEnd: true })
    const next = await runThrough(storage)
    assert.equal('notifiesEnd' in next, false)
    assert.equal((await claim(its(storage, 'ends'))).length, 1)
  },

  async 'ends: a claimed one is not claimed again until the claim expires'({ storage, peer, pass }) {
    const { executionId } = await runThrough(storage, { notifiesEnd: true })
    const claimShortly = (each: JobStorage) => its(each, 'ends').claim({ node: 'n', lease: shortLease, size: 10 })
    assert.equal((await claimShortly(storage)).length, 1)
    assert.deepEqual(await claimShortly(peer), [])
    await pass(shortLease + 50)
    assert.deepEqual(
      (await claimShortly(peer)).map((record) => record.executionId),
      [executionId],
    )
  },

  async 'ends: of many concurrent claims one gets each, and up to `size`'({ storage, peer }) {
    for (let n = 0; n < 6; n++) await runThrough(storage, { id: `job-${n}`, notifiesEnd: true })
    const claims = await Promise.all(Array.from({ length: 8 }, (_, n) => claim(its(n % 2 ? peer : storage, 'ends'), 2)))
    const all = [...claims, await claim(its(storage, 'ends'))]
    assert.ok(
      claims.every(({ length }) => length <= 2),
      'Expected up to 2 of each claim',
    )
    assert.deepEqual(
      all
        .flat()
        .map(({ id }) => id)
        .sort(),
      Array.from({ length: 6 }, (_, n) => `job-${n}`),
    )
  },

  async 'ends: those of the jobs that a claim leaves out stay open'({ storage, peer }) {
    for (const id of ['a', 'b', 'c']) await runThrough(storage, { id, notifiesEnd: true })
    const except = ['a', 'b', 'unknown'].map((id) => ({ type: 'test', id }))
    const claimed = await its(peer, 'ends').claim({ node: 'n', lease: 60_000, size: 10, except })
    assert.deepEqual(
      claimed.map(({ id }) => id),
      ['c'],
    )
  },

  async 'ends: a settled one is done, and says so, also in the log'({ storage, peer, pass }) {
    const { executionId } = await runThrough(storage, { notifiesEnd: true })
    await its(storage, 'ends').claim({ node: 'n', lease: shortLease, size: 10 })
    await its(peer, 'ends').settle(executionId)
    await its(peer, 'ends').settle(executionId)
    await its(peer, 'ends').settle('unknown')
    await pass(shortLease + 50)
    assert.deepEqual(await claim(its(storage, 'ends')), [])
    const found = present(await storage.find('test', 'a'))
    assert.equal(found.isEndNotified, true)
    assert.deepEqual((await storage.search({})).hits, [found])
    assert.equal('isEndNotified' in (await begin(storage, { notifiesEnd: true })), false)
  },

  async 'ends: settling does not depend on the claim, or on the last execution'({ storage }) {
    const { executionId } = await runThrough(storage, { notifiesEnd: true })
    const next = await begin(storage, { notifiesEnd: true })
    await its(storage, 'ends').settle(executionId)
    assert.deepEqual(await storage.find('test', 'a'), next)
    assert.deepEqual(await claim(its(storage, 'ends')), [])
    assert.equal((await storage.search({})).hits[0]?.isEndNotified, true)
  },

  async 'ends: an expired lease counts, when a read has settled it'(subject) {
    const { storage, peer } = subject
    const { executionId } = await expire(subject, { notifiesEnd: true })
    await storage.find('test', 'a')
    assert.deepEqual(
      (await claim(its(peer, 'ends'))).map((record) => record.executionId),
      [executionId],
    )
  },

  async 'ends: an orphan stays open when another start follows, and the log tells what resumed it'({ storage, peer }) {
    const orphaned = { state: 'aborted', isOrphaned: true } as const
    for (const id of ['resumed', 'anew']) {
      const { executionId } = await runThrough(storage, { id, notifiesEnd: true }, orphaned)
      const resumedFrom = id === 'resumed' ? { resumedFrom: executionId, takeovers: 1 } : {}
      const next = await runThrough(peer, { id, ...resumedFrom })
      const last = await runThrough(storage, { id })
      const { hits } = await peer.search({ type: 'test', id })
      assert.deepEqual(
        hits.map((hit) => [hit.executionId, hit.resumedFrom]),
        [
          [last.executionId, undefined],
          [next.executionId, resumedFrom.resumedFrom],
          [executionId, undefined],
        ],
      )
    }
    const open = await claim(its(storage, 'ends'))
    assert.ok(
      open.some(({ id, isOrphaned }) => id === 'anew' && isOrphaned === true),
      'Expected the end of an orphan that no execution has resumed',
    )
  },
}

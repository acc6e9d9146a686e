import assert from 'node:assert/strict'
import type { ExecutionRecord } from '../../../adapter.js'
import type { SearchFilter } from '../../../index.js'
import type { Cases } from '../suite.js'
import { begin, leaseOf, liveOf, longLease, present, request, runThrough, type StorageSubject } from './subject.js'

/** Ids that are pairwise different, however a storage compares, escapes or folds. */
const hostileIds = [
  `it's "quoted" \`so\``,
  '%',
  '_',
  'a%',
  'a_',
  'ab',
  'AB',
  'ab ',
  ' ab',
  '\\',
  '\n\t',
  '$1; drop table executions; --',
  '../../etc',
  '{"a":[1]}',
  '__proto__',
  'constructor',
  '日本語',
  '\u00e9',
  'e\u0301',
  '👩‍👩‍👧‍👦',
  '\ufeff',
  '0',
  'null',
  'x'.repeat(512),
  '😀'.repeat(256),
]

/** What JSON can hold, and storages have been seen to change. */
const checkpoints = [
  0,
  false,
  '',
  'text',
  [],
  {},
  [null, { a: [1.5, 'ü', '\\u0041', "'"] }],
  { n: 2 ** 53 - 1 },
  'x'.repeat(10_000),
]

export const valueCases: Cases<StorageSubject> = {
  async 'values: ids with any characters are different ids'({ storage }) {
    for (const id of hostileIds) await begin(storage, { id })
    for (const id of hostileIds) {
      const found = present(await storage.find('test', id))
      assert.equal(found.id, id)
      assert.ok(found.executionId.startsWith(id))
      await storage.finish(leaseOf(found), { state: 'successful', lastId: id, error: [id] })
    }
    for (const id of hostileIds) {
      const { total, hits } = await storage.search({ id })
      assert.deepEqual([total, hits[0]?.id, hits[0]?.lastId, hits[0]?.error], [1, id, id, [id]])
    }
  },

  async 'values: types with any characters are different types'({ storage }) {
    for (const type of hostileIds) await begin(storage, { type, node: type })
    for (const type of hostileIds) {
      assert.deepEqual(
        (await liveOf(storage, type)).map((each) => [each.type, each.node]),
        [[type, type]],
      )
      assert.equal(present(await storage.requestAbort({ type, id: 'a' })).type, type)
      assert.equal((await storage.search({ type, state: 'aborting' })).total, 1)
    }
  },

  async 'values: an id of any characters pages the log'({ storage, pass }) {
    for (const id of hostileIds) {
      await runThrough(storage, { id })
      await pass(2)
    }
    const walked: string[] = []
    for (let page: SearchFilter = { size: 3 }; walked.length < hostileIds.length; ) {
      const { hits } = await storage.search(page)
      const last = hits.at(-1)
      if (!last) break
      walked.push(...hits.map(({ id }) => id))
      page = { size: 3, searchAfter: last.executionId }
    }
    assert.deepEqual(walked.toReversed(), hostileIds)
  },

  async 'values: a checkpoint comes back as it was'({ storage }) {
    for (const checkpoint of checkpoints) {
      const lease = leaseOf(await begin(storage))
      assert.deepEqual(present(await storage.renew(lease, { lease: longLease, checkpoint })).checkpoint, checkpoint)
      await storage.finish(lease, { state: 'successful' })
      assert.deepEqual(present(await storage.find('test', 'a')).checkpoint, checkpoint)
    }
  },

  async 'values: a detail comes back as it was'({ storage }) {
    for (const value of checkpoints) {
      const lease = leaseOf(await begin(storage))
      const detail = { value, [String(value)]: null }
      assert.deepEqual(present(await storage.renew(lease, { lease: longLease, detail })).detail, detail)
      await storage.finish(lease, { state: 'successful' })
      assert.deepEqual(present(await storage.find('test', 'a')).detail, detail)
    }
  },

  async 'values: counts and errors of any size come back as they were'({ storage }) {
    const end = { count: Number.MAX_SAFE_INTEGER, error: ['x'.repeat(2000), '', '日本 \'"\\'], lastId: '9'.repeat(100) }
    const { count, error, lastId } = await runThrough(storage, {}, { state: 'error', ...end })
    assert.deepEqual({ count, error, lastId }, end)
  },

  async 'values: later changes of arguments and results do not change the storage'({ storage }) {
    const execution = await begin(storage)
    const checkpoint = { list: [1] }
    const detail = { list: [1] }
    const error = ['broken']
    const spoil = (record: ExecutionRecord | undefined) => {
      Object.assign(record ?? {}, { count: 99, state: 'error', epoch: 99 })
      ;(record?.checkpoint as typeof checkpoint | undefined)?.list.push(99)
      ;(record?.detail as typeof detail | undefined)?.list.push(99)
      record?.error?.push('spoilt')
    }
    const lease = leaseOf(execution)
    spoil(execution)
    spoil(await storage.renew(lease, { lease: longLease, checkpoint, detail }))
    checkpoint.list.push(98)
    detail.list.push(98)
    spoil((await storage.begin(request())).execution)
    for (const record of await liveOf(storage)) spoil(record)
    spoil(await storage.requestAbort({ type: 'test', id: 'a' }))
    spoil(await storage.finish(lease, { state: 'error', error }))
    error.push('spoilt')
    spoil(await storage.find('test', 'a'))
    for (const record of (await storage.search({})).hits) spoil(record)
    const found = present(await storage.find('test', 'a'))
    const { count, epoch } = found
    assert.deepEqual({ count, epoch }, { count: 0, epoch: 1 })
    assert.deepEqual([found.checkpoint, found.detail, found.error], [{ list: [1] }, { list: [1] }, ['broken']])
  },
}

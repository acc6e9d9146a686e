import assert from 'node:assert/strict'
import { type ExecutionRecord, executionOrder } from '../../../adapter.js'
import { isEnded, type JobStorage, type SearchFilter } from '../../../index.js'
import type { Cases } from '../suite.js'
import { begin, leaseOf, liveOf, longLease, present, runThrough, type StorageSubject } from './subject.js'

/** Fills the log with executions of several types, ids, states and times. Gives them, newest first. */
async function fill({ storage, pass }: StorageSubject): Promise<ExecutionRecord[]> {
  const executions: ExecutionRecord[] = []
  for (const state of ['successful', 'error', 'aborted', 'successful'] as const) {
    for (const type of ['test', 'other']) {
      for (const id of ['a', 'b']) {
        executions.unshift(await runThrough(storage, { type, id }, { state }))
        await pass(3)
      }
    }
  }
  return executions
}

async function live({ storage }: StorageSubject): Promise<Record<'queued' | 'running' | 'aborting', ExecutionRecord>> {
  const queued = await begin(storage, { id: 'queued', state: 'queued' })
  const running = await begin(storage, { id: 'running' })
  const { executionId } = await begin(storage, { id: 'aborting' })
  const aborting = await storage.requestAbort({ type: 'test', id: 'aborting' })
  assert.equal(aborting?.executionId, executionId)
  return { queued, running, aborting: aborting as ExecutionRecord }
}

function fits(execution: ExecutionRecord, { type, id, state, startTimeFrom, startTimeTo }: SearchFilter): boolean {
  return (
    (type ?? execution.type) === execution.type &&
    (id ?? execution.id) === execution.id &&
    (state ?? execution.state) === execution.state &&
    (startTimeFrom ?? execution.startTime) <= execution.startTime &&
    (startTimeTo ?? execution.startTime) >= execution.startTime
  )
}

/** Every choice of the fields of a filter, from none to all. */
function choicesOf(filter: SearchFilter): SearchFilter[] {
  let choices: SearchFilter[] = [{}]
  for (const [name, value] of Object.entries(filter)) {
    choices = choices.flatMap((choice) => [choice, { ...choice, [name]: value }])
  }
  return choices
}

function idsOf(executions: readonly ExecutionRecord[]): string[] {
  return executions.map(({ executionId }) => executionId)
}

async function search(storage: JobStorage, filter: SearchFilter): Promise<{ total: number; ids: string[] }> {
  const { total, hits } = await storage.search(filter)
  return { total, ids: idsOf(hits) }
}

export const searchCases: Cases<StorageSubject> = {
  async 'search: finds nothing in an empty log'({ storage }) {
    assert.deepEqual(await storage.search({}), { total: 0, hits: [] })
  },

  async 'search: every filter, and all of them together, select matching executions'(subject) {
    const log = await fill(subject)
    const [from, to] = [log[13], log[2]] as [ExecutionRecord, ExecutionRecord]
    for (const state of ['successful', 'error', 'aborted'] as const) {
      const all = { type: 'test', id: 'a', state, startTimeFrom: from.startTime, startTimeTo: to.startTime }
      for (const filter of choicesOf(all)) {
        const expected = log.filter((execution) => fits(execution, filter))
        assert.deepEqual(await subject.storage.search({ ...filter, size: 1000 }), {
          total: expected.length,
          hits: expected,
        })
      }
    }
  },

  async 'search: start times are inclusive at both ends'(subject) {
    const log = await fill(subject)
    const { startTime, executionId } = log[5] as ExecutionRecord
    const found = await search(subject.storage, { startTimeFrom: startTime, startTimeTo: startTime })
    assert.deepEqual(found, { total: 1, ids: [executionId] })
  },

  async 'search: without a state, finds ended executions only'(subject) {
    await live(subject)
    const ended = await runThrough(subject.storage)
    assert.deepEqual(await subject.storage.search({}), { total: 1, hits: [ended] })
  },

  async 'search: a live state finds live executions'(subject) {
    const executions = await live(subject)
    await runThrough(subject.storage)
    for (const [state, execution] of Object.entries(executions)) {
      const filter = { state: execution.state, type: 'test' }
      assert.deepEqual(await subject.storage.search(filter), { total: 1, hits: [execution] }, state)
    }
  },

  async 'search: newest first, by the UUID of the id'({ storage, peer, pass }) {
    const ids: string[] = []
    for (let n = 0; n < 12; n++) {
      ids.unshift((await runThrough(n % 2 ? peer : storage, { id: `job-${(n * 7) % 12}` })).executionId)
      await pass(3)
    }
    assert.deepEqual(await search(storage, { size: 1000 }), { total: 12, ids })
  },

  async 'search: an execution that ended late keeps its place'({ storage, pass }) {
    const slow = await begin(storage, { id: 'slow' })
    await pass(3)
    const quick = await runThrough(storage, { id: 'quick' })
    await pass(3)
    await storage.finish(leaseOf(slow), { state: 'successful' })
    assert.deepEqual((await search(storage, {})).ids, idsOf([quick, slow]))
  },

  async 'search: returns 10 by default, and the total regardless of the page'(subject) {
    const ids = idsOf(await fill(subject))
    const pages: [SearchFilter, string[]][] = [
      [{}, ids.slice(0, 10)],
      [{ from: 12 }, ids.slice(12)],
      [{ from: 3, size: 4 }, ids.slice(3, 7)],
      [{ from: 16 }, []],
      [{ from: 1000 }, []],
      [{ size: 0 }, []],
      [{ size: 1000 }, ids],
      [{ searchAfter: ids[7] as string, size: 2 }, ids.slice(8, 10)],
    ]
    for (const [page, expected] of pages) {
      assert.deepEqual(await search(subject.storage, page), { total: 16, ids: expected }, JSON.stringify(page))
    }
  },

  async 'search: searchAfter pages through the whole log without a gap or a repeat, also while it grows'(subject) {
    const { storage } = subject
    const ids = idsOf(await fill(subject))
    const walked: string[] = []
    // Bounded, so that a log that gives repeats ends the case too.
    for (let page = ids.slice(0, 1); page.length > 0 && walked.length <= ids.length; ) {
      walked.push(...page)
      await runThrough(storage, { id: 'new' })
      page = (await search(storage, { searchAfter: walked.at(-1) as string, size: 5 })).ids
    }
    assert.deepEqual(walked, ids)
  },

  async 'search: searchAfter works with every filter'(subject) {
    const log = await fill(subject)
    const after = log[4] as ExecutionRecord
    const expected = log.slice(5).filter(({ type, state }) => type === 'test' && state === 'successful')
    const found = await search(subject.storage, { type: 'test', state: 'successful', searchAfter: after.executionId })
    assert.deepEqual(found.ids, idsOf(expected))
  },

  async 'search: searchAfter works after an execution that was deleted'(subject) {
    const log = await fill(subject)
    const { executionId } = log[4] as ExecutionRecord
    const gone = `gone${executionOrder(executionId)}`
    const { ids } = await search(subject.storage, { searchAfter: gone, size: 1000 })
    assert.deepEqual(ids, idsOf(log.slice(5)))
  },

  async 'live: all live executions of a type, in the order of their ids'({ storage, peer, pass }) {
    await runThrough(storage, { id: 'ended' })
    await begin(storage, { type: 'other', id: 'x' })
    const executions: ExecutionRecord[] = []
    for (const id of ['c', 'a', 'b']) {
      executions.push(await begin(peer, { id, state: id === 'a' ? 'queued' : 'running' }))
      await pass(3)
    }
    assert.deepEqual(await storage.live({ type: 'test' }), { hits: executions })
    assert.deepEqual(await storage.live({ type: 'unknown' }), { hits: [] })
  },

  async 'live and search: may leave out what is long, on request, and nothing else'({ storage }) {
    const running = await begin(storage, { params: { of: 'a' }, checkpoint: { at: 1 } })
    await storage.renew(leaseOf(running), {
      lease: longLease,
      count: 2,
      lastId: 'b',
      detail: { seen: 2 },
      logTail: ['c'],
    })
    await runThrough(
      storage,
      { id: 'b', checkpoint: { at: 2 } },
      { state: 'error', error: ['It fails.'], detail: { seen: 3 } },
    )
    const whole = [(await storage.live({ type: 'test' })).hits, (await storage.search({})).hits].flat()
    const short = [
      (await storage.live({ type: 'test', omitsDetail: true })).hits,
      (await storage.search({ omitsDetail: true })).hits,
      (await storage.search({ state: 'running', omitsDetail: true })).hits,
    ].flat()
    for (const hit of short) {
      const found = present(whole.find(({ executionId }) => executionId === hit.executionId))
      const { checkpoint, detail, params, logTail } = found
      const long = Object.entries({ checkpoint, detail, params, logTail }).filter(([, value]) => value !== undefined)
      assert.deepEqual({ ...hit, ...Object.fromEntries(long) }, found)
    }
    assert.equal(short.length, 3)
  },

  async 'live: an execution that left the queue keeps its place'({ storage, pass }) {
    const queued = await begin(storage, { id: 'queued', state: 'queued' })
    await pass(3)
    const running = await begin(storage)
    await pass(3)
    await storage.run(leaseOf(queued))
    assert.deepEqual(idsOf(await liveOf(storage)), idsOf([queued, running]))
  },

  async 'live: in pages, also while executions begin and end'({ storage, pass }) {
    const executions: ExecutionRecord[] = []
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      executions.push(await begin(storage, { id }))
      await pass(3)
    }
    const ids = idsOf(executions)
    const first = await storage.live({ type: 'test', size: 2 })
    assert.deepEqual([idsOf(first.hits), first.next], [ids.slice(0, 2), ids[1]])
    await storage.finish(leaseOf(executions[1] as ExecutionRecord), { state: 'successful' })
    const second = await storage.live({ type: 'test', size: 2, searchAfter: present(first.next) })
    assert.deepEqual(idsOf(second.hits), ids.slice(2, 4))
    const { executionId } = await begin(storage, { id: 'f' })
    const last = await storage.live({ type: 'test', size: 3, searchAfter: present(second.next) })
    assert.deepEqual([idsOf(last.hits), last.next], [[ids[4], executionId], undefined])
  },

  async 'find: the live execution, else the last one'({ storage }) {
    assert.equal(await storage.find('test', 'a'), undefined)
    const first = await runThrough(storage)
    assert.deepEqual(await storage.find('test', 'a'), first)
    const second = await begin(storage)
    assert.deepEqual(await storage.find('test', 'a'), second)
    const ended = await storage.finish(leaseOf(second), { state: 'aborted' })
    assert.ok(ended && isEnded(ended.state))
    assert.deepEqual(await storage.find('test', 'a'), ended)
  },
}

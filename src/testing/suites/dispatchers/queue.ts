import assert from 'node:assert/strict'
import { newExecutionId } from '../../../adapter.js'
import type { Dispatcher } from '../../../index.js'
import type { Cases } from '../suite.js'
import { type DispatcherSubject, execution, quiet } from './subject.js'

export const queueCases: Cases<DispatcherSubject> = {
  async 'waiting: lists queued executions in the order of dispatch, page by page'({ open, work }) {
    const dispatcher = open({ process: 1, datasources: { events: 1 } })
    await fill(dispatcher, work, ['a', 0], ['b', 7], ['c', 0], ['d', -7], ['e', 7])
    assert.deepEqual(await idsOf(dispatcher, 0, 10), ['b', 'e', 'a', 'c', 'd'])
    assert.deepEqual(await idsOf(dispatcher, 1, 2), ['e', 'a'])
    assert.deepEqual(await idsOf(dispatcher, 4, 10), ['d'])
    assert.deepEqual(await idsOf(dispatcher, 5, 10), [])
    assert.deepEqual(await dispatcher.waiting({ from: 0, size: 0 }), { total: 5, hits: [] })
    const { total, hits } = await dispatcher.waiting({ from: 1, size: 1 })
    assert.deepEqual([total, hits[0]?.priority, hits[0]?.epoch], [5, 7, 1])
  },

  async 'waiting: lists no dispatched and no ended execution'({ open, work, time }) {
    const dispatcher = open()
    await dispatcher.add([execution('a')])
    await work.whenDispatched('a')
    assert.deepEqual(await dispatcher.waiting({ from: 0, size: 10 }), { total: 0, hits: [] })
    work.end('a')
    await time.until(async () => (await dispatcher.waiting({ from: 0, size: 10 })).total === 0)
  },

  async 'waiting: lists an execution on a limited datasource once'({ open, work, time }) {
    const dispatcher = open({ process: 1, datasources: { events: 1 } })
    await fill(dispatcher, work)
    for (const id of ['a', 'b', 'c']) await dispatcher.add([execution(id, { datasource: 'events' })])
    const areAll = async () => {
      const { total, hits } = await dispatcher.waiting({ from: 0, size: 10 })
      return (
        total === 3 &&
        hits
          .map(({ id }) => id)
          .toSorted()
          .join() === 'a,b,c'
      )
    }
    await time.until(areAll)
    // An execution that moves on to the next queue must not be listed twice. On its way, it may be missing.
    await time.pass(quiet)
    await time.until(areAll)
  },

  async 'remove: removes a queued execution, once'({ open, work }) {
    const dispatcher = open({ process: 1 })
    const [a, b] = await fill(dispatcher, work, ['a', 0], ['b', 0])
    assert.equal(await dispatcher.remove(a), true)
    assert.equal(await dispatcher.remove(a), false)
    assert.deepEqual(await idsOf(dispatcher, 0, 10), ['b'])
    work.endAll()
    await work.expectDispatched('running', 'b')
    assert.equal(await dispatcher.remove(b), false)
  },

  async 'remove: removes an execution that waits for a limited datasource'({ open, work }) {
    const dispatcher = open({ datasources: { events: 1 } })
    const [first, second] = ['a', 'b'].map((id) => execution(id, { datasource: 'events' }))
    await dispatcher.add([first as never])
    await work.whenDispatched('a')
    await dispatcher.add([second as never])
    assert.equal(await dispatcher.remove(second?.executionId ?? ''), true)
    work.endAll()
    await work.expectDispatched('a')
  },

  async 'remove, move: have no effect on dispatched and unknown executions'({ open, work }) {
    const dispatcher = open()
    const one = execution('a')
    await dispatcher.add([one])
    await work.whenDispatched('a')
    for (const executionId of [one.executionId, newExecutionId('none', Date.now())]) {
      assert.equal(await dispatcher.remove(executionId), false)
      assert.equal(await dispatcher.move(executionId, 5), false)
    }
    await work.expectDispatched('a')
  },

  async 'move: puts an execution behind those that have the new priority'({ open, work }) {
    const dispatcher = open({ process: 1 })
    const [a, b] = await fill(dispatcher, work, ['a', 0], ['b', 0], ['c', 3], ['d', 0])
    assert.equal(await dispatcher.move(b, 3), true)
    assert.deepEqual(await idsOf(dispatcher, 0, 10), ['c', 'b', 'a', 'd'])
    assert.equal(await dispatcher.move(a, -1), true)
    assert.deepEqual(await idsOf(dispatcher, 0, 10), ['c', 'b', 'd', 'a'])
    work.endAll()
    await work.expectDispatched('running', 'c', 'b', 'd', 'a')
    assert.deepEqual(
      work.dispatched.map(({ priority }) => priority),
      [0, 3, 3, 0, -1],
    )
  },

  async 'move: moves an execution that waits for a limited datasource'({ open, work }) {
    const dispatcher = open({ datasources: { events: 1 } })
    const ones = ['a', 'b', 'c'].map((id) => execution(id, { datasource: 'events' }))
    await dispatcher.add(ones.slice(0, 1))
    await work.whenDispatched('a')
    for (const one of ones.slice(1)) await dispatcher.add([one])
    assert.equal(await dispatcher.move(ones[2]?.executionId ?? '', 1), true)
    work.endAll()
    await work.expectDispatched('a', 'c', 'b')
  },

  async 'check: resolves while the queue can be used, if the dispatcher has it'({ open }) {
    const dispatcher = open()
    await dispatcher.check?.(new AbortController().signal)
  },

  async 'close: stops dispatching'({ open, work }) {
    const dispatcher = open({ process: 1 })
    await fill(dispatcher, work, ['a', 0])
    const closed = dispatcher.close?.()
    work.endAll()
    await closed
    await work.expectDispatched('running')
  },
}

/** Dispatches an execution that runs until it is ended, and queues others with these ids and priorities behind it. */
async function fill(
  dispatcher: Dispatcher,
  work: DispatcherSubject['work'],
  ...jobs: readonly (readonly [string, number])[]
): Promise<[string, string]> {
  await dispatcher.add([execution('running', { priority: 0 })])
  await work.whenDispatched('running')
  const ones = jobs.map(([id, priority]) => execution(id, { priority }))
  for (const one of ones) await dispatcher.add([one])
  return [ones[0]?.executionId ?? '', ones[1]?.executionId ?? '']
}

async function idsOf(dispatcher: Dispatcher, from: number, size: number): Promise<string[]> {
  const { hits } = await dispatcher.waiting({ from, size })
  return hits.map(({ id }) => id)
}

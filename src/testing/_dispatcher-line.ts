import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import { type Dispatcher, newExecutionId } from '../index.js'
import { type DispatcherSubject, execution, quiet, until } from './_dispatcher-subject.js'
import type { Cases } from './_suite.js'

export const lineCases: Cases<DispatcherSubject> = {
  async 'waiting: shows who waits, in the order of their turns, page by page'({ open, work }) {
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

  async 'waiting: shows nobody who has a turn, or had it'({ open, work }) {
    const dispatcher = open()
    await dispatcher.add([execution('a')])
    await work.turnsOf('a')
    assert.deepEqual(await dispatcher.waiting({ from: 0, size: 10 }), { total: 0, hits: [] })
    work.end('a')
    await until(async () => (await dispatcher.waiting({ from: 0, size: 10 })).total === 0)
  },

  async 'waiting: shows once who waits for a datasource'({ open, work }) {
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
    await until(areAll)
    // One that has gone on to the next line is not to be seen in both; on its way, it may be seen in neither.
    await setTimeout(quiet)
    await until(areAll)
  },

  async 'remove: takes out of the line, once'({ open, work }) {
    const dispatcher = open({ process: 1 })
    const [a, b] = await fill(dispatcher, work, ['a', 0], ['b', 0])
    assert.equal(await dispatcher.remove(a), true)
    assert.equal(await dispatcher.remove(a), false)
    assert.deepEqual(await idsOf(dispatcher, 0, 10), ['b'])
    work.endAll()
    await work.onlyTurnsOf('running', 'b')
    assert.equal(await dispatcher.remove(b), false)
  },

  async 'remove: takes out who waits for a datasource'({ open, work }) {
    const dispatcher = open({ datasources: { events: 1 } })
    const [first, second] = ['a', 'b'].map((id) => execution(id, { datasource: 'events' }))
    await dispatcher.add([first as never])
    await work.turnsOf('a')
    await dispatcher.add([second as never])
    assert.equal(await dispatcher.remove(second?.executionId ?? ''), true)
    work.endAll()
    await work.onlyTurnsOf('a')
  },

  async 'remove, move: leave alone who has a turn, and whom nobody knows'({ open, work }) {
    const dispatcher = open()
    const one = execution('a')
    await dispatcher.add([one])
    await work.turnsOf('a')
    for (const executionId of [one.executionId, newExecutionId('none', Date.now())]) {
      assert.equal(await dispatcher.remove(executionId), false)
      assert.equal(await dispatcher.move(executionId, 5), false)
    }
    await work.onlyTurnsOf('a')
  },

  async 'move: puts behind those of the new priority'({ open, work }) {
    const dispatcher = open({ process: 1 })
    const [a, b] = await fill(dispatcher, work, ['a', 0], ['b', 0], ['c', 3], ['d', 0])
    assert.equal(await dispatcher.move(b, 3), true)
    assert.deepEqual(await idsOf(dispatcher, 0, 10), ['c', 'b', 'a', 'd'])
    assert.equal(await dispatcher.move(a, -1), true)
    assert.deepEqual(await idsOf(dispatcher, 0, 10), ['c', 'b', 'd', 'a'])
    work.endAll()
    await work.onlyTurnsOf('running', 'c', 'b', 'd', 'a')
    assert.deepEqual(
      work.taken.map(({ priority }) => priority),
      [0, 3, 3, 0, -1],
    )
  },

  async 'move: moves who waits for a datasource'({ open, work }) {
    const dispatcher = open({ datasources: { events: 1 } })
    const ones = ['a', 'b', 'c'].map((id) => execution(id, { datasource: 'events' }))
    await dispatcher.add(ones.slice(0, 1))
    await work.turnsOf('a')
    for (const one of ones.slice(1)) await dispatcher.add([one])
    assert.equal(await dispatcher.move(ones[2]?.executionId ?? '', 1), true)
    work.endAll()
    await work.onlyTurnsOf('a', 'c', 'b')
  },

  async 'close: gives no more turns'({ open, work }) {
    const dispatcher = open({ process: 1 })
    await fill(dispatcher, work, ['a', 0])
    const closed = dispatcher.close?.()
    work.endAll()
    await closed
    await work.onlyTurnsOf('running')
  },
}

/** Gives a turn to a job that runs until it is ended, and puts jobs of these ids and priorities in line behind it. */
async function fill(
  dispatcher: Dispatcher,
  work: DispatcherSubject['work'],
  ...jobs: readonly (readonly [string, number])[]
): Promise<[string, string]> {
  await dispatcher.add([execution('running', { priority: 0 })])
  await work.turnsOf('running')
  const ones = jobs.map(([id, priority]) => execution(id, { priority }))
  for (const one of ones) await dispatcher.add([one])
  return [ones[0]?.executionId ?? '', ones[1]?.executionId ?? '']
}

async function idsOf(dispatcher: Dispatcher, from: number, size: number): Promise<string[]> {
  const { hits } = await dispatcher.waiting({ from, size })
  return hits.map(({ id }) => id)
}

import assert from 'node:assert/strict'
import { maxPriority } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { type DispatcherSubject, execution, executions } from './subject.js'

export const dispatchCases: Cases<DispatcherSubject> = {
  async 'dispatch: passes on all fields of an execution'({ open, work }) {
    const ones = [
      execution('plain'),
      execution('whole', { type: 'ty pe', priority: -7, epoch: 3, datasource: 'events' }),
      execution('i:d/ä😀', { priority: maxPriority }),
      execution('lowest', { priority: -maxPriority }),
    ]
    await open().add(ones)
    await work.whenDispatched(...ones.map(({ id }) => id))
    const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
    assert.deepEqual(work.dispatched.toSorted(byId), ones.toSorted(byId))
  },

  async 'dispatch: is by priority, and within one in the order of adding'({ open, work }) {
    const dispatcher = open({ process: 1 })
    await dispatcher.add([execution('running')])
    await work.whenDispatched('running')
    for (const id of ['a', 'b']) await dispatcher.add([execution(id)])
    await dispatcher.add([execution('c', { priority: 5 }), execution('d', { priority: -3 }), execution('e')])
    await dispatcher.add([execution('f', { priority: 5 })])
    work.endAll()
    await work.expectDispatched('running', 'c', 'f', 'a', 'b', 'e', 'd')
  },

  async 'dispatch: is at once without a limit'({ open, work }) {
    const ones = executions(20)
    await open().add(ones)
    await work.whenDispatched(...ones.map(({ id }) => id))
    assert.equal(work.most, 20)
  },

  async 'dispatch: is once for an execution that was added repeatedly while it was queued'({ open, work }) {
    const dispatcher = open({ process: 1 })
    await dispatcher.add([execution('running')])
    await work.whenDispatched('running')
    const one = execution('a')
    await dispatcher.add([one])
    await dispatcher.add([one, execution('b'), one])
    assert.equal((await dispatcher.waiting({ from: 0, size: 10 })).total, 2)
    work.endAll()
    await work.expectDispatched('running', 'a', 'b')
  },

  async 'dispatch: is repeated for a refused execution'({ open, work }) {
    let refusals = 0
    await open({}, { refuses: () => ++refusals < 3 }).add([execution('a')])
    await work.whenDispatched('a')
    assert.equal(refusals, 3)
  },

  async 'dispatch: ends for a refused execution that was removed'({ open, work, time }) {
    let refusals = 0
    const dispatcher = open({}, { refuses: () => ++refusals > 0 && refusals < 3 })
    const one = execution('a')
    await dispatcher.add([one])
    await time.until(() => refusals > 0)
    await time.until(() => dispatcher.remove(one.executionId))
    await work.expectDispatched()
  },

  async 'dispatch: is once for each of 200 executions'({ open, work }) {
    work.lasts = 0
    const ones = executions(200)
    await open({ process: 10 }).add(ones)
    await work.whenDispatched(...ones.map(({ id }) => id))
    assert.equal(work.dispatched.length, 200)
  },
}

export const limitCases: Cases<DispatcherSubject> = {
  async 'limits: the limit of a process holds'({ open, work, time }) {
    const ones = executions(30)
    await open({ process: 3 }).add(ones)
    await time.until(() => work.most === 3)
    work.endAll(5)
    await work.whenDispatched(...ones.map(({ id }) => id))
    assert.equal(work.most, 3)
  },

  async 'limits: the limit of a datasource holds, and executions on others overtake'({ open, work }) {
    const dispatcher = open({ process: 3, datasources: { events: 1 } })
    const [first, ...others] = executions(10, { datasource: 'events' })
    await dispatcher.add([first as never, ...others])
    await work.whenDispatched('job-0')
    await dispatcher.add([execution('free'), execution('elsewhere', { datasource: 'orders' })])
    await work.whenDispatched('free', 'elsewhere')
    assert.deepEqual(work.ids.toSorted(), ['elsewhere', 'free', 'job-0'])
    work.endAll()
    await work.whenDispatched(...others.map(({ id }) => id))
    assert.equal(work.mostOn.get('events'), 1)
  },

  async 'limits: executions on a limited datasource are dispatched by priority'({ open, work }) {
    const dispatcher = open({ datasources: { events: 1 } })
    const on = (id: string, priority: number) => execution(id, { priority, datasource: 'events' })
    await dispatcher.add([on('running', 0)])
    await work.whenDispatched('running')
    for (const [id, priority] of Object.entries({ a: 0, b: 1, c: 0, d: 1 })) await dispatcher.add([on(id, priority)])
    work.endAll()
    await work.expectDispatched('running', 'b', 'd', 'a', 'c')
  },
}

import assert from 'node:assert/strict'
import { type DispatcherSubject, execution, executions, until } from './_dispatcher-subject.js'
import type { Cases } from './_suite.js'

export const turnCases: Cases<DispatcherSubject> = {
  async 'turns: come with all that was put in line'({ open, work }) {
    const ones = [
      execution('plain'),
      execution('whole', { type: 'ty pe', priority: -7, epoch: 3, datasource: 'events' }),
      execution('i:d/ä😀', { priority: 1_000_000 }),
      execution('lowest', { priority: -1_000_000 }),
    ]
    await open().add(ones)
    await work.turnsOf(...ones.map(({ id }) => id))
    const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
    assert.deepEqual(work.taken.toSorted(byId), ones.toSorted(byId))
  },

  async 'turns: come by priority, and within one as they were put in line'({ open, work }) {
    const dispatcher = open({ process: 1 })
    await dispatcher.add([execution('running')])
    await work.turnsOf('running')
    for (const id of ['a', 'b']) await dispatcher.add([execution(id)])
    await dispatcher.add([execution('c', { priority: 5 }), execution('d', { priority: -3 }), execution('e')])
    await dispatcher.add([execution('f', { priority: 5 })])
    work.endAll()
    await work.onlyTurnsOf('running', 'c', 'f', 'a', 'b', 'e', 'd')
  },

  async 'turns: all at once where there is no limit'({ open, work }) {
    const ones = executions(20)
    await open().add(ones)
    await work.turnsOf(...ones.map(({ id }) => id))
    assert.equal(work.most, 20)
  },

  async 'turns: an execution has one, however often it is put in line while it waits'({ open, work }) {
    const dispatcher = open({ process: 1 })
    await dispatcher.add([execution('running')])
    await work.turnsOf('running')
    const one = execution('a')
    await dispatcher.add([one])
    await dispatcher.add([one, execution('b'), one])
    assert.equal((await dispatcher.waiting({ from: 0, size: 10 })).total, 2)
    work.endAll()
    await work.onlyTurnsOf('running', 'a', 'b')
  },

  async 'turns: one that was refused is offered again'({ open, work }) {
    let refusals = 0
    await open({}, { refuses: () => ++refusals < 3 }).add([execution('a')])
    await work.turnsOf('a')
    assert.equal(refusals, 3)
  },

  async 'turns: one that was refused can be taken out of the line'({ open, work }) {
    let refusals = 0
    const dispatcher = open({}, { refuses: () => ++refusals > 0 && refusals < 3 })
    const one = execution('a')
    await dispatcher.add([one])
    await until(() => refusals > 0)
    await until(() => dispatcher.remove(one.executionId))
    await work.onlyTurnsOf()
  },

  async 'turns: of 200 jobs, each has one'({ open, work }) {
    work.lasts = 0
    const ones = executions(200)
    await open({ process: 10 }).add(ones)
    await work.turnsOf(...ones.map(({ id }) => id))
    assert.equal(work.taken.length, 200)
  },
}

export const limitCases: Cases<DispatcherSubject> = {
  async 'limits: as many run at once in a process as may'({ open, work }) {
    work.lasts = 5
    const ones = executions(30)
    await open({ process: 3 }).add(ones)
    await work.turnsOf(...ones.map(({ id }) => id))
    assert.equal(work.most, 3)
  },

  async 'limits: as many run at once on a datasource as may, and others pass them'({ open, work }) {
    const dispatcher = open({ process: 3, datasources: { events: 1 } })
    const [first, ...others] = executions(10, { datasource: 'events' })
    await dispatcher.add([first as never, ...others])
    await work.turnsOf('job-0')
    await dispatcher.add([execution('free'), execution('elsewhere', { datasource: 'orders' })])
    await work.turnsOf('free', 'elsewhere')
    assert.deepEqual(work.ids.toSorted(), ['elsewhere', 'free', 'job-0'])
    work.endAll()
    await work.turnsOf(...others.map(({ id }) => id))
    assert.equal(work.mostOn.get('events'), 1)
  },

  async 'limits: on a datasource too, turns come by priority'({ open, work }) {
    const dispatcher = open({ datasources: { events: 1 } })
    const on = (id: string, priority: number) => execution(id, { priority, datasource: 'events' })
    await dispatcher.add([on('running', 0)])
    await work.turnsOf('running')
    for (const [id, priority] of Object.entries({ a: 0, b: 1, c: 0, d: 1 })) await dispatcher.add([on(id, priority)])
    work.endAll()
    await work.onlyTurnsOf('running', 'b', 'd', 'a', 'c')
  },
}

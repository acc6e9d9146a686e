import assert from 'node:assert/strict'
import { type DispatcherSubject, execution, executions, until } from './_dispatcher-subject.js'
import type { Cases } from './_suite.js'

const limitsOfTwo = { process: 1 }

export const shareCases: Cases<DispatcherSubject> = {
  async 'share: a turn comes in whichever process has a free slot'({ open, work }) {
    const [one, other] = [open(limitsOfTwo), open(limitsOfTwo)]
    await one.add(executions(2))
    await other.add([execution('last')])
    await work.turnsOf('job-0', 'job-1')
    work.end('job-1')
    await work.turnsOf('last')
  },

  async 'share: who waits can be seen, moved and taken out by another process'({ open, work }) {
    const [one, other] = [open({ cluster: 1 }), open({ cluster: 1 })]
    await one.add([execution('running')])
    await work.turnsOf('running')
    const ones = ['a', 'b', 'c'].map((id) => execution(id))
    for (const each of ones) await one.add([each])
    const [a, , c] = ones.map(({ executionId }) => executionId)
    assert.equal(await other.move(c ?? '', 5), true)
    assert.equal(await other.remove(a ?? ''), true)
    const { total, hits } = await one.waiting({ from: 0, size: 10 })
    assert.deepEqual(
      [total, hits.map(({ id, priority }) => [id, priority])],
      [
        2,
        [
          ['c', 5],
          ['b', 0],
        ],
      ],
    )
    work.endAll()
    await work.turnsOf('b', 'c')
    assert.deepEqual(work.ids, ['running', 'c', 'b'])
  },

  async 'share: one that a process refused is offered to another'({ open, work }) {
    let refusals = 0
    const refuses = () => ++refusals > 0
    const [one, other] = [open({}, { refuses }), open()]
    for (let n = 0; n < 10; n++) await (n % 2 ? one : other).add([execution(`job-${n}`)])
    await work.turnsOf(...executions(10).map(({ id }) => id))
  },

  async 'share: of five processes, the one that can run an execution is given it within seconds'({ open, work }) {
    const refuses = () => true
    for (let n = 0; n < 4; n++) open({}, { refuses })
    const willing = open()
    const begun = Date.now()
    for (let n = 0; n < 10; n++) await willing.add([execution(`job-${n}`)])
    await work.turnsOf(...executions(10).map(({ id }) => id))
    assert.ok(Date.now() - begun < 10_000, `Expected turns within seconds, got them after ${Date.now() - begun} ms`)
  },

  async 'share: as many run at once in all processes as may'({ open, work }) {
    work.lasts = 10
    const limits = { process: 2, cluster: 3 }
    const dispatchers = [open(limits), open(limits)]
    const ones = executions(40)
    await Promise.all(dispatchers.map((each, index) => each.add(ones.filter((_, n) => n % 2 === index))))
    await work.turnsOf(...ones.map(({ id }) => id))
    assert.equal(work.most, 3)
  },

  async 'share: as many run at once on a datasource in all processes as may'({ open, work }) {
    work.lasts = 10
    const limits = { process: 4, datasources: { events: 2, orders: 1 } }
    const dispatchers = [open(limits), open(limits)]
    const on = ['events', 'orders', undefined]
    const ones = executions(45).map((one, n) => {
      const datasource = on[n % on.length]
      return datasource === undefined ? one : { ...one, datasource }
    })
    await Promise.all(dispatchers.map((each, index) => each.add(ones.filter((_, n) => n % 2 === index))))
    await work.turnsOf(...ones.map(({ id }) => id))
    assert.deepEqual([work.mostOn.get('events'), work.mostOn.get('orders')], [2, 1])
  },

  async 'share: of those that wait when a process closes, each has one turn elsewhere'({ open, work }) {
    const [one, other] = [open({ process: 2 }), open({ process: 2 })]
    await one.add(executions(20))
    await until(() => work.taken.length === 4)
    work.lasts = 5
    const closed = one.close?.()
    work.endAll()
    await closed
    await work.turnsOf(...executions(20).map(({ id }) => id))
    assert.equal(work.taken.length, 20)
    await other.close?.()
  },

  async 'share: the limit of a datasource holds when the process closes that let one through'({ open, work }) {
    const limits = { datasources: { events: 1 } }
    let refusals = 0
    const leaving = open(limits, { refuses: () => ++refusals > 0 })
    await leaving.add([execution('a', { datasource: 'events' })])
    await until(() => refusals > 0)
    const staying = open(limits)
    await work.turnsOf('a')
    await staying.add([execution('b', { datasource: 'events', priority: 9 })])
    await leaving.close?.()
    await work.onlyTurnsOf('a')
    work.end('a')
    await work.onlyTurnsOf('a', 'b')
  },
}

export const redeliveryCases: Cases<DispatcherSubject> = {
  async 'redelivery: the turn of a process that died comes again elsewhere'({ open, cut, work }) {
    const dying = open({ cluster: 1 })
    await dying.add([execution('a')])
    await work.turnsOf('a')
    await cut(dying)
    const other = open({ cluster: 1 })
    await until(
      () => work.ids.filter((id) => id === 'a').length === 2,
      () => `Expected another turn of a, got those of ${work.ids}`,
    )
    await other.add([execution('b')])
    work.endAll()
    await work.turnsOf('b')
    assert.deepEqual(work.ids, ['a', 'a', 'b'])
  },

  async 'redelivery: the limit of a datasource holds when the process died that let one through'({ open, cut, work }) {
    const limits = { datasources: { events: 1 } }
    let refusals = 0
    const dying = open(limits, { refuses: () => ++refusals > 0 })
    await dying.add([execution('a', { datasource: 'events' })])
    await until(() => refusals > 0)
    await cut(dying)
    work.lasts = 4000
    await open(limits).add([execution('b', { datasource: 'events', priority: 9 })])
    await work.turnsOf('a', 'b')
    assert.deepEqual([work.ids, work.mostOn.get('events')], [['a', 'b'], 1])
  },
}

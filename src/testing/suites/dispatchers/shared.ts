import assert from 'node:assert/strict'
import type { Cases } from '../suite.js'
import { type DispatcherSubject, execution, executions } from './subject.js'

const limitsOfTwo = { process: 1 }

export const shareCases: Cases<DispatcherSubject> = {
  async 'share: the dispatcher says that its queue is shared'({ open }) {
    assert.equal(open().isShared, true)
  },

  async 'share: an execution is dispatched in any process with a free slot'({ open, work }) {
    const [one, other] = [open(limitsOfTwo), open(limitsOfTwo)]
    await one.add(executions(2))
    await other.add([execution('last')])
    await work.whenDispatched('job-0', 'job-1')
    work.end('job-1')
    await work.whenDispatched('last')
  },

  async 'share: another process can list, move and remove queued executions'({ open, work }) {
    const [one, other] = [open({ cluster: 1 }), open({ cluster: 1 })]
    await one.add([execution('running')])
    await work.whenDispatched('running')
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
    await work.whenDispatched('b', 'c')
    assert.deepEqual(work.ids, ['running', 'c', 'b'])
  },

  async 'share: an execution that a process refused is offered to another'({ open, work }) {
    let refusals = 0
    const refuses = () => ++refusals > 0
    const [one, other] = [open({}, { refuses }), open()]
    for (let n = 0; n < 10; n++) await (n % 2 ? one : other).add([execution(`job-${n}`)])
    await work.whenDispatched(...executions(10).map(({ id }) => id))
  },

  async 'share: the one of five processes that can run an execution gets it within seconds'({ open, work, time }) {
    const refuses = () => true
    for (let n = 0; n < 4; n++) open({}, { refuses })
    const willing = open()
    const begun = time.clock.now()
    for (let n = 0; n < 10; n++) await willing.add([execution(`job-${n}`)])
    await work.whenDispatched(...executions(10).map(({ id }) => id))
    const wait = time.clock.now() - begun
    assert.ok(wait < 10_000, `Expected a dispatch within seconds, got it after ${wait} ms`)
  },

  async 'share: the limit of the cluster holds'({ open, work, time }) {
    const limits = { process: 2, cluster: 3 }
    const dispatchers = [open(limits), open(limits)]
    const ones = executions(40)
    await Promise.all(dispatchers.map((each, index) => each.add(ones.filter((_, n) => n % 2 === index))))
    await time.until(() => work.most === 3)
    work.endAll(10)
    await work.whenDispatched(...ones.map(({ id }) => id))
    assert.equal(work.most, 3)
  },

  async 'share: the limit of a datasource holds over all processes'({ open, work, time }) {
    const limits = { process: 10, datasources: { events: 2, orders: 1 } }
    const dispatchers = [open(limits), open(limits)]
    const on = ['events', 'orders', undefined]
    const ones = executions(45).map((one, n) => {
      const datasource = on[n % on.length]
      return datasource === undefined ? one : { ...one, datasource }
    })
    await Promise.all(dispatchers.map((each, index) => each.add(ones.filter((_, n) => n % 2 === index))))
    await time.until(() => work.mostOn.get('events') === 2 && work.mostOn.get('orders') === 1)
    work.endAll(10)
    await work.whenDispatched(...ones.map(({ id }) => id))
    assert.deepEqual([work.mostOn.get('events'), work.mostOn.get('orders')], [2, 1])
  },

  async 'share: each execution that is queued when a process closes is dispatched once elsewhere'({
    open,
    work,
    time,
  }) {
    const [one, other] = [open({ process: 2 }), open({ process: 2 })]
    await one.add(executions(20))
    await time.until(() => work.dispatched.length === 4)
    work.lasts = 5
    const closed = one.close?.()
    work.endAll()
    await closed
    await work.whenDispatched(...executions(20).map(({ id }) => id))
    assert.equal(work.dispatched.length, 20)
    await other.close?.()
  },

  async 'share: the limit of a datasource holds when the process closes that holds its slot'({ open, work, time }) {
    const limits = { datasources: { events: 1 } }
    let refusals = 0
    const leaving = open(limits, { refuses: () => ++refusals > 0 })
    await leaving.add([execution('a', { datasource: 'events' })])
    await time.until(() => refusals > 0)
    const staying = open(limits)
    await work.whenDispatched('a')
    await staying.add([execution('b', { datasource: 'events', priority: 9 })])
    await leaving.close?.()
    await work.expectDispatched('a')
    work.end('a')
    await work.expectDispatched('a', 'b')
  },
}

export const redeliveryCases: Cases<DispatcherSubject> = {
  async 'redelivery: an execution of a process that died is dispatched elsewhere'({ open, cut, work, time }) {
    const dying = open({ cluster: 1 })
    await dying.add([execution('a')])
    await work.whenDispatched('a')
    await cut(dying)
    const other = open({ cluster: 1 })
    await time.until(
      () => work.ids.filter((id) => id === 'a').length === 2,
      () => `Expected another dispatch of a, got those of ${work.ids}`,
    )
    await other.add([execution('b')])
    work.endAll()
    await work.whenDispatched('b')
    assert.deepEqual(work.ids, ['a', 'a', 'b'])
  },

  async 'redelivery: the limit of a datasource holds when the process dies that holds its slot'({
    open,
    cut,
    work,
    time,
  }) {
    const limits = { datasources: { events: 1 } }
    let refusals = 0
    const dying = open(limits, { refuses: () => ++refusals > 0 })
    await dying.add([execution('a', { datasource: 'events' })])
    await time.until(() => refusals > 0)
    await cut(dying)
    work.lasts = 4000
    await open(limits).add([execution('b', { datasource: 'events', priority: 9 })])
    await work.whenDispatched('a', 'b')
    assert.deepEqual([work.ids, work.mostOn.get('events')], [['a', 'b'], 1])
  },
}

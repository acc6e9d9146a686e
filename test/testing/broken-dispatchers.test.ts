import { dispatcherSuite } from 'headgate/testing'
import { expect, test } from 'vitest'
import { outcomeOf } from './cases.js'
import { type DispatcherBug, soundDispatcher } from './sound-dispatcher.js'

const outcomeWith = (bug?: DispatcherBug, unsupported = {}) =>
  outcomeOf((test) => dispatcherSuite({ test, create: () => soundDispatcher(bug), unsupported }))

test('a sound dispatcher passes every case', async () => {
  const { failed, skipped } = await outcomeWith()
  expect([Object.fromEntries(failed), skipped]).toEqual([{}, []])
})

const withdrawn = 'schedules: a registry follows its own again when another one has removed the later definition'

/** The cases that notice each bug. */
const noticed: Record<DispatcherBug, string[]> = {
  'ignores priorities': [
    'dispatch: is by priority, and within one in the order of adding',
    'limits: executions on a limited datasource are dispatched by priority',
    'waiting: lists queued executions in the order of dispatch, page by page',
    'move: puts an execution behind those that have the new priority',
    'move: moves an execution that waits for a limited datasource',
    'share: another process can list, move and remove queued executions',
  ],
  'dispatches the newest first': [
    'dispatch: is by priority, and within one in the order of adding',
    'dispatch: is once for an execution that was added repeatedly while it was queued',
    'limits: the limit of a datasource holds, and executions on others overtake',
    'limits: executions on a limited datasource are dispatched by priority',
    'waiting: lists queued executions in the order of dispatch, page by page',
    'move: puts an execution behind those that have the new priority',
  ],
  'lists in the order of adding': [
    'waiting: lists queued executions in the order of dispatch, page by page',
    'move: puts an execution behind those that have the new priority',
    'share: another process can list, move and remove queued executions',
  ],
  'lists what runs': [
    'dispatch: is once for an execution that was added repeatedly while it was queued',
    'waiting: lists queued executions in the order of dispatch, page by page',
    'waiting: lists no dispatched and no ended execution',
    'waiting: lists an execution on a limited datasource once',
    'remove: removes a queued execution, once',
    'move: puts an execution behind those that have the new priority',
    'share: another process can list, move and remove queued executions',
  ],
  'counts the page': ['waiting: lists queued executions in the order of dispatch, page by page'],
  'loses the datasource': [
    'dispatch: passes on all fields of an execution',
    'limits: the limit of a datasource holds, and executions on others overtake',
    'limits: executions on a limited datasource are dispatched by priority',
    'remove: removes an execution that waits for a limited datasource',
    'move: moves an execution that waits for a limited datasource',
    'share: the limit of a datasource holds over all processes',
    'share: the limit of a datasource holds when the process closes that holds its slot',
    'redelivery: the limit of a datasource holds when the process dies that holds its slot',
  ],
  'queues twice what is added twice': [
    'dispatch: is once for an execution that was added repeatedly while it was queued',
  ],
  'runs one at a time without a limit': [
    'dispatch: passes on all fields of an execution',
    'dispatch: is at once without a limit',
    'share: an execution that a process refused is offered to another',
    'share: the one of five processes that can run an execution gets it within seconds',
  ],
  'ignores the limit of a process': [
    'dispatch: is by priority, and within one in the order of adding',
    'dispatch: is once for an execution that was added repeatedly while it was queued',
    'limits: the limit of a process holds',
    'waiting: lists queued executions in the order of dispatch, page by page',
    'waiting: lists an execution on a limited datasource once',
    'remove: removes a queued execution, once',
    'move: puts an execution behind those that have the new priority',
    'close: stops dispatching',
    'share: each execution that is queued when a process closes is dispatched once elsewhere',
  ],
  'ignores the limit of the cluster': [
    'share: another process can list, move and remove queued executions',
    'share: the limit of the cluster holds',
  ],
  'ignores the limit of a datasource': [
    'limits: the limit of a datasource holds, and executions on others overtake',
    'limits: executions on a limited datasource are dispatched by priority',
    'remove: removes an execution that waits for a limited datasource',
    'move: moves an execution that waits for a limited datasource',
    'share: the limit of a datasource holds over all processes',
    'share: the limit of a datasource holds when the process closes that holds its slot',
    'redelivery: the limit of a datasource holds when the process dies that holds its slot',
  ],
  'blocks behind a limited datasource': ['limits: the limit of a datasource holds, and executions on others overtake'],
  'drops what was refused': [
    'dispatch: is repeated for a refused execution',
    'dispatch: ends for a refused execution that was removed',
    'share: an execution that a process refused is offered to another',
    'share: the one of five processes that can run an execution gets it within seconds',
    'share: the limit of a datasource holds when the process closes that holds its slot',
    'redelivery: the limit of a datasource holds when the process dies that holds its slot',
  ],
  'offers what was removed': ['dispatch: ends for a refused execution that was removed'],
  'offers to one process': [
    'share: an execution that a process refused is offered to another',
    'share: the one of five processes that can run an execution gets it within seconds',
  ],
  'removes nothing': [
    'dispatch: ends for a refused execution that was removed',
    'remove: removes a queued execution, once',
    'remove: removes an execution that waits for a limited datasource',
    'share: another process can list, move and remove queued executions',
  ],
  'removes what runs': ['remove, move: have no effect on dispatched and unknown executions'],
  'moves nothing': [
    'move: puts an execution behind those that have the new priority',
    'move: moves an execution that waits for a limited datasource',
    'share: another process can list, move and remove queued executions',
  ],
  'moves what runs': ['remove, move: have no effect on dispatched and unknown executions'],
  'moves to the front': ['move: puts an execution behind those that have the new priority'],
  'dispatches after its close': [
    'close: stops dispatching',
    'schedules: a registry yields to a later definition, until that registry is gone',
  ],
  'loses its queue at a close': [
    'share: each execution that is queued when a process closes is dispatched once elsewhere',
    'share: the limit of a datasource holds when the process closes that holds its slot',
  ],
  'says that its queue is its own': ['share: the dispatcher says that its queue is shared'],
  'has a queue of its own': [
    'share: an execution is dispatched in any process with a free slot',
    'share: another process can list, move and remove queued executions',
    'share: an execution that a process refused is offered to another',
    'share: the limit of the cluster holds',
    'share: the limit of a datasource holds over all processes',
    'share: each execution that is queued when a process closes is dispatched once elsewhere',
    'share: the limit of a datasource holds when the process closes that holds its slot',
    'redelivery: an execution of a process that died is dispatched elsewhere',
    'redelivery: the limit of a datasource holds when the process dies that holds its slot',
    'schedules: a registry yields to a later definition, until that registry is gone',
    'schedules: a registry yields to a later definition that has no schedule',
    withdrawn,
  ],
  'loses what a dead process ran': ['redelivery: an execution of a process that died is dispatched elsewhere'],
  'lets the first schedule win': [
    'schedules: a registry yields to a later definition, until that registry is gone',
    'schedules: a registry yields to a later definition that has no schedule',
    withdrawn,
  ],
  'ignores a removed schedule': ['schedules: a registry yields to a later definition that has no schedule'],
  'hides that a rival is gone': ['schedules: a registry yields to a later definition, until that registry is gone'],
  'keeps a withdrawn schedule': [withdrawn],
  'rejects its check': ['check: resolves while the queue can be used, if the dispatcher has it'],
}

test.each(Object.entries(noticed))('a dispatcher that %s fails for it alone', async (bug, cases) => {
  const { failed } = await outcomeWith(bug as DispatcherBug)
  expect([...failed.keys()]).toEqual(cases)
})

test('a dispatcher that shares nothing fails, unless it says so: then the cases show as skipped', async () => {
  const create = () => ({ ...soundDispatcher('has a queue of its own'), cut: undefined })
  const { failed } = await outcomeOf((test) => dispatcherSuite({ test, create: create as never }))
  expect([...failed.keys()].every((name) => /^(share|redelivery|schedules): /.test(name))).toBe(true)
  const why = 'it is small'
  const unsupported = { share: why, redeliver: why, schedules: why }
  const said = await outcomeOf((test) => dispatcherSuite({ test, create: create as never, unsupported }))
  expect([said.failed.size, said.skipped.length]).toEqual([0, 14])
  expect(said.skipped.at(-1)).toMatch(/^schedules: .* \(unsupported schedules: it is small\)$/)
  expect(said.passed.filter((name) => /^(share|redelivery|schedules): /.test(name))).toEqual([])
})

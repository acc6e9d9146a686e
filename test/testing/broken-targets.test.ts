import { type TargetFixture, targetSuite } from 'headgate/testing'
import { expect, test } from 'vitest'
import { outcomeOf } from './cases.js'
import { soundTarget, type TargetBug } from './sound-target.js'

const outcomeWith = (bug?: TargetBug, writes: 'atomically' | 'idempotently' = 'atomically') =>
  outcomeOf((test) =>
    targetSuite({
      test,
      create: ({ strategy }) => soundTarget(strategy, bug, writes),
      unsupported: writes === 'atomically' ? { writesIdempotently: why } : { writesAtomically: why },
    }),
  )

const why = 'it writes in the other way'

test.each(['atomically', 'idempotently'] as const)(
  'a sound target that writes %s passes every case',
  async (writes) => {
    const { failed, passed, skipped } = await outcomeWith(undefined, writes)
    expect(Object.fromEntries(failed)).toEqual({})
    const isOther = writes === 'atomically' ? /idempotent: / : /rejected|broken: /
    expect(skipped.filter((name) => !isOther.test(name))).toEqual([])
    expect(passed.filter((name) => name.includes('idempotent: '))).toHaveLength(writes === 'atomically' ? 0 : 4)
  },
)

const both = (...names: string[]) =>
  ['append', 'replace'].flatMap((strategy) => names.map((name) => `${strategy}: ${name}`))

test.each<[TargetBug, string[]]>([
  [
    'keeps half a batch',
    both(
      'a write that is rejected leaves nothing of its batch, wherever the bad record is',
      'a checkpoint after a rejected write covers what was written',
      'a run of thousands of records continues after a rejected write',
    ),
  ],
  ['blames the first record', both('the error of a rejected write names the record')],
  ['loses what comes during a flush', ['append: flush: records written during a flush are there once']],
  ['accepts all formats', both('encoded: an unknown format is not accepted')],
  ['says nothing when broken', both('broken: is reported by a writer that cannot continue')],
  ['says nothing of a reset', ['append: reset: is reported when the records are gone, and only then']],
  [
    'truncates nothing',
    [
      'append: truncate: earlier records are removed together with the first new ones',
      'append: truncate: without new records, the target is empty',
    ],
  ],
  ['checks nothing', both('check: throws when the target cannot be written to')],
  ['ignores the signal of a check', both('check: throws the reason when its signal aborts')],
  ['writes in a check', both('check: resolves when the target can be written to, and changes nothing')],
  ['refuses no refresh', both('full refresh check: throws `invalid_options` when none could be done')],
  ['ignores the signal of a refresh check', both('full refresh check: throws the reason when its signal aborts')],
  [
    'removes records in a refresh check',
    both('full refresh check: resolves when one could be done, and changes nothing'),
  ],
  ['ends runs in a refresh check', both('full refresh check: disturbs no run that writes')],
  [
    'creates nothing',
    [
      ...both('create empty: what is missing is there after the commit, without records').slice(0, 1),
      'append: create empty: concurrent writers of partitions may all call it',
      ...both('create empty: what is missing is there after the commit, without records').slice(1),
    ],
  ],
  [
    'empties what exists',
    [
      'append: create empty: removes no records',
      'append: create empty: a run without records keeps those of earlier runs',
      'replace: create empty: removes no records',
    ],
  ],
  ['truncates at once', ['append: truncate: an abort before the next flush keeps the earlier records']],
  [
    'resets nothing',
    [
      'append: checkpoint reset: removes or changes the checkpoint of the job alone',
      'append: checkpoint reset: no earlier execution writes any more, and a later one prevents it',
    ],
  ],
  [
    'lets earlier executions write after a reset',
    ['append: checkpoint reset: no earlier execution writes any more, and a later one prevents it'],
  ],
  [
    'touches what it has lost',
    [
      'append: a run that has lost its lease does not change what its successor writes',
      'append: checkpoint reset: no earlier execution writes any more, and a later one prevents it',
      'replace: a run that has lost its lease does not change what its successor writes',
    ],
  ],
  [
    'shares checkpoints',
    [
      'append: checkpoint: each job has its own',
      'append: partitions: concurrent writers store the records and the checkpoint of each',
      'append: create empty: concurrent writers of partitions may all call it',
      'append: checkpoint reset: removes or changes the checkpoint of the job alone',
      'append: checkpoint reset: no earlier execution writes any more, and a later one prevents it',
    ],
  ],
  [
    'publishes at once',
    [
      'replace: no new record is visible before the commit',
      'replace: an abort keeps the old records',
      'replace: the old records are visible until a run that resumed after a crash commits',
      'replace: the next commit has no records that a crash or an abort left',
    ],
  ],
])('a target that %s fails for it alone', async (bug, cases) => {
  const { failed } = await outcomeWith(bug)
  expect([...failed.keys()]).toEqual(cases)
})

test.each<[TargetBug, string[]]>([
  [
    'writes again what it has',
    both(
      'idempotent: records that are written again are there once',
      'idempotent: the good records of a rejected write can be written again',
    ),
  ],
  [
    'loses what came before a rejected write',
    both('idempotent: the good records of a rejected write can be written again'),
  ],
])('an idempotent target that %s fails for it alone', async (bug, cases) => {
  const { failed } = await outcomeWith(bug, 'idempotently')
  expect([...failed.keys()]).toEqual(cases)
})

test.each<[TargetBug, string]>([
  ['has one buffer', 'append: partitions: concurrent writers store the records and the checkpoint of each'],
  ['forgets its checkpoint', 'append: checkpoint: the last durable one is returned, regardless of storage'],
  ['keeps what was not flushed', 'append: batches written after the checkpoint, before a crash, are there once'],
])('a target that %s fails, for it among others', async (bug, name) => {
  const { failed } = await outcomeWith(bug)
  expect([...failed.keys()]).toContain(name)
})

test('a target without a capability fails, unless it says so: then the cases show as skipped', async () => {
  const plain = ({ strategy }: { strategy: 'append' | 'replace' }): TargetFixture => {
    const { target, ...fixture } = soundTarget(strategy)
    return { ...fixture, target: { ...target, capabilities: {} } }
  }
  const capabilities = [
    'writesAtomically',
    'writesIdempotently',
    'writesPartitions',
    'writesDuringFlush',
    'truncate',
  ] as const
  const { failed } = await outcomeOf((test) => targetSuite({ test, create: plain }))
  expect(failed.size).toBe(12)
  const unsupported = Object.fromEntries(capabilities.map((name) => [name, 'it is small']))
  const said = await outcomeOf((test) => targetSuite({ test, create: plain, unsupported }))
  expect([said.failed.size, said.skipped.length]).toEqual([0, 24])
})

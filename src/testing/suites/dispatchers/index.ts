import assert from 'node:assert/strict'
import type { Clock, DispatchWorker } from '../../../adapter.js'
import type { Dispatcher } from '../../../index.js'
import { checkSuite, runGroups, type SuiteTest, type Unsupported } from '../suite.js'
import { dispatchCases, limitCases } from './dispatch.js'
import { queueCases } from './queue.js'
import { scheduleCases } from './schedules.js'
import { redeliveryCases, shareCases } from './shared.js'
import { CaseTime, type DispatcherSubject, Work } from './subject.js'

/** A fresh, empty queue for one case. */
export interface DispatcherFixture {
  /** Opens another dispatcher on the queue, as another process would. The suite closes it. */
  open(): Dispatcher
  /** The clock of the workers. Default: that of the machine. */
  clock?: Clock
  /** Moves the clock by `ms` milliseconds, for a dispatcher that has no other one than its worker's. Default: waits. */
  pass?(ms: number): Promise<void>
  /**
   * Disconnects a dispatcher from the queue, as the death of its process would: it cannot release anything any more. The queue must
   * dispatch its executions again within some seconds. The suite still closes it later.
   */
  cut?(dispatcher: Dispatcher): void | Promise<void>
  /** Releases all resources after the case. */
  close?(): Promise<void>
}

/** Options of {@link dispatcherSuite}. */
export interface DispatcherSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Creates a fresh queue. Called once per case. */
  create(): DispatcherFixture | Promise<DispatcherFixture>
  /**
   * What the dispatcher does not support, with reasons: a queue that processes share (`share`), executions of a process that died
   * (`redeliver`), and an agreement on schedules (`schedules`).
   */
  unsupported?: Unsupported<'share' | 'redeliver' | 'schedules'>
}

const abilities: Record<keyof NonNullable<DispatcherSuiteOptions['unsupported']>, true> = {
  share: true,
  redeliver: true,
  schedules: true,
}

/** Tests that a dispatcher keeps the contract of `Dispatcher`. Throws `invalid_options` when an option is unknown or not valid. */
export function dispatcherSuite(options: DispatcherSuiteOptions): void {
  checkSuite(options, abilities)
  const { test, create, unsupported } = options
  const over = async (run: (subject: DispatcherSubject) => Promise<void>) => runOver(await create(), run)
  runGroups({ test, over, ...(unsupported && { unsupported }) }, [
    { cases: dispatchCases },
    { cases: limitCases },
    { cases: queueCases },
    { cases: shareCases, needs: 'share' },
    { cases: redeliveryCases, needs: 'redeliver' },
    { cases: scheduleCases, needs: 'schedules' },
  ])
}

async function runOver(fixture: DispatcherFixture, run: (subject: DispatcherSubject) => Promise<void>): Promise<void> {
  const time = new CaseTime(fixture.clock, fixture.pass)
  const work = new Work(time)
  const opened = new Map<Dispatcher, DispatchWorker>()
  const open: DispatcherSubject['open'] = (limits = {}, options = {}) => {
    const dispatcher = fixture.open()
    const worker = work.worker(limits, options)
    opened.set(dispatcher, worker)
    dispatcher.work(worker)
    return dispatcher
  }
  const cut: DispatcherSubject['cut'] = async (dispatcher) => {
    assert.ok(fixture.cut, 'Expected `cut`: a dispatcher that cannot be cut off says so in `unsupported`')
    await fixture.cut(dispatcher)
    work.lose(opened.get(dispatcher) as DispatchWorker)
  }
  try {
    await run({ open, work, time, cut })
  } finally {
    work.endAll()
    await Promise.all([...opened.keys()].map((dispatcher) => dispatcher.close?.()))
    await fixture.close?.()
  }
}

import type { Dispatcher, DispatchWorker } from '../index.js'
import { lineCases } from './_dispatcher-line.js'
import { redeliveryCases, shareCases } from './_dispatcher-share.js'
import { type DispatcherSubject, Work } from './_dispatcher-subject.js'
import { limitCases, turnCases } from './_dispatcher-turns.js'
import { type Inabilities, runGroups, type SuiteTest } from './_suite.js'

/** A fresh, empty line, and what a case needs around it. */
export interface DispatcherFixture {
  /** Opens a dispatcher on the line: every call another one, as another process would have it. The suite closes it. */
  open(): Dispatcher
  /**
   * Cuts a dispatcher off from the line, as the death of its process would: it reaches the line no more, and gives nothing
   * back. The line is to give its turns again within some seconds. The suite closes it all the same, later.
   */
  cut?(dispatcher: Dispatcher): void | Promise<void>
  /** Gives everything back after the case. */
  close?(): Promise<void>
}

/** What the suite needs. */
export interface DispatcherSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Makes a fresh line: once per case. */
  create(): DispatcherFixture | Promise<DispatcherFixture>
  /**
   * What the dispatcher cannot do, and why: share its line between processes (`share`), give the turns of a process that
   * died again (`redeliver`).
   */
  cannot?: Inabilities<'share' | 'redeliver'>
}

/** Holds a dispatcher to the contract of `Dispatcher`, rule by rule. */
export function dispatcherSuite({ test, create, cannot }: DispatcherSuiteOptions): void {
  const over = async (run: (subject: DispatcherSubject) => Promise<void>) => runOver(await create(), run)
  runGroups({ test, over, ...(cannot && { cannot }) }, [
    { cases: turnCases },
    { cases: limitCases },
    { cases: lineCases },
    { cases: shareCases, needs: 'share' },
    { cases: redeliveryCases, needs: 'redeliver' },
  ])
}

async function runOver(fixture: DispatcherFixture, run: (subject: DispatcherSubject) => Promise<void>): Promise<void> {
  const work = new Work()
  const opened = new Map<Dispatcher, DispatchWorker>()
  const open: DispatcherSubject['open'] = (limits = {}, options = {}) => {
    const dispatcher = fixture.open()
    const worker = work.worker(limits, options)
    opened.set(dispatcher, worker)
    dispatcher.work(worker)
    return dispatcher
  }
  const cut: DispatcherSubject['cut'] = async (dispatcher) => {
    await fixture.cut?.(dispatcher)
    work.lose(opened.get(dispatcher) as DispatchWorker)
  }
  try {
    await run({ open, work, cut })
  } finally {
    work.endAll()
    await Promise.all([...opened.keys()].map((dispatcher) => dispatcher.close?.()))
    await fixture.close?.()
  }
}

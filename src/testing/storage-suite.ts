import { setTimeout } from 'node:timers/promises'
import type { JobStorage } from '../index.js'
import { beginCases } from './_storage-begin.js'
import { endCases } from './_storage-end.js'
import { leaseCases } from './_storage-lease.js'
import { orphanCases } from './_storage-orphans.js'
import { retentionCases } from './_storage-retention.js'
import { saveCases } from './_storage-save.js'
import { scheduleCases } from './_storage-schedule.js'
import { searchCases } from './_storage-search.js'
import type { StorageSubject } from './_storage-subject.js'
import { takeCases } from './_storage-take.js'
import { valueCases } from './_storage-values.js'
import { watchCases } from './_storage-watch.js'
import { type Inabilities, runGroups, type SuiteTest } from './_suite.js'

/** A fresh, empty storage, and what a case needs around it. */
export interface StorageFixture {
  /** The storage under test. */
  storage: JobStorage
  /** Another one over the same data, as a second process would have it. Default: the same one. */
  peer?: JobStorage
  /**
   * Moves the storage's clock by at least `ms` milliseconds, which may be many years. Default: waits for so long, which is
   * then under a second.
   */
  pass?(ms: number): Promise<void>
  /** Gives everything back after the case. */
  close?(): Promise<void>
}

/** How the suite wants a storage. */
export interface StorageCreateOptions {
  /** The most ended executions that its log keeps. Not given: more than 1,000. */
  maxCount?: number
}

/** What the suite needs. */
export interface StorageSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Makes a fresh storage: once per case. */
  create(options: StorageCreateOptions): StorageFixture | Promise<StorageFixture>
  /** What the storage cannot do, and why: let go of old executions (`retain`), tell of changes (`watch`). */
  cannot?: Inabilities<'retain' | 'watch'>
}

/** Holds a storage to the contract of `JobStorage`, rule by rule. */
export function storageSuite({ test, create, cannot }: StorageSuiteOptions): void {
  const overA = (options: StorageCreateOptions) => async (run: (subject: StorageSubject) => Promise<void>) => {
    const { storage, peer = storage, pass, close = nothing } = await create(options)
    try {
      await run({ storage, peer, pass: pass ?? wait, movesTime: pass !== undefined })
    } finally {
      await close()
    }
  }
  runGroups({ test, over: overA({}), cannot }, [
    { cases: beginCases },
    { cases: saveCases },
    { cases: takeCases },
    { cases: scheduleCases },
    { cases: endCases },
    { cases: leaseCases },
    { cases: orphanCases },
    { cases: searchCases },
    { cases: valueCases },
    { cases: watchCases, needs: 'watch' },
  ])
  runGroups({ test, over: overA({ maxCount: 2 }), cannot }, [{ cases: retentionCases, needs: 'retain' }])
}

async function wait(ms: number): Promise<void> {
  await setTimeout(ms)
}

async function nothing(): Promise<void> {}

import { setTimeout } from 'node:timers/promises'
import type { JobStorage } from '../../../index.js'
import { checkSuite, runGroups, type SuiteTest, type Unsupported } from '../suite.js'
import { beginCases } from './begin.js'
import { claimCases } from './claim.js'
import { endCases } from './end.js'
import { fieldCases } from './fields.js'
import { leaseCases } from './lease.js'
import { latestCases, openEndCases, pauseCases, resetCases } from './management.js'
import { orphanCases } from './orphans.js'
import { partitionCases } from './partitions.js'
import { renewCases } from './renew.js'
import { retentionCases } from './retention.js'
import { runCases } from './run.js'
import { scheduleCases } from './schedule.js'
import { searchCases } from './search.js'
import type { StorageSubject } from './subject.js'
import { valueCases } from './values.js'
import { watchCases } from './watch.js'

/** A fresh, empty storage for one case. */
export interface StorageFixture {
  /** The storage under test. */
  storage: JobStorage
  /** Another storage over the same data, as in a second process. Default: the same storage. */
  peer?: JobStorage
  /**
   * Moves the storage's clock by at least `ms` milliseconds, which may be many years. Default: waits in real time. Cases then wait for
   * less than a second.
   */
  pass?(ms: number): Promise<void>
  /** How long a change may take to reach the listeners of `watch`, in milliseconds of real time. Default 5,000. */
  watchTimeout?: number
  /** Releases all resources after the case. */
  close?(): Promise<void>
}

/** The options of `create`. */
export interface StorageCreateOptions {
  /** The maximum number of ended executions in the log. Default: any number above 1,000. */
  maxCount?: number
}

/** Options of {@link storageSuite}. */
export interface StorageSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Creates a fresh storage. Called once per case. */
  create(options: StorageCreateOptions): StorageFixture | Promise<StorageFixture>
  /**
   * What the storage does not support, with reasons: deleting old executions (`retain`), emitting changes (`watch`), and its optional
   * members `latest`, `pauses`, `reset` and `ends`.
   */
  unsupported?: Unsupported<'retain' | 'watch' | 'latest' | 'pauses' | 'reset' | 'ends'>
}

const abilities: Record<keyof NonNullable<StorageSuiteOptions['unsupported']>, true> = {
  retain: true,
  watch: true,
  latest: true,
  pauses: true,
  reset: true,
  ends: true,
}

/** Tests that a storage keeps the contract of `JobStorage`. Throws `invalid_options` when an option is unknown or not valid. */
export function storageSuite(options: StorageSuiteOptions): void {
  checkSuite(options, abilities)
  const { test, create, unsupported } = options
  const overA = (options: StorageCreateOptions) => async (run: (subject: StorageSubject) => Promise<void>) => {
    const { storage, peer = storage, pass, watchTimeout = 5000, close = nothing } = await create(options)
    try {
      await run({ storage, peer, pass: pass ?? wait, movesTime: pass !== undefined, watchTimeout })
    } finally {
      await close()
    }
  }
  runGroups({ test, over: overA({}), unsupported }, [
    { cases: beginCases },
    { cases: renewCases },
    { cases: claimCases },
    { cases: runCases },
    { cases: scheduleCases },
    { cases: endCases },
    { cases: fieldCases },
    { cases: leaseCases },
    { cases: orphanCases },
    { cases: partitionCases },
    { cases: searchCases },
    { cases: valueCases },
    { cases: watchCases, needs: 'watch' },
    { cases: latestCases, needs: 'latest' },
    { cases: pauseCases, needs: 'pauses' },
    { cases: resetCases, needs: 'reset' },
    { cases: openEndCases, needs: 'ends' },
  ])
  runGroups({ test, over: overA({ maxCount: 2 }), unsupported }, [{ cases: retentionCases, needs: 'retain' }])
}

async function wait(ms: number): Promise<void> {
  await setTimeout(ms)
}

async function nothing(): Promise<void> {}

import { memoryStorage } from 'headgate'
import type { LeaseToken } from 'headgate/adapter'
import { fakeClock, type StorageCreateOptions, type StorageFixture } from 'headgate/testing'
import { plainStorage } from '../../support/plain-storage.js'
import { managementBugs } from './management-bugs.js'
import { readBugs } from './read-bugs.js'
import { writeBugs } from './write-bugs.js'

/** One way to break the contract each. */
export const bugs = { ...writeBugs, ...readBugs, ...managementBugs }

export type StorageBug = keyof typeof bugs

/** A storage in memory; `bug` breaks it. */
export function brokenStorage({ maxCount }: StorageCreateOptions, bug?: StorageBug): StorageFixture {
  const clock = fakeClock()
  let isEarly = false
  const early = <Answer>(call: () => Answer): Answer => {
    isEarly = true
    try {
      return call()
    } finally {
      isEarly = false
    }
  }
  const storageClock = { ...clock, now: () => (isEarly ? 0 : clock.now()) }
  const storage = plainStorage(memoryStorage({ clock: storageClock, ...(maxCount !== undefined && { maxCount }) }))
  const findLive = async ({ executionId }: LeaseToken) => {
    for (const state of ['queued', 'running', 'aborting'] as const) {
      const { hits } = await early(() => storage.search({ state, size: 1000, includePartitions: true }))
      const record = hits.find((hit) => hit.executionId === executionId)
      if (record) return record
    }
    return undefined
  }
  const broken = bug && bugs[bug]({ storage, clock, maxCount, early, findLive })
  return { storage: { ...storage, ...broken }, pass: clock.advance, watchTimeout: 20 }
}

/** Adapters of one's own, held to the contracts by the suites of `headgate/testing`. `npx vitest run examples`. */
import { type Datasource, JobError, type JobRecord, memoryStorage, RecordBatch, type Target } from 'headgate'
import { datasourceSuite, fakeClock, storageSuite, type TargetRecord, targetSuite } from 'headgate/testing'
import { describe, test } from 'vitest'

// #region datasource
/** The whole numbers from 1 up to the first value of the query. */
function numbersDatasource(): Datasource {
  return {
    kind: 'numbers',
    async *read({ values: [count] }, { signal, batchSize }) {
      for (let first = 1; first <= Number(count); first += batchSize) {
        signal.throwIfAborted()
        const length = Math.min(batchSize, Number(count) - first + 1)
        yield RecordBatch.fromRecords(Array.from({ length }, (_, index) => ({ id: first + index })))
      }
      signal.throwIfAborted()
    },
  }
}
// #endregion

// #region target
/** Records in an array: cut back to the position that a job goes on from. */
function arrayTarget(records: JobRecord[]): Target {
  return {
    kind: 'array',
    strategy: 'append',
    open({ position }) {
      if (typeof position === 'number') records.length = position
      let flushed = records.length
      return {
        write(batch) {
          records.push(...batch.records())
        },
        async flush() {
          flushed = records.length
          return flushed
        },
        async abort(reason) {
          const isLost = JobError.isInstance(reason) && reason.code === 'lease_lost'
          if (!isLost) records.length = flushed
        },
      }
    },
  }
}
// #endregion

// #region suites
describe('numbersDatasource', () => {
  datasourceSuite({
    test,
    create: () => ({ datasource: numbersDatasource(), query: (count) => ({ text: '', values: [count] }) }),
    cannot: {
      block: 'it waits for nothing',
      fail: 'it has nothing that could fail',
      count: 'it holds nothing',
      resume: 'it has no use for lastId',
      cursor: 'it has one order only',
    },
  })
})

describe('arrayTarget', () => {
  targetSuite({
    test,
    create() {
      const records: JobRecord[] = []
      return { target: arrayTarget(records), read: () => records as TargetRecord[] }
    },
    cannot: { replace: 'it appends only', isolate: 'it refuses nothing' },
  })
})

describe('memoryStorage', () => {
  storageSuite({
    test,
    create(options) {
      const clock = fakeClock()
      return { storage: memoryStorage({ ...options, clock }), pass: clock.advance }
    },
  })
})
// #endregion

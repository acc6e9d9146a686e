import { setTimeout } from 'node:timers/promises'
import { checkSuite, runGroups, type SuiteTest, type Unsupported } from '../suite.js'
import { columnsCases, cursorColumnsCases, parallelColumnsCases, partitionColumnsCases } from './columns.js'
import { countCases, cursorCountCases } from './count.js'
import { cursorCases } from './cursor.js'
import {
  lookbackCases,
  noLookbackCases,
  noNullsFirstCases,
  nullCases,
  nullsFirstCases,
  parallelCases,
} from './cursor-options.js'
import {
  cursorBytesCases,
  cursorHeldCases,
  cursorIntegerCases,
  cursorReadCases,
  cursorValueCases,
} from './cursor-read.js'
import type { DatasourceFixture } from './fixture.js'
import { partitionCases, partitionNullCases, snapshotCases } from './partition.js'
import {
  abortCases,
  blockCases,
  bytesCases,
  cancelCases,
  checkCases,
  failCases,
  fetchCases,
  heldBetweenCases,
  heldCases,
  integerCases,
  rangeCases,
  readCases,
  resumeCases,
  stallCases,
  textCases,
  valueCases,
} from './read.js'

/**
 * What a datasource may leave out:
 *
 * - `resumesAfterId`, `readsRanges`: the capability. `readByCursor`, `partition`, `check`, `count`: the method.
 * - `lookback`, `nulls` (those other than `first`), `nullsFirst`, `parallel`: of a read by a cursor. `snapshot`: of `partition`.
 * - `onColumns`: telling the columns of a query. `batchBytes`: batches of a limited size. `values`: queries with values. `textValues`: values that are texts. `bigIntegers`: 64-bit
 *   integers.
 * - `blocked`, `stalling`, `failing`, `held`, `fetched`: what the fixture has for them.
 * - `heldBetween`: a read holds something between two batches. A source with one request per page does not.
 */
export type DatasourceAbility =
  | 'resumesAfterId'
  | 'readsRanges'
  | 'readByCursor'
  | 'lookback'
  | 'nulls'
  | 'nullsFirst'
  | 'parallel'
  | 'partition'
  | 'snapshot'
  | 'onColumns'
  | 'batchBytes'
  | 'values'
  | 'textValues'
  | 'bigIntegers'
  | 'blocked'
  | 'stalling'
  | 'failing'
  | 'held'
  | 'heldBetween'
  | 'fetched'
  | 'check'
  | 'count'

/** Options of {@link datasourceSuite}. */
export interface DatasourceSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Creates a fresh datasource. Called once per case. */
  create(): DatasourceFixture | Promise<DatasourceFixture>
  /** What the datasource does not support, with reasons. */
  unsupported?: Unsupported<DatasourceAbility>
}

const abilities: Record<DatasourceAbility, true> = {
  resumesAfterId: true,
  readsRanges: true,
  readByCursor: true,
  lookback: true,
  nulls: true,
  nullsFirst: true,
  parallel: true,
  partition: true,
  snapshot: true,
  onColumns: true,
  batchBytes: true,
  values: true,
  textValues: true,
  bigIntegers: true,
  blocked: true,
  stalling: true,
  failing: true,
  held: true,
  heldBetween: true,
  fetched: true,
  check: true,
  count: true,
}

/** Tests that a datasource keeps the contract of `Datasource`. Throws `invalid_options` when an option is unknown or not valid. */
export function datasourceSuite(options: DatasourceSuiteOptions): void {
  checkSuite(options, abilities)
  const { test, create, unsupported } = options
  const over = async (run: (fixture: DatasourceFixture) => Promise<void>) => {
    const fixture = await create()
    try {
      await run(fixture)
    } catch (failure) {
      // A read that does not end may keep `close` from ending: the failure of the case counts.
      await Promise.race([fixture.close?.(), setTimeout(1000)]).catch(() => undefined)
      throw failure
    }
    await fixture.close?.()
  }
  runGroups({ test, over, unsupported }, [
    { cases: readCases },
    { cases: abortCases },
    { cases: blockCases, needs: 'blocked' },
    { cases: cancelCases, needs: ['blocked', 'held'] },
    { cases: stallCases, needs: 'stalling' },
    { cases: failCases, needs: 'failing' },
    { cases: heldCases, needs: 'held' },
    { cases: heldBetweenCases, needs: ['held', 'heldBetween'] },
    { cases: fetchCases, needs: 'fetched' },
    { cases: checkCases, needs: 'check' },
    { cases: countCases, needs: 'count' },
    { cases: cursorCountCases, needs: ['count', 'readByCursor'] },
    { cases: bytesCases, needs: 'batchBytes' },
    { cases: integerCases, needs: 'bigIntegers' },
    { cases: valueCases, needs: 'values' },
    { cases: textCases, needs: ['values', 'textValues'] },
    { cases: resumeCases, needs: 'resumesAfterId' },
    { cases: rangeCases, needs: 'readsRanges' },
    { cases: cursorCases, needs: 'readByCursor' },
    { cases: cursorReadCases, needs: 'readByCursor' },
    { cases: cursorHeldCases, needs: ['readByCursor', 'held'] },
    { cases: cursorBytesCases, needs: ['readByCursor', 'batchBytes'] },
    { cases: cursorIntegerCases, needs: ['readByCursor', 'bigIntegers'] },
    { cases: cursorValueCases, needs: ['readByCursor', 'values'] },
    { cases: lookbackCases, needs: ['readByCursor', 'lookback'] },
    { cases: noLookbackCases, needs: 'readByCursor', without: 'lookback' },
    { cases: nullCases, needs: ['readByCursor', 'nulls'] },
    { cases: nullsFirstCases, needs: ['readByCursor', 'nulls', 'nullsFirst'] },
    { cases: noNullsFirstCases, needs: ['readByCursor', 'nulls'], without: 'nullsFirst' },
    { cases: parallelCases, needs: ['readByCursor', 'parallel'] },
    { cases: partitionCases, needs: ['readByCursor', 'partition'] },
    { cases: partitionNullCases, needs: ['readByCursor', 'partition', 'nulls'] },
    { cases: snapshotCases, needs: ['readByCursor', 'partition', 'snapshot'] },
    { cases: columnsCases, needs: 'onColumns' },
    { cases: cursorColumnsCases, needs: ['onColumns', 'readByCursor'] },
    { cases: partitionColumnsCases, needs: ['onColumns', 'readByCursor', 'partition'] },
    { cases: parallelColumnsCases, needs: ['onColumns', 'readByCursor', 'parallel'] },
  ])
}
export type { DatasourceFixture } from './fixture.js'

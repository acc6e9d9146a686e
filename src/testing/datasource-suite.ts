import {
  abortCases,
  blockCases,
  countCases,
  type DatasourceFixture,
  failCases,
  readCases,
  resumeCases,
} from './_datasource-cases.js'
import { cursorCases } from './_datasource-cursor.js'
import { partitionCases } from './_datasource-partition.js'
import { type Inabilities, runGroups, type SuiteTest } from './_suite.js'

/** What the suite needs. */
export interface DatasourceSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Makes a fresh datasource: once per case. */
  create(): DatasourceFixture | Promise<DatasourceFixture>
  /**
   * What the datasource cannot do, and why: block before its first record (`block`), fail after some records (`fail`), tell
   * what it holds (`count`), go on after `lastId` by itself (`resume`), read by a cursor (`cursor`).
   */
  cannot?: Inabilities<'block' | 'fail' | 'count' | 'resume' | 'cursor'>
}

/** Holds a datasource to the contract of `Datasource`, rule by rule. */
export function datasourceSuite({ test, create, cannot }: DatasourceSuiteOptions): void {
  const over = async (run: (fixture: DatasourceFixture) => Promise<void>) => {
    const fixture = await create()
    try {
      await run(fixture)
    } finally {
      await fixture.close?.()
    }
  }
  runGroups({ test, over, cannot }, [
    { cases: readCases },
    { cases: abortCases },
    { cases: blockCases, needs: 'block' },
    { cases: failCases, needs: 'fail' },
    { cases: countCases, needs: 'count' },
    { cases: resumeCases, needs: 'resume' },
    { cases: cursorCases, needs: 'cursor' },
    { cases: partitionCases, needs: 'cursor' },
  ])
}

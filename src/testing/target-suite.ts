import { type Cases, type Inabilities, runGroups, type SuiteTest } from './_suite.js'
import { atomicCases } from './_target-atomic.js'
import { partCases } from './_target-parts.js'
import { repeatCases, resumeCases } from './_target-resume.js'
import { type TargetFixture, TargetRun } from './_target-run.js'
import { appendCases, replaceCases, writeCases } from './_target-write.js'

/** How the suite wants a target. */
export interface TargetCreateOptions {
  /** As of `Target`. */
  strategy: 'append' | 'replace'
}

/** What the suite needs. */
export interface TargetSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Makes a fresh target: once per case. One that refuses to replace many records by few must be told not to. */
  create(options: TargetCreateOptions): TargetFixture | Promise<TargetFixture>
  /**
   * What the target cannot do, and why: add to what is there (`append`), put new records in the place of the old
   * (`replace`), take a batch twice and keep it once (`deduplicate`), go on after a batch that it has refused (`isolate`).
   */
  cannot?: Inabilities<'append' | 'replace' | 'deduplicate' | 'isolate'>
}

/** Holds a target to the contract of `Target`, rule by rule. */
export function targetSuite({ test, create, cannot = {} }: TargetSuiteOptions): void {
  for (const strategy of ['append', 'replace'] as const) {
    const over = async (run: (fixture: TargetFixture) => Promise<void>) => {
      const fixture = await create({ strategy })
      try {
        await run(fixture)
      } finally {
        await TargetRun.leaveAll()
        await fixture.close?.()
      }
    }
    const deduplicate = cannot[strategy] ?? cannot.deduplicate
    const isolate = cannot[strategy] ?? cannot.isolate
    const all = { ...cannot, ...(deduplicate && { deduplicate }), ...(isolate && { isolate }) }
    runGroups({ test, over, cannot: all }, [
      { cases: named(strategy, writeCases), needs: strategy },
      { cases: strategy === 'append' ? { ...appendCases, ...partCases } : replaceCases, needs: strategy },
      { cases: named(strategy, resumeCases), needs: strategy },
      { cases: named(strategy, repeatCases), needs: 'deduplicate' },
      { cases: named(strategy, atomicCases), needs: 'isolate' },
    ])
  }
}

function named(strategy: string, cases: Cases<TargetFixture>): Cases<TargetFixture> {
  return Object.fromEntries(Object.entries(cases).map(([name, run]) => [`${strategy}: ${name}`, run]))
}

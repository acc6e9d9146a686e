import type { SuiteTest } from 'headgate/testing'

/** How the cases of a suite end, without a test runner. */
export interface Outcome {
  readonly passed: string[]
  /** The names of those that fail, with what they say. */
  readonly failed: Map<string, unknown>
  readonly skipped: string[]
}

/** Runs the cases that a suite gives to its runner, one after the other. */
export async function outcomeOf(suite: (test: SuiteTest) => void): Promise<Outcome> {
  const cases: [string, () => Promise<void>][] = []
  const outcome: Outcome = { passed: [], failed: new Map(), skipped: [] }
  const test = (name: string, run: () => Promise<void>) => cases.push([name, run])
  suite(Object.assign(test, { skip: (name: string) => outcome.skipped.push(name) }))
  for (const [name, run] of cases) {
    try {
      await run()
      outcome.passed.push(name)
    } catch (error) {
      outcome.failed.set(name, error)
    }
  }
  return outcome
}

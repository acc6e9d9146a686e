/** The function of a test runner: `test` of vitest and of `node:test`, `it` of mocha and jest. */
export interface SuiteTest {
  /** Runs a test of that name, now or later. */
  (name: string, run: () => Promise<void>): unknown
  /** Shows a test that is not run. Without it, what an adapter cannot do does not show. */
  skip?(name: string, run: () => Promise<void>): unknown
}

/** Rules by their names, each with what must hold. */
export type Cases<Subject> = Readonly<Record<string, (subject: Subject) => Promise<void>>>

/** What an adapter cannot do, and why: the reason shows beside every rule that is passed over for it. */
export type Inabilities<Ability extends string> = Partial<Record<Ability, string>>

/** Cases that belong together. */
export interface Group<Subject, Ability extends string> {
  readonly cases: Cases<Subject>
  /** What an adapter must be able to do for them. Default: nothing of its own. */
  readonly needs?: Ability
}

interface Suite<Subject, Ability extends string> {
  test: SuiteTest
  /** Runs one case over a fresh subject. */
  over(run: (subject: Subject) => Promise<void>): Promise<void>
  cannot?: Inabilities<Ability> | undefined
}

/** Hands every case to the runner, over a fresh subject each. */
export function runGroups<Subject, Ability extends string>(
  { test, over, cannot = {} }: Suite<Subject, Ability>,
  groups: readonly Group<Subject, Ability>[],
): void {
  for (const { cases, needs } of groups) {
    const reason = needs && cannot[needs]
    for (const [name, run] of Object.entries(cases)) {
      const runCase = () => over(run)
      if (reason) test.skip?.(`${name} (cannot ${needs}: ${reason})`, runCase)
      else test(name, runCase)
    }
  }
}

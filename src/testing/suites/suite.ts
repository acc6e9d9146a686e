import { checkOptions, rule } from '../../adapter.js'

/** The function of a test runner: `test` of vitest and of `node:test`, `it` of mocha and jest. */
export interface SuiteTest {
  /** Runs a test with that name, now or later. */
  (name: string, run: () => Promise<void>): unknown
  /** Reports a skipped test, with the reason in its name. Without it, skipped cases are not reported. */
  skip?(name: string, run: () => Promise<void>): unknown
}

/** Cases by their names. */
export type Cases<Subject> = Readonly<Record<string, (subject: Subject) => Promise<void>>>

/** What an adapter does not support, with the reasons, which the names of the skipped cases show. */
export type Unsupported<Ability extends string> = Partial<Record<Ability, string>>

/** Cases that belong together. */
export interface Group<Subject, Ability extends string> {
  readonly cases: Cases<Subject>
  /** What an adapter must support for them. Default: nothing. */
  readonly needs?: Ability | readonly Ability[]
  /** What an adapter must not support for them: they test that it says so. */
  readonly without?: Ability
}

interface Suite<Subject, Ability extends string> {
  test: SuiteTest
  /** Runs one case over a fresh subject. */
  over(run: (subject: Subject) => Promise<void>): Promise<void>
  unsupported?: Unsupported<Ability> | undefined
}

/** Passes every case to the test runner, each with a fresh subject. */
export function runGroups<Subject, Ability extends string>(
  { test, over, unsupported = {} }: Suite<Subject, Ability>,
  groups: readonly Group<Subject, Ability>[],
): void {
  for (const { cases, needs = [], without } of groups) {
    if (without !== undefined && unsupported[without] === undefined) continue
    const missing = ([needs].flat() as Ability[]).find((ability) => unsupported[ability] !== undefined)
    for (const [name, run] of Object.entries(cases)) {
      const runCase = () => over(run)
      if (missing !== undefined) test.skip?.(`${name} (unsupported ${missing}: ${unsupported[missing]})`, runCase)
      else test(name, runCase)
    }
  }
}

/** Throws `invalid_options` unless the options of a suite are valid, and what is unsupported is one of `abilities`. */
export function checkSuite<Ability extends string>(options: object, abilities: Readonly<Record<Ability, true>>): void {
  checkOptions('options', options, {
    test: rule.aFunction,
    create: rule.aFunction,
    unsupported: rule.optional(rule.anObject),
  })
  const { unsupported = {} } = options as { unsupported?: object }
  const reasons = Object.keys(abilities).map((ability) => [ability, rule.optional(rule.text)])
  checkOptions('unsupported', unsupported, Object.fromEntries(reasons), 'unsupported.')
}

import { checkSuite, type Group, runGroups, type SuiteTest, type Unsupported } from '../suite.js'
import { atomicCases, idempotentCases, recordIndexCases } from './atomic.js'
import { brokenCases, checkCases, checkpointCases, encodedCases, flushCases, resetCases } from './capabilities.js'
import { appendEmptyCases, createEmptyCases, partitionEmptyCases } from './create-empty.js'
import { type TargetFixture, TargetRun } from './fixture.js'
import { checkpointResetCases, refreshCheckCases, truncateCases } from './full-refresh.js'
import { partitionCases } from './partitions.js'
import { repeatCases, resumeCases } from './resume.js'
import { appendCases, replaceCases, writeCases } from './write.js'

/**
 * What a target may leave out:
 *
 * - `append`, `replace`: the strategy.
 * - `writesAtomically`, `writesIdempotently`, `writesPartitions`, `writesDuringFlush`: the capability.
 * - `acceptsEncoded`, `createEmpty`, `isReset`, `isBroken`: the member of the writer. `checkpoint`: `open` that returns it.
 * - `truncate`: `onFullRefresh: 'truncate'`. `resetCheckpoint`, `check`, `checkFullRefresh`: the method.
 * - `deduplicate`: a batch that is written again after a crash is there once. `recordIndex`: errors that name the record.
 */
export type TargetAbility =
  | 'append'
  | 'replace'
  | 'writesAtomically'
  | 'writesIdempotently'
  | 'writesPartitions'
  | 'writesDuringFlush'
  | 'acceptsEncoded'
  | 'createEmpty'
  | 'isReset'
  | 'isBroken'
  | 'checkpoint'
  | 'truncate'
  | 'resetCheckpoint'
  | 'check'
  | 'checkFullRefresh'
  | 'deduplicate'
  | 'recordIndex'

/** The options of `create`. */
export interface TargetCreateOptions {
  /** The `strategy` of the target. */
  strategy: 'append' | 'replace'
}

/** Options of {@link targetSuite}. */
export interface TargetSuiteOptions {
  /** The function of the test runner. */
  test: SuiteTest
  /** Creates a fresh target. Called once per case. The target must allow a replace of many records by few. */
  create(options: TargetCreateOptions): TargetFixture | Promise<TargetFixture>
  /** What the target does not support, with reasons. */
  unsupported?: Unsupported<TargetAbility>
}

const abilities: Record<TargetAbility, true> = {
  append: true,
  replace: true,
  writesAtomically: true,
  writesIdempotently: true,
  writesPartitions: true,
  writesDuringFlush: true,
  acceptsEncoded: true,
  createEmpty: true,
  isReset: true,
  isBroken: true,
  checkpoint: true,
  truncate: true,
  resetCheckpoint: true,
  check: true,
  checkFullRefresh: true,
  deduplicate: true,
  recordIndex: true,
}

/** Tests that a target keeps the contract of `Target`. Throws `invalid_options` when an option is unknown or not valid. */
export function targetSuite(options: TargetSuiteOptions): void {
  checkSuite(options, abilities)
  const { test, create, unsupported } = options
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
    const groups = [...commonGroups, ...(strategy === 'append' ? appendGroups : replaceGroups)]
    runGroups(
      { test, over, unsupported },
      groups.map((group) => groupOf(strategy, group)),
    )
  }
}

type TargetGroup = Group<TargetFixture, TargetAbility>

const commonGroups: readonly TargetGroup[] = [
  { cases: writeCases },
  { cases: resumeCases },
  { cases: repeatCases, needs: 'deduplicate' },
  { cases: atomicCases, needs: 'writesAtomically' },
  { cases: idempotentCases, needs: 'writesIdempotently' },
  { cases: recordIndexCases, needs: ['writesAtomically', 'recordIndex'] },
  { cases: brokenCases, needs: ['writesAtomically', 'isBroken'] },
  { cases: encodedCases, needs: 'acceptsEncoded' },
  { cases: createEmptyCases, needs: 'createEmpty' },
  { cases: checkpointCases, needs: 'checkpoint' },
  { cases: checkCases, needs: 'check' },
  { cases: refreshCheckCases, needs: 'checkFullRefresh' },
]
const appendGroups: readonly TargetGroup[] = [
  { cases: appendCases },
  { cases: appendEmptyCases, needs: 'createEmpty' },
  { cases: partitionCases, needs: 'writesPartitions' },
  { cases: partitionEmptyCases, needs: ['createEmpty', 'writesPartitions'] },
  { cases: flushCases, needs: 'writesDuringFlush' },
  { cases: resetCases, needs: 'isReset' },
  { cases: truncateCases, needs: 'truncate' },
  { cases: checkpointResetCases, needs: ['checkpoint', 'resetCheckpoint'] },
]
const replaceGroups: readonly TargetGroup[] = [{ cases: replaceCases }]

/** The cases of a group for a target with that strategy. */
function groupOf(strategy: 'append' | 'replace', { cases, needs = [] }: TargetGroup): TargetGroup {
  const named = Object.entries(cases).map(([name, run]) => [`${strategy}: ${name}`, run])
  return { cases: Object.fromEntries(named), needs: [strategy, ...([needs].flat() as TargetAbility[])] }
}

export type { TargetFixture, TargetRecord } from './fixture.js'

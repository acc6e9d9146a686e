import assert from 'node:assert/strict'
import type { Cases } from './_suite.js'
import { batches, recordsOf, type TargetFixture, TargetRun } from './_target-run.js'

/** What holds for a target that says `takesParts`: nothing is asked of others. */
export const partCases: Cases<TargetFixture> = {
  async 'parts: writers that are open at once keep the records of each, and where each stands'({ target, read }) {
    if (!target.takesParts) return
    const begin = (n: number) => TargetRun.begin(target, undefined, false, `suite#${n}`)
    const runs = await Promise.all([0, 1, 2].map(begin))
    for (const [index, batch] of batches.entries()) {
      await runs[index % runs.length]?.write(batch)
      await runs[index % runs.length]?.checkpoint()
    }
    await runs[1]?.abort()
    await Promise.all([runs[0]?.commit(), runs[2]?.commit()])
    const ids = (await read()).map(({ id }) => Number(id)).sort((a, b) => a - b)
    assert.deepEqual(
      ids,
      recordsOf(1, 20).map(({ id }) => id),
    )
  },

  async 'parts: one that is opened and let go, with nothing written, changes nothing'({ target, read }) {
    if (!target.takesParts) return
    await TargetRun.complete(target, batches.slice(0, 2))
    await (await TargetRun.begin(target, undefined, false, 'suite#0')).abort()
    await (await TargetRun.begin(target, undefined, false, 'suite#1')).commit()
    assert.deepEqual(await read(), recordsOf(1, 8))
  },
}

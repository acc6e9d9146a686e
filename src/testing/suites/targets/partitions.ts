import assert from 'node:assert/strict'
import type { RecordBatch } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { batches, recordsOf, type TargetFixture, TargetRun } from './fixture.js'

export const partitionCases: Cases<TargetFixture> = {
  async 'partitions: concurrent writers store the records and the checkpoint of each'({ target, read }) {
    assert.ok(target.capabilities?.writesPartitions, 'Expected `writesPartitions`, or the reason in `unsupported`')
    const begin = (n: number) => TargetRun.begin(target, undefined, false, { partition: n })
    const [one, two, three] = await Promise.all([begin(0), begin(1), begin(2)])
    await one.write(batches[0] as RecordBatch)
    await two.write(batches[1] as RecordBatch)
    await two.checkpoint()
    await three.write(batches[2] as RecordBatch)
    await two.abort()
    await one.write(batches[3] as RecordBatch)
    await three.write(batches[4] as RecordBatch)
    await Promise.all([one.commit(), three.commit()])
    const ids = (await read()).map(({ id }) => Number(id)).sort((a, b) => a - b)
    assert.deepEqual(
      ids,
      recordsOf(1, 20).map(({ id }) => id),
    )
  },

  async 'partitions: a writer that writes nothing changes nothing'({ target, read }) {
    await TargetRun.complete(target, batches.slice(0, 2))
    await (await TargetRun.begin(target, undefined, false, { partition: 0 })).abort()
    await (await TargetRun.begin(target, undefined, false, { partition: 1 })).commit()
    assert.deepEqual(await read(), recordsOf(1, 8))
  },
}

import assert from 'node:assert/strict'
import { RecordBatch } from '../../../adapter.js'
import type { JobRecord } from '../../../index.js'
import type { Cases } from '../suite.js'
import { batches, rawBatch, recordsOf, type TargetFixture, TargetRun } from './fixture.js'

/** A batch of the ids from `first` to `last`, of which those are records that the target refuses. */
function spoiltBatch(
  { refused }: TargetFixture,
  first: number,
  last: number,
  ids: readonly number[],
  ability = 'writesAtomically',
): RecordBatch {
  const refusedOne = (id: number): JobRecord => {
    assert.ok(refused, `Expected \`refused\`, or the reason in \`unsupported.${ability}\``)
    return refused(id)
  }
  return RecordBatch.fromRecords(
    recordsOf(first, last).map((record) => (ids.includes(record.id) ? refusedOne(record.id) : record)),
  )
}

export const atomicCases: Cases<TargetFixture> = {
  async 'a write that is rejected leaves nothing of its batch, wherever the bad record is'(fixture) {
    const { target, read } = fixture
    assert.equal(
      target.capabilities?.writesAtomically,
      true,
      'Expected `writesAtomically`, or the reason in `unsupported.writesAtomically`',
    )
    const run = await TargetRun.begin(target, undefined, true)
    await run.write(batches[0] as RecordBatch)
    for (const id of [5, 6, 8]) await assert.rejects(run.write(spoiltBatch(fixture, 5, 8, [id])))
    assert.ok(!run.writer.isBroken, 'Expected the writer to continue after a rejected write')
    await run.write(batches[1] as RecordBatch)
    await assert.rejects(run.write(spoiltBatch(fixture, 9, 9, [9])))
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 8))
  },

  async 'a write that is rejected may come first, last and often'(fixture) {
    const run = await TargetRun.begin(fixture.target, undefined, true)
    const spoilt = spoiltBatch(fixture, 50, 53, [50, 53])
    for (const batch of batches) {
      await assert.rejects(run.write(spoilt))
      await run.write(batch)
      await assert.rejects(run.write(spoilt))
    }
    await run.commit()
    assert.deepEqual(await fixture.read(), recordsOf(1, 20))
  },

  async 'a checkpoint after a rejected write covers what was written'(fixture) {
    const run = await TargetRun.begin(fixture.target, undefined, true)
    await run.write(batches[0] as RecordBatch)
    await assert.rejects(run.write(spoiltBatch(fixture, 5, 8, [7])))
    const checkpoint = await run.checkpoint()
    await assert.rejects(run.write(spoiltBatch(fixture, 5, 8, [5])))
    await run.abort()
    await TargetRun.complete(fixture.target, batches, checkpoint)
    assert.deepEqual(await fixture.read(), recordsOf(1, 20))
  },

  async 'a run of thousands of records continues after a rejected write'(fixture) {
    const run = await TargetRun.begin(fixture.target, undefined, true)
    for (const id of [1, 2500, 5000]) await assert.rejects(run.write(spoiltBatch(fixture, 1, 5000, [id])))
    await run.write(RecordBatch.fromRecords(recordsOf(1, 5000)))
    await run.commit()
    assert.deepEqual(await fixture.read(), recordsOf(1, 5000))
  },
}

export const idempotentCases: Cases<TargetFixture> = {
  async 'idempotent: records that are written again are there once'({ target, read }) {
    checkWritesIdempotently(target)
    const run = await TargetRun.begin(target, undefined, true)
    await run.write(batches[0] as RecordBatch)
    await run.write(batches[0] as RecordBatch)
    await run.write(rawBatch(recordsOf(3, 8)))
    await run.checkpoint()
    await run.write(rawBatch(recordsOf(5, 12)))
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 12))
  },

  async 'idempotent: the good records of a rejected write can be written again'(fixture) {
    const { target, read } = fixture
    checkWritesIdempotently(target)
    const run = await TargetRun.begin(target, undefined, true)
    await run.write(batches[0] as RecordBatch)
    await assert.rejects(run.write(spoiltBatch(fixture, 5, 8, [7], 'writesIdempotently')))
    assert.ok(!run.writer.isBroken, 'Expected the writer to continue after a rejected write')
    for (const [first, last] of [
      [5, 6],
      [8, 8],
    ] as const)
      await run.write(rawBatch(recordsOf(first, last)))
    await run.commit()
    const good = (await read()).filter(({ id }) => id !== 7)
    assert.deepEqual(good, [...recordsOf(1, 6), ...recordsOf(8, 8)])
  },
}

function checkWritesIdempotently({ capabilities }: TargetFixture['target']): void {
  assert.ok(capabilities?.writesIdempotently, 'Expected `writesIdempotently`, or the reason in `unsupported`')
}

export const recordIndexCases: Cases<TargetFixture> = {
  async 'the error of a rejected write names the record'(fixture) {
    const run = await TargetRun.begin(fixture.target, undefined, true)
    for (const [id, index] of [
      [5, 0],
      [7, 2],
      [8, 3],
    ] as const) {
      const error = await run.write(spoiltBatch(fixture, 5, 8, [id])).then(undefined, (error: unknown) => error)
      assert.equal(recordIndexOf(error), index)
    }
    await run.abort()
  },
}

/** What an error, or one of its causes, names. */
function recordIndexOf(error: unknown): unknown {
  for (let link = error; link instanceof Error; link = link.cause) {
    const { recordIndex } = link as { recordIndex?: unknown }
    if (recordIndex !== undefined) return recordIndex
  }
  return undefined
}

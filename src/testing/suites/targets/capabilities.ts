import assert from 'node:assert/strict'
import type { Column, RecordBatch } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import {
  batches,
  isCausedBy,
  type RunCheckpoint,
  rawBatch,
  recordsOf,
  type TargetFixture,
  TargetRun,
} from './fixture.js'

const [first, second, third] = batches as [RecordBatch, RecordBatch, RecordBatch]

export const flushCases: Cases<TargetFixture> = {
  async 'flush: records written during a flush are there once'({ target, read }) {
    checkWritesDuringFlush(target)
    const run = await TargetRun.begin(target)
    await run.write(first)
    for (const batch of batches.slice(1)) {
      const flushed = run.checkpoint()
      await run.write(batch)
      await flushed
    }
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'flush: a checkpoint does not cover records written during its flush'({ target, read }) {
    checkWritesDuringFlush(target)
    const run = await TargetRun.begin(target)
    await run.write(first)
    const flushed = run.checkpoint()
    await run.write(second)
    await TargetRun.complete(target, batches, await flushed)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

function checkWritesDuringFlush({ capabilities }: TargetFixture['target']): void {
  assert.ok(capabilities?.writesDuringFlush, 'Expected `writesDuringFlush`, or the reason in `unsupported`')
}

const columns: readonly Column[] = [{ name: 'id', type: 'integer' }]

export const encodedCases: Cases<TargetFixture> = {
  async 'encoded: rows in an accepted format arrive, beside others'({ target, read, encoded }) {
    assert.ok(encoded, 'Expected `encoded`, or the reason in `unsupported.acceptsEncoded`')
    const run = await TargetRun.begin(target)
    const [before, after] = [await encoded(recordsOf(1, 9)), await encoded(recordsOf(13, 20))]
    for (const batch of [before, after]) {
      assert.ok(batch.encoded, 'Expected `encoded` to give a batch of encoded rows')
      assert.equal(await run.writer.acceptsEncoded?.(batch.encoded.format, batch.columns), true)
    }
    await run.write(before)
    await run.write(rawBatch(recordsOf(10, 12)))
    await run.write(after)
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'encoded: an unknown format is not accepted'({ target }) {
    const run = await TargetRun.begin(target)
    assert.equal(run.writer.acceptsEncoded?.('a format of the suite', columns), false)
    await run.abort()
  },
}

export const checkpointCases: Cases<TargetFixture> = {
  async 'checkpoint: the last durable one is returned, regardless of storage'({ target, read }) {
    const run = await TargetRun.begin(target)
    assert.equal(keptFor(run), null)
    await run.write(first)
    const older = await run.checkpoint()
    await run.write(second)
    const { sequence, origin } = await run.checkpoint()
    await run.write(third)
    const next = await TargetRun.begin(target, older)
    const kept = keptFor(next) as RunCheckpoint | null
    assert.deepEqual([kept?.sequence, kept?.origin], [sequence, origin])
    for (const batch of batches.slice(sequence)) await next.write(batch)
    await next.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'checkpoint: each job has its own'({ target }) {
    const run = await TargetRun.begin(target)
    await run.write(first)
    await run.checkpoint()
    const other = await TargetRun.begin(target, undefined, false, { id: 'another' })
    assert.equal(keptFor(other), null)
    await other.abort()
    await run.abort()
  },
}

/** The checkpoint that the target has of the job of a run. */
function keptFor({ resume }: TargetRun): unknown {
  return typeof resume === 'object' ? resume.checkpoint : null
}

export const resetCases: Cases<TargetFixture> = {
  async 'reset: is reported when the records are gone, and only then'({ target, empty }) {
    assert.ok(empty, 'Expected `empty`, or the reason in `unsupported.isReset`')
    const run = await TargetRun.begin(target)
    await run.write(first)
    const checkpoint = await run.checkpoint()
    await run.commit()
    const next = await TargetRun.begin(target, checkpoint)
    assert.equal(await next.writer.isReset?.(), false)
    assert.notEqual(await next.writer.isEmpty?.(), true)
    await next.abort()
    await empty()
    const later = await TargetRun.begin(target, checkpoint)
    assert.ok(later.resume === 'restart' || (await later.writer.isReset?.()))
    assert.notEqual(await later.writer.isEmpty?.(), false)
    await later.abort()
  },
}

export const checkCases: Cases<TargetFixture> = {
  async 'check: resolves when the target can be written to, and changes nothing'({ target, read }) {
    assert.ok(target.check, 'Expected `check`, or the reason in `unsupported`')
    await target.check(new AbortController().signal)
    assert.deepEqual(await read(), [])
    await TargetRun.complete(target, batches)
    await target.check(new AbortController().signal)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'check: throws when the target cannot be written to'({ unusable }) {
    assert.ok(unusable, 'Expected `unusable`, or the reason in `unsupported.check`')
    await assert.rejects(async () => unusable().check?.(new AbortController().signal))
  },

  async 'check: throws the reason when its signal aborts'({ target }) {
    const reason = new RangeError('stopped by the suite')
    await assert.rejects(
      async () => target.check?.(AbortSignal.abort(reason)),
      (error) => isCausedBy(error, reason),
    )
  },
}

export const brokenCases: Cases<TargetFixture> = {
  async 'broken: is reported by a writer that cannot continue'({ target, disconnect, read }) {
    assert.ok(disconnect, 'Expected `disconnect`, or the reason in `unsupported.isBroken`')
    const run = await TargetRun.begin(target, undefined, true)
    await run.write(first)
    const checkpoint = await run.checkpoint()
    assert.ok(!run.writer.isBroken)
    await disconnect()
    await assert.rejects(async () => {
      await run.write(second)
      await run.checkpoint()
    })
    assert.equal(run.writer.isBroken, true)
    await run.abort().catch(() => undefined)
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

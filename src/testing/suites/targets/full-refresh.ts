import assert from 'node:assert/strict'
import type { RecordBatch } from '../../../adapter.js'
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

export const truncateCases: Cases<TargetFixture> = {
  async 'truncate: earlier records are removed together with the first new ones'({ target, read }) {
    await TargetRun.complete(target, batches)
    const run = await beginRefresh(target)
    await run.write(rawBatch(recordsOf(30, 33)))
    await run.checkpoint()
    await run.write(rawBatch(recordsOf(34, 35)))
    await run.commit()
    assert.deepEqual(await read(), recordsOf(30, 35))
  },

  async 'truncate: an abort before the next flush keeps the earlier records'({ target, read }) {
    await TargetRun.complete(target, batches)
    const run = await beginRefresh(target)
    await run.write(rawBatch(recordsOf(30, 33)))
    await run.abort()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'truncate: without new records, the target is empty'({ target, read }) {
    await TargetRun.complete(target, batches)
    await (await beginRefresh(target)).commit()
    assert.deepEqual(await read(), [])
  },
}

export const refreshCheckCases: Cases<TargetFixture> = {
  async 'full refresh check: resolves when one could be done, and changes nothing'({ target, read }) {
    assert.ok(target.checkFullRefresh, 'Expected `checkFullRefresh`, or the reason in `unsupported`')
    await target.checkFullRefresh(new AbortController().signal)
    await TargetRun.complete(target, batches)
    await target.checkFullRefresh(new AbortController().signal)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'full refresh check: disturbs no run that writes'({ target, read }) {
    const run = await TargetRun.begin(target)
    await run.write(batches[0] as RecordBatch)
    await target.checkFullRefresh?.(new AbortController().signal)
    await run.write(batches[1] as RecordBatch)
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 8))
  },

  async 'full refresh check: throws `invalid_options` when none could be done'({ unrefreshable }) {
    assert.ok(unrefreshable, 'Expected `unrefreshable`, or the reason in `unsupported.checkFullRefresh`')
    const target = await unrefreshable()
    await assert.rejects(async () => target.checkFullRefresh?.(new AbortController().signal), {
      code: 'invalid_options',
    })
  },

  async 'full refresh check: throws the reason when its signal aborts'({ target }) {
    const reason = new RangeError('stopped by the suite')
    await assert.rejects(
      async () => target.checkFullRefresh?.(AbortSignal.abort(reason)),
      (error) => isCausedBy(error, reason),
    )
  },
}

/** Begins a run that has removed the earlier records. Nothing of it is durable yet. */
async function beginRefresh(target: TargetFixture['target']): Promise<TargetRun> {
  const isExpected = target.capabilities?.onFullRefresh === 'truncate'
  assert.ok(isExpected, "Expected `onFullRefresh` to be 'truncate', or the reason in `unsupported.truncate`")
  const run = await TargetRun.begin(target)
  assert.ok(run.writer.truncate, 'Expected a writer with `truncate`')
  await run.writer.truncate()
  return run
}

export const checkpointResetCases: Cases<TargetFixture> = {
  async 'checkpoint reset: removes or changes the checkpoint of the job alone'({ target }) {
    const [run, other] = [
      await TargetRun.begin(target),
      await TargetRun.begin(target, undefined, false, { id: 'other' }),
    ]
    for (const [n, one] of [run, other].entries()) {
      await one.write(batches[n] as RecordBatch)
      await one.checkpoint()
    }
    const job = { type: run.context.type, id: run.context.id, signal: run.context.signal }
    await target.resetCheckpoint?.({ ...job, executionId: run.context.executionId, checkpoint: { sequence: 7 } })
    assert.equal((keptFor(await TargetRun.begin(target)) as RunCheckpoint).sequence, 7)
    await target.resetCheckpoint?.({ ...job, checkpoint: null })
    assert.equal(keptFor(await TargetRun.begin(target)), null)
    const another = await TargetRun.begin(target, undefined, false, { id: 'other' })
    assert.equal((keptFor(another) as RunCheckpoint).sequence, 1)
  },

  async 'checkpoint reset: no earlier execution writes any more, and a later one prevents it'({ target, read }) {
    const run = await TargetRun.begin(target)
    await run.write(batches[0] as RecordBatch)
    await run.checkpoint()
    await run.write(batches[1] as RecordBatch)
    const { type, id, signal, executionId } = run.context
    const request = { type, id, signal, executionId, checkpoint: null }
    await target.resetCheckpoint?.(request)
    await assert.rejects(run.checkpoint())
    await run.abort(true).catch(() => undefined)
    assert.deepEqual(await read(), recordsOf(1, 4))
    const later = await TargetRun.begin(target)
    await later.write(batches[1] as RecordBatch)
    await assert.rejects(async () => target.resetCheckpoint?.(request))
    await later.commit()
    assert.deepEqual(await read(), recordsOf(1, 8))
  },
}

/** The checkpoint that the target has of the job of a run. */
function keptFor({ resume }: TargetRun): unknown {
  return typeof resume === 'object' ? resume.checkpoint : null
}

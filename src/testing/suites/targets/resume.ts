import assert from 'node:assert/strict'
import type { RecordBatch } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { batches, recordsOf, type TargetFixture, TargetRun } from './fixture.js'

export const resumeCases: Cases<TargetFixture> = {
  async 'a run that resumes after an abort writes what an uninterrupted one writes'({ target, read }) {
    const run = await TargetRun.begin(target)
    for (const batch of batches.slice(0, 3)) await run.write(batch)
    const checkpoint = await run.checkpoint()
    await run.abort()
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'a run that resumes after a crash writes what an uninterrupted one writes'({ target, read }) {
    const run = await TargetRun.begin(target)
    for (const batch of batches.slice(0, 3)) await run.write(batch)
    await TargetRun.complete(target, batches, await run.checkpoint())
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'a run that stops at every batch writes what an uninterrupted one writes'({ target, read }) {
    let run = await TargetRun.begin(target)
    for (const [index, batch] of batches.entries()) {
      await run.write(batch)
      const checkpoint = await run.checkpoint()
      if (index % 2) await run.abort()
      run = await TargetRun.begin(target, checkpoint)
    }
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'a run that has lost its lease does not change what its successor writes'({ target, read }) {
    const lost = await TargetRun.begin(target)
    for (const batch of batches.slice(0, 2)) await lost.write(batch)
    const checkpoint = await lost.checkpoint()
    const next = await TargetRun.begin(target, checkpoint)
    for (const batch of batches.slice(2, 4)) await next.write(batch)
    const later = await next.checkpoint()
    await lost.abort(true)
    for (const batch of batches.slice(4)) await next.write(batch)
    await next.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
    await TargetRun.complete(target, batches, later)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'a run that stopped before its first record resumes'({ target, read }) {
    const run = await TargetRun.begin(target)
    const checkpoint = await run.checkpoint()
    await run.abort()
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

export const repeatCases: Cases<TargetFixture> = {
  async 'batches written after the checkpoint, before a crash, are there once'({ target, read }) {
    const run = await TargetRun.begin(target)
    await run.write(batches[0] as RecordBatch)
    const checkpoint = await run.checkpoint()
    await run.write(batches[1] as RecordBatch)
    await run.write(batches[2] as RecordBatch)
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'batches made durable after the checkpoint, before a crash, are there once'({ target, read }) {
    const run = await TargetRun.begin(target)
    await run.write(batches[0] as RecordBatch)
    const checkpoint = await run.checkpoint()
    await run.write(batches[1] as RecordBatch)
    await run.checkpoint()
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'batches written after the checkpoint, before an abort, are there once'({ target, read }) {
    const run = await TargetRun.begin(target)
    await run.write(batches[0] as RecordBatch)
    const checkpoint = await run.checkpoint()
    await run.write(batches[1] as RecordBatch)
    await run.abort()
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'a commit whose answer was lost may be repeated'({ target, read }) {
    const run = await TargetRun.begin(target)
    for (const batch of batches.slice(0, 3)) await run.write(batch)
    const checkpoint = await run.checkpoint()
    for (const batch of batches.slice(3)) await run.write(batch)
    await run.commit()
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

import assert from 'node:assert/strict'
import type { Cases } from '../suite.js'
import {
  batches,
  objectBatch,
  rawBatch,
  recordsOf,
  type TargetFixture,
  type TargetRecord,
  TargetRun,
} from './fixture.js'

/** What targets have been seen to change or choke on. */
const values: TargetRecord[] = [
  { text: null, nested: null },
  { text: '', nested: {} },
  { text: 'null', nested: [] },
  { text: `it's "quoted", \\escaped\\, 100 %`, nested: { "it's": '"quoted" \\' } },
  { text: 'line\nbreak\r\n\ttab', nested: 'line\nbreak' },
  { text: '\u2028\u2029\ufeff\u0001', nested: '\u2028' },
  { text: 'e\u0301 \u00e9 日本語 👩‍👩‍👧‍👦', nested: { 日本語: '👩‍👩‍👧‍👦' } },
  { text: '\\N \\. ,;|', nested: [1, 1.5, -0.000001, true, false, null, [[]], { a: { b: null } }] },
  { text: 'x'.repeat(100_000), nested: 0 },
].map((value, index) => ({ id: index + 1, ...value }))

export const writeCases: Cases<TargetFixture> = {
  async 'all records arrive, in order'({ target, read }) {
    await TargetRun.complete(target, batches)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'a run without records commits'({ target, read }) {
    await TargetRun.complete(target, [])
    assert.deepEqual(await read(), [])
  },

  async 'values in raw rows arrive as they are'({ target, read }) {
    await TargetRun.complete(target, [rawBatch(values)])
    assert.deepEqual(await read(), values)
  },

  async 'values in objects arrive as they are'({ target, read }) {
    await TargetRun.complete(target, [objectBatch(values)])
    assert.deepEqual(await read(), values)
  },

  async 'raw rows and objects may alternate'({ target, read }) {
    const mixed = [objectBatch(recordsOf(1, 3)), rawBatch(recordsOf(4, 5)), objectBatch(recordsOf(6, 6))]
    await TargetRun.complete(target, mixed)
    assert.deepEqual(await read(), recordsOf(1, 6))
  },

  async 'a part of a batch arrives as that part'({ target, read }) {
    await TargetRun.complete(target, [rawBatch(recordsOf(1, 9)).slice(2, 5)])
    assert.deepEqual(await read(), recordsOf(3, 5))
  },

  async 'batches of one and of thousands arrive'({ target, read }) {
    await TargetRun.complete(target, [rawBatch(recordsOf(1, 1)), rawBatch(recordsOf(2, 5000))])
    assert.deepEqual(await read(), recordsOf(1, 5000))
  },

  async 'checkpoints during a run do not change the result'({ target, read }) {
    const run = await TargetRun.begin(target)
    await run.checkpoint()
    for (const batch of batches) {
      await run.write(batch)
      await run.checkpoint()
      await run.checkpoint()
    }
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

export const appendCases: Cases<TargetFixture> = {
  async 'a run that resumes adds its records'({ target, read }) {
    const first = await TargetRun.begin(target)
    for (const batch of batches) await first.write(batch)
    const checkpoint = await first.checkpoint()
    await first.commit()
    await TargetRun.complete(target, [...batches, rawBatch(recordsOf(21, 24))], checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 24))
  },

  async 'a run that resumes without records changes nothing'({ target, read }) {
    const first = await TargetRun.begin(target)
    for (const batch of batches) await first.write(batch)
    const checkpoint = await first.checkpoint()
    await first.commit()
    await TargetRun.complete(target, batches, checkpoint)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

export const replaceCases: Cases<TargetFixture> = {
  async 'no new record is visible before the commit'({ target, read }) {
    const run = await TargetRun.begin(target)
    for (const batch of batches) await run.write(batch)
    await run.checkpoint()
    assert.deepEqual(await read(), [])
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'a commit replaces the old records with the new ones'({ target, read }) {
    await TargetRun.complete(target, batches)
    await TargetRun.complete(target, [rawBatch(recordsOf(30, 33))])
    assert.deepEqual(await read(), recordsOf(30, 33))
  },

  async 'a run without records leaves no record'({ target, read }) {
    await TargetRun.complete(target, batches)
    await TargetRun.complete(target, [])
    assert.deepEqual(await read(), [])
  },

  async 'an abort keeps the old records'({ target, read }) {
    await TargetRun.complete(target, batches)
    const run = await TargetRun.begin(target)
    await run.write(rawBatch(recordsOf(30, 33)))
    await run.checkpoint()
    await run.write(rawBatch(recordsOf(34, 37)))
    await run.abort()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },

  async 'the old records are visible until a run that resumed after a crash commits'({ target, read }) {
    await TargetRun.complete(target, batches)
    const crashed = await TargetRun.begin(target)
    await crashed.write(rawBatch(recordsOf(30, 33)))
    const next = await TargetRun.begin(target, await crashed.checkpoint())
    assert.deepEqual(await read(), recordsOf(1, 20))
    await next.write(rawBatch(recordsOf(34, 37)))
    await next.checkpoint()
    assert.deepEqual(await read(), recordsOf(1, 20))
    await next.commit()
    assert.deepEqual(await read(), recordsOf(30, 37))
  },

  async 'the next commit has no records that a crash or an abort left'({ target, read }) {
    for (const stop of [async () => {}, (run: TargetRun) => run.abort()]) {
      const run = await TargetRun.begin(target)
      await run.write(rawBatch(recordsOf(30, 33)))
      await run.checkpoint()
      await stop(run)
    }
    assert.deepEqual(await read(), [])
    await TargetRun.complete(target, batches)
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

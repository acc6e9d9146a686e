import assert from 'node:assert/strict'
import type { Column } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { batches, recordsOf, type TargetFixture, TargetRun } from './fixture.js'

/** The columns of a `TargetRecord`, as a database describes them. */
const columns: readonly Column[] = [
  { name: 'id', type: 'integer', sqlType: 'int', precision: 9, system: 'suite', isNullable: false },
  { name: 'text', type: 'text', sqlType: 'text', system: 'suite' },
  { name: 'nested', type: 'json', sqlType: 'json', system: 'suite' },
]

async function createEmpty({ writer }: TargetRun): Promise<void> {
  assert.ok(writer.createEmpty, 'Expected a writer with `createEmpty`, or the reason in `unsupported`')
  await writer.createEmpty(columns)
}

/** Drops what the target writes to. */
async function drop({ drop, read }: TargetFixture): Promise<void> {
  assert.ok(drop, 'Expected `drop`, or the reason in `unsupported.createEmpty`')
  await drop()
  await assert.rejects(async () => read(), 'Expected `read` to throw after `drop`')
}

export const createEmptyCases: Cases<TargetFixture> = {
  async 'create empty: what is missing is there after the commit, without records'(fixture) {
    await drop(fixture)
    const run = await TargetRun.begin(fixture.target)
    await run.checkpoint()
    await createEmpty(run)
    await run.commit()
    assert.deepEqual(await fixture.read(), [])
  },

  async 'create empty: a later run writes its records'(fixture) {
    await drop(fixture)
    const run = await TargetRun.begin(fixture.target)
    await createEmpty(run)
    await run.commit()
    await TargetRun.complete(fixture.target, batches)
    assert.deepEqual(await fixture.read(), recordsOf(1, 20))
  },

  async 'create empty: a run that stops after it resumes'(fixture) {
    await drop(fixture)
    const run = await TargetRun.begin(fixture.target)
    await createEmpty(run)
    const checkpoint = await run.checkpoint()
    await run.abort()
    await TargetRun.complete(fixture.target, batches, checkpoint)
    assert.deepEqual(await fixture.read(), recordsOf(1, 20))
  },

  async 'create empty: removes no records'({ target, read }) {
    await TargetRun.complete(target, batches)
    const run = await TargetRun.begin(target)
    await createEmpty(run)
    assert.deepEqual(await read(), recordsOf(1, 20))
    await run.abort()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

export const appendEmptyCases: Cases<TargetFixture> = {
  async 'create empty: a run without records keeps those of earlier runs'({ target, read }) {
    await TargetRun.complete(target, batches)
    const run = await TargetRun.begin(target)
    await createEmpty(run)
    await run.commit()
    assert.deepEqual(await read(), recordsOf(1, 20))
  },
}

export const partitionEmptyCases: Cases<TargetFixture> = {
  async 'create empty: concurrent writers of partitions may all call it'(fixture) {
    await drop(fixture)
    const begin = (n: number) => TargetRun.begin(fixture.target, undefined, false, { partition: n })
    const runs = await Promise.all([begin(0), begin(1), begin(2)])
    await Promise.all(runs.map(createEmpty))
    await Promise.all(runs.map((run) => run.commit()))
    assert.deepEqual(await fixture.read(), [])
  },
}

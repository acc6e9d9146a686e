import { type IngestionJob, JobRegistry, type JobStatus, memoryStorage, type RecordBatch } from 'headgate'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { expect, onTestFinished, test } from 'vitest'

const records = [1, 2, 3, 4].map((id) => ({ id, at: `2026-01-0${id}` }))

/** A registry with an ingestion that has read the first two of its records, and another registry that does not define it. */
async function setup(job: Partial<IngestionJob> = {}) {
  const storage = memoryStorage()
  const registry = new JobRegistry({ storage })
  const other = new JobRegistry({ storage })
  onTestFinished(() => registry.close({ timeout: 0 }))
  onTestFinished(() => other.close({ timeout: 0 }))
  const read: unknown[] = []
  const target = (batch: RecordBatch) => void read.push(...batch.records().map(({ id }) => id))
  const datasource = testDatasource(records)
  registry.define({ id: 'a', datasource, target, maxRecords: 2, batchSize: 1, ...job } as IngestionJob)
  const run = () => registry.start('ingestion', 'a').then(({ finished }) => finished)
  const shown = async () => (await registry.status('ingestion', 'a'))?.checkpoint
  const reset = (checkpoint?: unknown) => registry.reset('ingestion', 'a', { checkpoint })
  if (!(job.query as string)?.includes('params'))
    expect((await run()) as unknown).toMatchObject({ state: 'successful', count: 2 })
  return { storage, registry, other, read, run, shown, reset }
}

const template = 'all {{#last_id}}after {{last_id}}{{/last_id}}'

test.each<[Partial<IngestionJob>, unknown]>([
  [{ cursor: 'id' }, { cursor: { id: '2' } }],
  [{ cursor: ['at', 'id'] }, { cursor: { at: '2026-01-02', id: '2' } }],
  [{ cursor: { columns: 'id', ties: 'drain' } }, { cursor: { id: '2' } }],
  [{ query: template, pkField: 'id' }, { lastId: '2' }],
])('a status of %j shows where the next run begins, and a reset takes it', async (job, expected) => {
  const { registry, run, shown, reset, read } = await setup(job)
  expect(await shown()).toEqual(expected)
  expect((await registry.jobs())[0]?.status?.checkpoint).toEqual(expected)
  expect((await registry.search()).hits[0]?.checkpoint).toEqual(expected)
  await reset()
  expect(await shown()).toBe(undefined)
  expect((await reset(expected))?.checkpoint).toEqual(expected)
  read.splice(0)
  await run()
  if (job.cursor) expect(read).toEqual([3, 4])
})

test('a registry that does not define the job shows it as stored, and a reset takes that too', async () => {
  const { storage, other, reset, run, read, shown } = await setup({ cursor: 'id' })
  const stored = (await storage.find('ingestion', 'a'))?.checkpoint
  const foreign = (await other.status('ingestion', 'a'))?.checkpoint
  expect(foreign).toEqual(stored)
  await reset()
  await reset(foreign)
  expect(await shown()).toEqual({ cursor: { id: '2' } })
  read.splice(0)
  await run()
  expect(read).toEqual([3, 4])
})

test('a position without a short form is shown as stored, and a reset takes it', async () => {
  const { storage, shown, reset, registry, run } = await setup({ cursor: 'id' })
  await reset()
  const cursor = { after: { columns: ['id'], ties: 'drain', values: ['2'] } }
  expect((await reset({ cursor }))?.checkpoint).toEqual({ cursor })
  expect((await storage.find('ingestion', 'a'))?.checkpoint).toMatchObject({ cursor })
  expect(await shown()).toEqual({ cursor })
  await registry.reset('ingestion', 'a', { checkpoint: await shown() })
  expect((await run()).count).toBe(2)
})

test.each<[string, unknown, Partial<IngestionJob>]>([
  ['a full refresh has yet to begin', { sequence: 1, refresh: true }, {}],
  ['ids were out of order', { sequence: 1, isUnordered: true }, {}],
  ['partitions are unfinished', { sequence: 1, scheme: { bounds: [] } }, {}],
  ['nothing was read', { sequence: 0 }, {}],
  ['the target replaces', { sequence: 1 }, { target: collectingTarget({ strategy: 'replace' }) }],
  ['the job starts over', { sequence: 1 }, { resume: 'restart' }],
])('a status shows no checkpoint when %s', async (_, stored, job) => {
  const { storage, registry } = await setup({ cursor: 'id', ...job })
  const find = storage.find.bind(storage)
  storage.find = async (...key) => {
    const record = await find(...key)
    const checkpoint = { origin: record?.executionId, cursor: { after: {} }, ...(stored as object) }
    return record && { ...record, checkpoint }
  }
  expect(await registry.status('ingestion', 'a')).not.toHaveProperty('checkpoint')
})

test('the parameters that select the records are part of it', async () => {
  const query = 'of {{params.customer}} {{#last_id}}after {{last_id}}{{/last_id}}'
  const { registry, reset } = await setup({ query, pkField: 'id' })
  await (await registry.start('ingestion', 'a', { params: { customer: 'acme' } })).finished
  const { checkpoint } = (await registry.status('ingestion', 'a')) as JobStatus
  expect(checkpoint).toEqual({ lastId: '2', params: { customer: 'acme' } })
  expect((await reset(checkpoint))?.checkpoint).toEqual(checkpoint)
})

test('a job of your own shows its checkpoint, and events do not', async () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close({ timeout: 0 }))
  const seen: JobStatus[] = []
  registry.on('status', ({ status }) => void seen.push(status))
  registry.define({ type: 'copy', id: 'a', run: ({ progress }) => progress({ count: 1, checkpoint: ['page', 2] }) })
  expect(await registry.reset('copy', 'a', { checkpoint: 5 })).toBe(undefined)
  const execution = await registry.start('copy', 'a')
  expect(execution.status.checkpoint).toBe(5)
  await execution.finished
  expect(execution.status.checkpoint).toEqual(['page', 2])
  expect((await registry.status('copy', 'a'))?.checkpoint).toEqual(['page', 2])
  expect(seen.some((status) => 'checkpoint' in status)).toBe(false)
})

const withParams: Partial<IngestionJob> = {
  cursor: 'id',
  query: 'all {{#params.customer}}of {{params.customer}}{{/params.customer}}',
}

test.each<[what: string, job: Partial<IngestionJob>]>([
  ['optional parameters', withParams],
  ['`selectedBy`', { ...withParams, selectedBy: ['customer'] }],
])('what a start without its %s shows is what a reset takes', async (_, job) => {
  const { storage, run, shown, reset, other } = await setup(job)
  await run()
  expect(await shown()).toEqual({ cursor: { id: '2' }, params: {} })
  const stored = (await other.status('ingestion', 'a'))?.checkpoint
  for (const checkpoint of [await shown(), stored]) {
    await reset()
    await reset(checkpoint)
    expect(await shown()).toEqual({ cursor: { id: '2' }, params: {} })
    expect((await storage.find('ingestion', 'a'))?.checkpoint).not.toHaveProperty('params')
  }
})

const number = (value: unknown) => ({ value: { customer: Number((value as { customer?: unknown }).customer ?? 7) } })
const same = (value: unknown) => ({ value: value as object })

test.each<
  [what: string, validate: (value: unknown) => { value: object }, given: object, startParams: object | undefined]
>([
  ['changes nothing', same, { customer: 7 }, undefined],
  ['makes a number of a text', number, { customer: '7' }, { customer: '7' }],
  ['has a default', number, {}, {}],
])('a checkpoint keeps the parameters of a start only when the schema changes them: one that %s', async (...given) => {
  const [, validate, params, startParams] = given
  const schema = { '~standard': { version: 1, vendor: 'test', validate } } as const
  const { storage, registry, shown, reset } = await setup({ ...withParams, params: schema as never })
  await (await registry.start('ingestion', 'a', { params: params as never })).finished
  const kept = async () =>
    (await storage.find('ingestion', 'a'))?.checkpoint as { params: object; startParams?: object }
  for (const again of [false, true]) {
    if (again) await reset(await shown())
    const { params: selected, startParams: started } = await kept()
    expect([selected, started]).toEqual([{ customer: 7 }, startParams])
    expect(await shown()).toEqual({ cursor: { id: '2' }, params })
  }
})

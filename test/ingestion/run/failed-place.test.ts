import {
  type IngestionJob,
  JobError,
  type JobRecord,
  JobRegistry,
  type Logger,
  memoryStorage,
  type Target,
} from 'headgate'
import type { TargetWriter } from 'headgate/adapter'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { expect, test } from 'vitest'

const people: JobRecord[] = Array.from({ length: 6 }, (_, n) => ({ id: n }))

/** The fields of the entries about failures that a job of two batches logs, and the place in the event. */
async function logged(job: Partial<IngestionJob>) {
  const entries: object[] = []
  const keep = (details: object) => {
    const { batch, recordIndex, phase } = details as Record<string, unknown>
    entries.push(JSON.parse(JSON.stringify({ batch, recordIndex, phase })))
  }
  const logger: Logger = { debug: () => {}, info: () => {}, warn: keep, error: keep }
  await using registry = new JobRegistry({ storage: memoryStorage(), logger })
  const causes: unknown[] = []
  registry.on('error', ({ cause }) => causes.push((cause as JobError).place))
  registry.define({ id: 'a', datasource: testDatasource(people), batchSize: 3, target: () => {}, ...job })
  await (await registry.start('ingestion', 'a')).finished
  return { entries, causes }
}

const isFour = ({ id }: JobRecord) => id === 4
const schema = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value: unknown) => (isFour(value as JobRecord) ? { issues: [{ message: 'is four' }] } : { value }),
  },
} as const
const failAtFour = (person: JobRecord) => {
  if (isFour(person)) throw new Error('is four')
  return person
}
/** A target that names the record that it refuses. */
const naming: IngestionJob['target'] = (batch) => {
  const recordIndex = batch.records().findIndex((record) => isFour(record as JobRecord))
  if (recordIndex >= 0) throw new JobError('target', 'is four', { recordIndex })
}
const refusing: IngestionJob['target'] = (batch) => {
  if (batch.records().some((record) => isFour(record as JobRecord))) throw new Error('is four')
}
const passing = {
  '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) },
} as const

/** A target that refuses a record only when it writes the next batch or flushes, when it flushes, or when it commits. */
function late(method: 'write' | 'flush' | 'commit', { isNamed = true } = {}): Target {
  let error: JobError | undefined
  const order = ['write', 'flush', 'commit']
  const fail = (called: string) => {
    if (error && order.indexOf(called) >= order.indexOf(method)) throw error
  }
  const writer: TargetWriter = {
    write: (batch, { idempotencyKey: batchKey }) => {
      const recordIndex = batch.records().findIndex(isFour)
      fail('write')
      const named = isNamed && { recordIndex, batchKey }
      if (recordIndex >= 0) error = new JobError('target', 'is four', { ...named })
    },
    flush: async () => fail('flush'),
    commit: async () => fail('commit'),
  }
  return { kind: 'late', open: () => ({ writer }) }
}
const withoutThree = (person: JobRecord) => (person.id === 3 ? null : person)

test.each<[what: string, job: Partial<IngestionJob>, place: object]>([
  ['a schema', { schema: schema as never }, { batch: 1, recordIndex: 1, phase: 'schema' }],
  ['a transform', { transform: failAtFour }, { batch: 1, recordIndex: 1, phase: 'transform' }],
  ['a target', { target: naming }, { batch: 1, recordIndex: 1, phase: 'target' }],
  [
    'a target behind a transform that drops records',
    { target: naming, transform: withoutThree },
    { batch: 1, recordIndex: 1, phase: 'target' },
  ],
  ['a function that names no record', { target: refusing }, { batch: 1, phase: 'target' }],
  [
    'a target that writes batches together and names no record',
    { target: collectingTarget({ failAt: 2 }) },
    { phase: 'target' },
  ],
  [
    'a target that refuses a record of an earlier batch',
    { target: late('write'), batchSize: 1 },
    { batch: 4, recordIndex: 0, phase: 'target' },
  ],
  [
    'one behind a transform',
    { target: late('write'), batchSize: 3, schema: passing as never, transform: withoutThree },
    { batch: 1, recordIndex: 1, phase: 'target' },
  ],
  ['a flush', { target: late('flush') }, { batch: 1, recordIndex: 1, phase: 'target' }],
  ['a commit', { target: late('commit') }, { batch: 1, recordIndex: 1, phase: 'target' }],
  ['a flush that names no record', { target: late('flush', { isNamed: false }) }, { phase: 'target' }],
  [
    'a transform of batches',
    { transformBatch: (batch) => batch.records().map(failAtFour) },
    { batch: 1, phase: 'transform' },
  ],
  [
    'records that exceed the budget',
    { transform: failAtFour, failures: { total: 0 }, target: collectingTarget() },
    { batch: 1, recordIndex: 1, phase: 'transform' },
  ],
])('the entry of a job that fails by %s names the record in its fields', async (_, job, place) => {
  expect(await logged(job)).toEqual({ entries: [place], causes: [place] })
})

test('so do the entries of records that are dropped, and of tries', async () => {
  const refuses = ({ id }: JobRecord) => id === 1 || id === 5
  const dropped = await logged({ target: collectingTarget({ refuses }), failures: { total: 2 } })
  expect(dropped.entries).toEqual([
    { batch: 0, recordIndex: 1, phase: 'target' },
    { batch: 1, recordIndex: 2, phase: 'target' },
  ])
  const target = collectingTarget({
    failAt: 2,
    once: true,
    error: new JobError('target', 'away', { isTransient: true }),
  })
  const tried = await logged({ target, retry: { limit: 1, delay: 1 } })
  expect(tried).toEqual({ entries: [{ phase: 'target' }], causes: [] })
})

test('a read that fails names no record', async () => {
  const failing = testDatasource(people, { failAfter: 3 })
  expect(await logged({ datasource: failing })).toEqual({ entries: [{}], causes: [undefined] })
})

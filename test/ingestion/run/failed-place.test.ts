import {
  type DeadLetter,
  type IngestionJob,
  JobError,
  type JobRecord,
  JobRegistry,
  type Logger,
  memoryStorage,
  type Target,
} from 'headgate'
import type { RecordBatch, TargetWriter } from 'headgate/adapter'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

const people: JobRecord[] = Array.from({ length: 6 }, (_, n) => ({ id: n }))

/** The fields of the entries about failures that a job of two batches logs, the place in the event, and the messages of the status. */
async function logged(job: Partial<IngestionJob>) {
  const entries: object[] = []
  const keep = (details: object) => {
    const { batch, recordIndex, phase } = details as Record<string, unknown>
    entries.push(JSON.parse(JSON.stringify({ batch, recordIndex, phase })))
  }
  const logger: Logger = { debug: () => {}, info: () => {}, warn: keep, error: keep }
  await using registry = new JobRegistry({ storage: memoryStorage(), logger, progressInterval: 60_000 })
  const causes: unknown[] = []
  registry.on('error', ({ cause }) => causes.push((cause as JobError).place))
  registry.define({ id: 'a', datasource: testDatasource(people), batchSize: 3, target: () => {}, ...job })
  const status = await (await registry.start('ingestion', 'a')).finished
  return { entries, causes, error: status.state === 'error' ? status.error : [] }
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

const theRecord = 'Batch 1, record 5 of this run.'
const theBatch = 'Batch 1, records 4 to 6 of this run.'

test.each<[what: string, job: Partial<IngestionJob>, place: object, text: string]>([
  ['a schema', { schema: schema as never }, { batch: 1, recordIndex: 1, phase: 'schema' }, theRecord],
  ['a transform', { transform: failAtFour }, { batch: 1, recordIndex: 1, phase: 'transform' }, theRecord],
  ['a target', { target: naming }, { batch: 1, recordIndex: 1, phase: 'target' }, theRecord],
  [
    'a target behind a transform that drops records',
    { target: naming, transform: withoutThree },
    { batch: 1, recordIndex: 1, phase: 'target' },
    theRecord,
  ],
  ['a function that names no record', { target: refusing }, { batch: 1, phase: 'target' }, theBatch],
  [
    'a target that writes batches together and names no record',
    { target: collectingTarget({ failAt: 2 }) },
    { phase: 'target' },
    'Records 1 to 6 of this run.',
  ],
  [
    'a target that refuses a record of an earlier batch',
    { target: late('write'), batchSize: 1 },
    { batch: 4, recordIndex: 0, phase: 'target' },
    'Batch 4, record 5 of this run.',
  ],
  [
    'one behind a transform',
    { target: late('write'), batchSize: 3, schema: passing as never, transform: withoutThree },
    { batch: 1, recordIndex: 1, phase: 'target' },
    theRecord,
  ],
  ['a flush', { target: late('flush') }, { batch: 1, recordIndex: 1, phase: 'target' }, theRecord],
  ['a commit', { target: late('commit') }, { batch: 1, recordIndex: 1, phase: 'target' }, theRecord],
  [
    'a flush that names no record',
    { target: late('flush', { isNamed: false }) },
    { phase: 'target' },
    'Records 1 to 6 of this run.',
  ],
  [
    'a transform of batches',
    { transformBatch: (batch) => batch.records().map(failAtFour) },
    { batch: 1, phase: 'transform' },
    theBatch,
  ],
])('the entry and the messages of a job that fails by %s name the record', async (_, job, place, text) => {
  const { error, ...others } = await logged(job)
  expect(others).toEqual({ entries: [place], causes: [{ ...place, text }] })
  // The last message says the reason.
  expect(error.slice(-2)).toEqual([text, expect.stringMatching(/is four|failed on demand/)])
})

test('those of one that fails because too many records do name it once', async () => {
  const place = { batch: 1, recordIndex: 1, phase: 'transform' }
  const failures = { total: 0 }
  expect(await logged({ transform: failAtFour, failures, target: collectingTarget() })).toEqual({
    entries: [place],
    causes: [place],
    error: [expect.stringMatching(/^Too many/), 'The transform failed.', theRecord, 'is four'],
  })
})

test('a commit that fails names no records that were durable before', async () => {
  const { causes } = await logged({ target: collectingTarget({ failCommit: true }), batchSize: 6 })
  expect(causes).toEqual([{ phase: 'target' }])
})

test('a large number has commas, and records count from 1 in every run', async () => {
  const many = Array.from({ length: 2500 }, (_, n) => ({ id: n + 1 }))
  const target: IngestionJob['target'] = (batch) => {
    const recordIndex = batch.records().findIndex((record) => (record as JobRecord).id === 2345)
    if (recordIndex >= 0) throw new JobError('target', 'no', { recordIndex })
  }
  await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
  registry.define({ id: 'a', datasource: testDatasource(many), cursor: 'id', target })
  const run = async () => (await registry.start('ingestion', 'a')).finished
  expect(await run()).toMatchObject({
    error: [expect.any(String), 'Batch 2, record 2,345 of this run (id 2345).', 'no'],
  })
  expect(await run()).toMatchObject({ error: [expect.any(String), 'Batch 2, record 345 of this run (id 2345).', 'no'] })
})

describe('the key of the record', () => {
  /** The text of the place when a job refuses the record at index 1 of the second batch. */
  async function placeOf(records: JobRecord[], pkField: string, job: Partial<IngestionJob> = {}): Promise<unknown> {
    const target: IngestionJob['target'] = (batch) => {
      if (batch.length === 2) throw new JobError('target', 'no', { recordIndex: 1 })
    }
    const { causes } = await logged({ datasource: testDatasource(records), pkField, target, ...job })
    return (causes[0] as { text: string }).text
  }
  const ending = (last: unknown, name = 'id') => [1, 2, 3, 4, last].map((value) => ({ [name]: value }))

  test.each([
    ['a text', 'ab c', 'id ab c'],
    ['a date', new Date(0), 'id 1970-01-01T00:00:00.000Z'],
    ['a big integer', 2n ** 64n, 'id 18446744073709551616'],
    ['a long text', 'x'.repeat(300), `id ${'x'.repeat(100)}…`],
    ['a text with a secret', 'postgres://user:abcdefg@host/db', 'id postgres://user:***@host/db'],
    ['a text that moves the cursor of a terminal', 'a\u001b[2Jb', 'id a\\u001b[2Jb'],
  ])('is shown: %s', async (_, last, key) => {
    expect(await placeOf(ending(last), 'id')).toBe(`Batch 1, record 5 of this run (${key}).`)
  })

  test('is hidden when its name is that of a secret', async () => {
    expect(await placeOf(ending('hush', 'token'), 'token')).toBe('Batch 1, record 5 of this run (token ***).')
  })

  test('is left out when the record has none', async () => {
    expect(await placeOf(ending(null), 'id')).toBe(theRecord)
  })

  test('is as it was read, before the transform', async () => {
    const transform = (record: JobRecord) => Object.assign(record, { id: 'changed' })
    expect(await placeOf(ending(5), 'id', { transform })).toBe('Batch 1, record 5 of this run (id 5).')
  })

  test('is known of a batch that was written before, unless it is long ago', async () => {
    const texts = async (length: number) => {
      const records = Array.from({ length }, (_, id) => ({ id }))
      const { causes } = await logged({ datasource: testDatasource(records), pkField: 'id', target: late('flush') })
      return (causes[0] as { text: string }).text
    }
    expect(await texts(600)).toBe('Batch 1, record 5 of this run (id 4).')
    expect(await texts(21_000)).toBe('Batch 1, record 5 of this run.')
  })

  test('is in a dead letter only by the record, and in the entry of a record that is dropped', async () => {
    const refuseAll = () => {
      throw new Error('no')
    }
    const letters: DeadLetter[] = []
    const entries: { error?: string[] }[] = []
    const logger = { debug() {}, info() {}, warn: (entry: object) => entries.push(entry), error() {} }
    await using registry = new JobRegistry({ storage: memoryStorage(), logger })
    const job = { datasource: testDatasource([{ id: 7 }]), pkField: 'id', target: refuseAll }
    const deadLetters = (batch: RecordBatch<DeadLetter>) => void letters.push(...batch.records())
    registry.define({ id: 'a', ...job, failures: { deadLetters } })
    registry.define({ id: 'b', ...job, failures: { total: 1 } })
    for (const id of ['a', 'b']) await (await registry.start('ingestion', id)).finished
    const [failed, reason] = ['Could not write to target [function].', 'no']
    expect(letters.map(({ error }) => error)).toEqual([[failed, reason]])
    expect(entries.map(({ error }) => error)).toEqual([[failed, 'Batch 0, record 1 of this run (id 7).', reason]])
  })
})

test('a partition that fails says that the records are those of its run', async () => {
  const target: IngestionJob['target'] = (batch) => {
    if (batch.records().some((record) => (record as JobRecord).id === 4)) throw new Error('is four')
  }
  const { error } = await logged({ cursor: 'id', partitions: [3], batchSize: 2, target })
  expect(error).toContain('Batch 0, records 1 to 2 of this run of the partition.')
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
  expect(tried).toEqual({ entries: [{ phase: 'target' }], causes: [], error: [] })
})

test('a read that fails names no record', async () => {
  const failing = testDatasource(people, { failAfter: 3 })
  expect(await logged({ datasource: failing })).toMatchObject({ entries: [{}], causes: [undefined] })
})

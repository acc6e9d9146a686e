import {
  type DeadLetter,
  type FailurePolicy,
  type IngestionDetail,
  type IngestionJob,
  JobRegistry,
  type JobStatus,
  memoryStorage,
} from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { fakeClock, testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describedHandler } from '../../http/described-handler.js'
import { people, resumable } from '../people.js'

interface ShownStatus {
  readonly detail: { readonly progress: IngestionDetail }
}

const failuresIn = (status: JobStatus | undefined) => (status?.detail as IngestionDetail | undefined)?.latestFailures

/** A function target that refuses a batch with one of those ids. */
const refusing = (isBad: (id: number) => boolean) => (batch: RecordBatch) => {
  const bad = batch.records().find(({ id }) => isBad(Number(id)))
  if (bad) throw new Error(`${bad.id} is not wanted, password=hunter22`, { cause: new RangeError('too bad') })
}

describe('the last failed records in the status', () => {
  const clock = fakeClock()
  let registry: JobRegistry

  beforeEach(() => {
    registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
  })
  afterEach(() => registry.close())

  const run = async (job: Omit<IngestionJob, 'id'>) => {
    registry.define({ id: 'people', ...job })
    return (await registry.start('ingestion', 'people')).finished
  }
  const runOver = (records: object[], failures: FailurePolicy) =>
    run({ datasource: iterableDatasource(() => records as never), target: refusing(() => true), failures })

  it('have the key of their dead letter, the time, the phase and the redacted causes', async () => {
    const letters: DeadLetter[] = []
    const deadLetters = (batch: RecordBatch<DeadLetter>) => void letters.push(...batch.records())
    const target = refusing((id) => id === 3)
    const status = await run({ datasource: testDatasource(people(1, 5)), target, failures: { deadLetters } })
    const [{ key, time, phase }] = letters as [DeadLetter]
    expect(phase).toBe('target')
    expect(failuresIn(status)).toEqual([
      { key, time, phase, error: [expect.any(String), '3 is not wanted, password=***', 'too bad'] },
    ])
  })

  it('are absent when none failed', async () => {
    const status = await run({ datasource: testDatasource(people(1, 5)), target: () => {}, failures: { total: 9 } })
    expect(status.detail).toEqual({ read: 5, written: 5, failed: 0, skipped: 0, ...rest(status) })
    expect(status.detail).not.toHaveProperty('latestFailures')
  })
  const rest = ({ detail }: JobStatus) => {
    const { attempt, rowsPerSecond, split } = detail as IngestionDetail
    return { attempt, split, ...(rowsPerSecond !== undefined && { rowsPerSecond }) }
  }

  it('are the last ten, newest last, over all batches', async () => {
    const target = refusing((id) => id % 2 === 0)
    const failures = { total: 99, showRecords: true }
    const status = await run({ datasource: testDatasource(people(1, 50)), batchSize: 15, target, failures })
    expect(status.detail).toMatchObject({ failed: 25 })
    expect(failuresIn(status)?.map(({ record }) => record?.id)).toEqual([32, 34, 36, 38, 40, 42, 44, 46, 48, 50])
  })

  it('stay over a retry of the execution, and go with the next execution', async () => {
    const error = Object.assign(new Error('away'), { code: 'ECONNRESET' })
    const datasource = testDatasource(
      ({ values }) => people(1, 40).filter(({ id }) => values.length === 0 || Number(id) > Number(values[0])),
      { failAfter: 20, error, once: true },
    )
    const failures = { total: 2, showRecords: true }
    const target = refusing((id) => id === 7 || id === 33)
    registry.define({ id: 'people', ...resumable, datasource, batchSize: 10, target, resume: 'auto', failures })
    const { finished } = await registry.start('ingestion', 'people')
    await clock.advance(60_000)
    expect(failuresIn(await finished)?.map(({ record }) => record?.id)).toEqual([7, 33])
    const next = await (await registry.start('ingestion', 'people')).finished
    expect([next.state, failuresIn(next)]).toEqual(['successful', undefined])
  })

  it('show their data only with `showRecords`, redacted and bounded', async () => {
    const circular: Record<string, unknown> = {}
    circular.self = circular
    const hostile = {
      id: 1n,
      password: 'hunter22',
      url: 'postgres://ann:hunter22@db/shop',
      nul: '\0\ud800',
      bytes: new Uint8Array(3),
      at: new Date(Number.NaN),
      circular,
      get broken() {
        throw new Error('no')
      },
      long: 'x'.repeat(1_000_000),
      ...Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`f${n}`, 'y'.repeat(100)])),
    }
    const [failure] = failuresIn(await runOver([hostile], { total: 1, showRecords: true })) ?? []
    const text = JSON.stringify(failure?.record)
    expect(text.length).toBeLessThan(2100)
    expect(text).not.toContain('hunter22')
    expect(failure?.record).toMatchObject({
      ...{ id: '1', password: '***', url: 'postgres://ann:***@db/shop', nul: '\\u0000\\ud800', bytes: '3 bytes' },
      ...{ long: `${'x'.repeat(200)}…`, '…': expect.stringMatching(/^\d{3} more are left out\.$/) },
    })
  })

  it('fit into the detail of an HTTP answer, whatever they are', async () => {
    const cause = Array.from({ length: 8 }).reduce<Error>(
      (inner, _, n) => new Error(`${n} ${'\u0001z'.repeat(500)}`, { cause: inner }),
      new Error('the reason'),
    )
    const target = () => {
      throw cause
    }
    const records = Array.from({ length: 12 }, (_, id) => ({
      id,
      text: '\u0001"'.repeat(5000),
      more: 'y'.repeat(5000),
    }))
    const datasource = iterableDatasource(() => records)
    const status = await run({ datasource, target, failures: { total: 99, showRecords: true } })
    const failures = failuresIn(status)
    expect(failures?.map(({ error }) => [error.length, error.at(-1)])).toEqual(Array(10).fill([5, expect.any(String)]))
    expect(JSON.stringify(failures).length).toBeLessThan(60_000)
    const url = 'http://localhost/_siren/connector/jobs/ingestion/people?detail=true'
    const answer = (await (await describedHandler(registry)(new Request(url))).json()) as { status: ShownStatus }
    expect(answer.status.detail.progress.latestFailures).toHaveLength(10)
  })

  it('refuse a `showRecords` that is no flag', () => {
    const failures = { showRecords: 'yes' as never }
    expect(() => registry.define({ id: 'a', datasource: testDatasource([]), target: () => {}, failures })).toThrow(
      /`failures\.showRecords`/,
    )
  })
})

describe('the failed records of partitions', () => {
  it('are listed together, by time', async () => {
    const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0, concurrency: 2 })
    const key = (bound: string | undefined, otherwise: number) => (bound === undefined ? otherwise : Number(bound))
    registry.define({
      id: 'people',
      datasource: iterableDatasource(({ range = {} }) =>
        people(1, 300).filter(({ id }) => Number(id) >= key(range.from, 0) && Number(id) < key(range.until, 999)),
      ),
      partitions: ['100', '200'],
      target: refusing((id) => id % 50 === 0),
      failures: { total: 99, showRecords: true },
    })
    const status = await (await registry.start('ingestion', 'people')).finished
    const failures = failuresIn(status) ?? []
    expect(failures.map(({ record }) => Number(record?.id)).sort((a, b) => a - b)).toEqual([
      50, 100, 150, 200, 250, 300,
    ])
    const times = failures.map(({ time }) => time)
    expect(times).toEqual([...times].sort())
    await registry.close()
  })
})

import { errorMessages, type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import type { ReadCursor } from 'headgate/adapter'
import { iterableDatasource, type Records } from 'headgate/iterable'
import { collectingTarget } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

const query = { text: '', values: [] }
const { signal } = new AbortController()
const cursor: ReadCursor = {
  columns: ['id'],
  nulls: 'fail',
  ties: 'refuse',
  lookback: 0,
  consistency: 'statement',
  position: undefined,
  limit: Number.POSITIVE_INFINITY,
  parallel: 1,
  onNullsSkipped: () => undefined,
}

async function idsOf(records: JobRecord[], given: Partial<ReadCursor>): Promise<unknown[]> {
  const { readByCursor } = iterableDatasource(records)
  const ids: unknown[] = []
  const options = { signal, batchSize: 2, cursor: { ...cursor, ...given } }
  for await (const { batch } of readByCursor?.(query, options) ?? []) ids.push(...batch.valuesOf('id'))
  return ids
}

/** Runs a job by a cursor over `source` once more, with each call. */
function job(source: Records | (() => Records), options: Partial<IngestionJob> = {}) {
  const target = collectingTarget()
  const registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'a', datasource: iterableDatasource(source), cursor: 'id', batchSize: 2, target, ...options })
  const run = async (start?: { fullRefresh?: boolean }) =>
    (await registry.start('ingestion', 'a', start ?? {})).finished
  return { run, registry, target }
}

const countTo = (count: number) => Array.from({ length: count }, (_, index) => ({ id: index + 1 }))

describe('a job by a cursor over an array', () => {
  test('looks back, by the milliseconds of a date', async () => {
    const at = (second: number) => new Date(second * 1000)
    const records = [1, 2, 3].map((id) => ({ id, at: at(id) }))
    const { run, target } = job(() => records, { cursor: { columns: ['at', 'id'], lookback: 1500 } })
    expect(await run()).toMatchObject({ state: 'successful', count: 3 })
    records.push({ id: 0, at: at(2.5) }, { id: 4, at: at(4) })
    expect(await run()).toMatchObject({ state: 'successful' })
    expect(target.records.map(({ id }) => id)).toEqual([1, 2, 3, 2, 0, 3, 4])
  })

  test.each([
    ['as the Postgres datasource gives them', (text: string) => text],
    ['without a zone', (text: string) => text.slice(0, -1)],
    ['as Postgres writes them', (text: string) => `${text.slice(0, -1).replace('T', ' ')}+00`],
    ['with an offset', (text: string) => `${text.slice(0, -1)}+05:30`],
  ])('looks back, by the milliseconds of texts of times %s', async (_, textOf) => {
    const at = (second: number) =>
      textOf(new Date(second * 1000).toISOString().replace(/\.?0*Z$/, (zeros) => (zeros === '000Z' ? zeros : 'Z')))
    const records = [1, 2, 3].map((id) => ({ id, at: at(id) }))
    const { run, target } = job(() => records, { cursor: { columns: ['at', 'id'], lookback: 1500 } })
    expect(await run()).toMatchObject({ state: 'successful', count: 3 })
    records.push({ id: 0, at: at(2.5) }, { id: 4, at: at(4) })
    expect(await run()).toMatchObject({ state: 'successful' })
    expect(target.records.map(({ id }) => id).slice(0, 3)).toEqual([1, 2, 3])
    expect(
      target.records
        .map(({ id }) => id)
        .slice(3)
        .sort(),
    ).toEqual([0, 2, 3, 4])
  })

  test('knows its total, also where it resumes', async () => {
    const records = countTo(5)
    const { run } = job(() => records, { total: 'count' })
    expect((await run()).detail).toMatchObject({ total: 5 })
    records.push(...countTo(8).slice(5))
    expect((await run()).detail).toMatchObject({ total: 3 })
  })

  test('begins where a reset says', async () => {
    const { run, registry } = job(countTo(5))
    await registry.reset('ingestion', 'a', { checkpoint: { cursor: { id: 3 } } })
    expect(await run()).toMatchObject({ state: 'successful', count: 2, lastId: '5' })
  })

  test.each(['1e400', 'banana', '', true])('refuses a reset to %j for a column of numbers', async (id) => {
    const { run, registry } = job(countTo(5))
    await expect(registry.reset('ingestion', 'a', { checkpoint: { cursor: { id } } })).rejects.toMatchObject({
      code: 'invalid_options',
      message: expect.stringContaining('Expected `checkpoint.cursor.id` to be the text of a number, got '),
    })
    expect(await run()).toMatchObject({ state: 'successful', count: 5 })
  })

  test('reads its partitions from the array as it was when it was split', async () => {
    const records = countTo(10)
    const { run, target } = job(() => [...records], {
      partitions: 2,
      transform: (record) => {
        if (records.length === 10) records.push({ id: 0 }, { id: 11 })
        return record
      },
    })
    expect(await run()).toMatchObject({ state: 'successful', count: 10, detail: { consistency: 'snapshot' } })
    expect(target.records).toHaveLength(10)
  })
})

describe('records that have no order', () => {
  test.each<[string, JobRecord[], string]>([
    ['a number and a text', [{ id: 1 }, { id: '2' }], 'to be a number in every record, got a text.'],
    ['a date and a number', [{ id: new Date(0) }, { id: 1 }], 'to be a date in every record, got a number.'],
    ['an object', [{ id: {} }], 'to be a number, a text, a boolean or a date in every record, got an object.'],
    ['an array', [{ id: [1] }], 'in every record, got an array.'],
    ['not a number', [{ id: Number.NaN }], 'in every record, got NaN.'],
    ['an invalid date', [{ id: new Date(Number.NaN) }], 'in every record, got an invalid date.'],
  ])('%s', async (_, records, message) => {
    await expect(idsOf(records, {})).rejects.toThrow(message)
  })

  test('a record without the column has null there', async () => {
    const records = [{ id: 2, at: 1 }, { id: 1 }]
    expect(await idsOf(records, { columns: ['at', 'id'], nulls: 'first' })).toEqual([1, 2])
    await expect(idsOf(records, { columns: ['at', 'id'] })).rejects.toThrow(
      /^A record has null in the cursor column `at`, .* `nulls: 'first'`/,
    )
  })

  test.each(['b', '2024-13-01', '2024', 'infinity'])('lookback in the text `%s`, also in the first run', async (id) => {
    const time = { id: '2024-01-01' }
    const position = { after: { columns: ['id'], values: ['2024-01-01'], ties: 'refuse' } }
    for (const given of [{}, { position }])
      await expect(idsOf([time, { id }], { ...given, lookback: 5 })).rejects.toThrow(
        'with `lookback` to be a number, a date or a text of a time in ISO 8601, got `id`, which is a text.',
      )
  })

  test('lookback before a text that is no time', async () => {
    const position = { after: { columns: ['id'], values: ['a'], ties: 'refuse' } }
    await expect(idsOf([{ id: '2024-01-01' }], { position, lookback: 5 })).rejects.toThrow(
      'The checkpoint has no time for the cursor column `id`, whose records have one',
    )
  })
})

describe('a source that cannot be sorted', () => {
  async function* stream() {
    yield { id: 1 }
  }
  test.each([
    ['a stream', stream()],
    ['a generator function', stream],
    ['a set', new Set([{ id: 1 }])],
  ])('%s fails the job, and says what is expected', async (_, source) => {
    const { run } = job(source as () => Records)
    const { error } = (await run()) as { error?: readonly string[] }
    expect(errorMessages({ message: String(error) })[0]).toContain(
      'Expected `source` to be an array, or a function that returns one, in a job with a `cursor`, got ',
    )
  })
})

describe('a position that no read has returned', () => {
  const after = { columns: ['id'], values: ['2'], ties: 'refuse' }
  test.each<[string, unknown, string]>([
    ['no object', 5, 'Expected `cursor` to be an object, got `5` (number)'],
    ['nothing', {}, 'Expected `cursor.after` to be an object'],
    ['values that are no texts', { after: { ...after, values: [2] } }, 'Expected `cursor.after.values` to be an array'],
    ['a value of another kind', { after: { ...after, values: ['x'] } }, 'has no number for the cursor column `id`'],
    ['ranges of no order', { ranges: [{ until: '3' }, { until: '2' }, {}] }, 'to be in the ranges'],
    ['a range without an end', { ranges: [{}, {}] }, 'Expected `cursor.ranges[0].until` to be the text of a value'],
    ['an order that is none', { after, order: [5] }, 'Expected `cursor.order` to be an array of objects'],
    ['an order of another kind', { after, order: [{ type: 'text' }] }, 'held a text at the time of the checkpoint'],
    ['another cursor', { after: { ...after, columns: ['at'] } }, 'The checkpoint belongs to the cursor `at`'],
  ])('%s', async (_, position, message) => {
    await expect(idsOf(countTo(3), { position })).rejects.toThrow(message)
  })

  test('one outside of the range of its partition', async () => {
    const range = { from: '1', until: '2' }
    await expect(idsOf(countTo(3), { position: { after }, range })).rejects.toThrow('was damaged')
  })
})

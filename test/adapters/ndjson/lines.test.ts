import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Datasource, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { pgQueryStreamDatasource } from 'headgate/pg-query-stream'
import { postgresDatasource } from 'headgate/postgres'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-ndjson-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** The lines that a job writes. */
async function linesOf(datasource: Datasource, query?: string) {
  const path = join(folder, 'out.ndjson')
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'lines', datasource, ...(query && { query }), target: ndjsonFile({ path, maxShrink: 1 }) })
  const status = await (await registry.start('ingestion', 'lines')).finished
  return { status, lines: status.state === 'successful' ? (await readFile(path, 'utf8')).split('\n').slice(0, -1) : [] }
}

const lineOf = async (record: JobRecord) => (await linesOf(iterableDatasource([record]))).lines[0]

describe('a record becomes the JSON that JSON.stringify makes of it', () => {
  test('whatever JSON has in it', async () => {
    const anything = fc.anything({ withDate: true, withNullPrototype: true, withSparseArray: true, maxDepth: 4 })
    const records = fc.sample(fc.dictionary(fc.string(), anything), 2000)
    const inJson = (_: string, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value)
        ? String(value)
        : typeof value === 'bigint'
          ? `${value}`
          : value
    const isOdd = (record: JobRecord) => /"__proto__"|null/.test(JSON.stringify(record, inJson))
    const plain = records.filter((record) => !isOdd(record))
    const { lines } = await linesOf(iterableDatasource(plain))
    expect(lines).toEqual(plain.map((record) => JSON.stringify(record, inJson)))
  })

  test('also when it is nested deeper than the stack is', async () => {
    for (const depth of [1000, 2000, 4000, 100_000]) {
      let nested: unknown = 1
      for (let level = 0; level < depth; level++) nested = level % 2 ? [nested] : { a: nested }
      const opened = depth / 2
      expect(await lineOf({ nested })).toBe(`{"nested":${'[{"a":'.repeat(opened)}1${'}]'.repeat(opened)}}`)
    }
  })

  test.each([
    ['an object of the class Map', new Map([[1, 2]])],
    ['an object of the class Set', new Set([1])],
    ['an object of the class Promise', Promise.resolve(1)],
    ['an object of the class ArrayBuffer', new ArrayBuffer(1)],
    ['an object of the class Float64Array', new Float64Array(1)],
    ['a function', () => 1],
    ['a symbol', Symbol('a')],
  ])('but what JSON shows nothing of is refused, with its property: %s', async (got, value) => {
    for (const [path, record] of [
      ['value', { value }],
      ['deep[1].value', { a: { b: 1 }, deep: [1, { value }] }],
      ['list[0]', { list: [value] }],
    ] as const) {
      const { status } = await linesOf(iterableDatasource<JobRecord>([record]))
      const message = `The property \`${path}\` cannot be written. Expected a value that JSON can hold, got ${got}.`
      expect(status).toMatchObject({ error: expect.arrayContaining([message]) })
    }
  })

  test('but an invalid date is refused, with its property', async () => {
    const { status } = await linesOf(iterableDatasource([{ a: { at: new Date(Number.NaN) } }]))
    const message = 'The property `a.at` cannot be written. Expected a date, got one that is invalid.'
    expect(status).toMatchObject({ error: expect.arrayContaining([message]) })
  })

  test('but what throws is refused, with its property', async () => {
    const fail = () => {
      throw new Error('away')
    }
    const { status } = await linesOf(iterableDatasource([{ a: [{ toJSON: fail }] }]))
    expect(status).toMatchObject({ error: expect.arrayContaining(['The property `a[0]` cannot be written.', 'away']) })
  })

  test('also when one value is in several places', async () => {
    const shared = { list: [1] }
    expect(await lineOf({ a: shared, b: [shared, shared], c: { d: shared } })).toBe(
      '{"a":{"list":[1]},"b":[{"list":[1]},{"list":[1]}],"c":{"d":{"list":[1]}}}',
    )
  })
})

test.each([
  ['in itself', (record: JobRecord) => record],
  ['in a list of its own', (record: JobRecord) => [record]],
  ['deep down', (record: JobRecord) => ({ a: [{ b: record }] })],
])('a record that is %s is refused', async (_, inner) => {
  const record: JobRecord = { id: 1 }
  record.self = inner(record)
  const { status } = await linesOf(iterableDatasource([record]))
  expect(status).toMatchObject({
    state: 'error',
    error: expect.arrayContaining([expect.stringContaining('circular reference')]),
  })
})

test.each([
  ['a text', { toJSON: () => 'text' }, '"text"'],
  ['a list', { toJSON: () => [{ id: 1 }] }, '[{"id":1}]'],
  ['nothing', { toJSON: () => undefined }, 'nothing'],
])('a record that JSON shows as %s is refused', async (_, record, shown) => {
  const { status } = await linesOf(iterableDatasource([record as unknown as JobRecord]))
  const message = `Expected a record that JSON writes as an object, got ${shown}.`
  expect(status).toMatchObject({ state: 'error', error: expect.arrayContaining([message]) })
})

describePostgres('an array of JSON', (database) => {
  test.each(['json', 'jsonb'])('%s[] is JSON in its line, to the letter', async (type) => {
    const datasource = postgresDatasource({ connectionString: database.url })
    const values = [`'{"big":12345678901234567890}'`, `'"text"'`, `'[1,null]'`, 'null', `'null'`].map(
      (it) => `${it}::${type}`,
    )
    const query = `select array[${values}] as list, array[[${values.slice(0, 2)}],[${values.slice(1, 3)}]] as table, null::${type}[] as nothing,
      '{}'::${type}[] as none`
    const { lines } = await linesOf(datasource, query)
    expect(lines.map((line) => line.replaceAll(/(?<=[:,]) /g, ''))).toEqual([
      '{"list":[{"big":12345678901234567890},"text",[1,null],null,null],"table":[[{"big":12345678901234567890},"text"],["text",[1,null]]],"nothing":null,"none":[]}',
    ])
  })

  test('is what the parsers of pg make of it', async () => {
    const datasource = pgQueryStreamDatasource({ connectionString: database.url })
    const { lines } = await linesOf(datasource, `select array['"1"'::json, '{"a": 1}'] as list`)
    expect(lines).toEqual(['{"list":["1",{"a":1}]}'])
  })
})

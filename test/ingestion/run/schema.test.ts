import {
  type DeadLetter,
  type IngestionJob,
  JobRegistry,
  memoryStorage,
  type StandardSchema,
  type Target,
} from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from 'vitest'

interface Person {
  id: number
  name: string
}

const people = [
  { id: '1', name: 'Ada' },
  { id: 'two', name: 'Bob' },
  { id: '3', name: 7 },
  { id: '4', name: 'Dan' },
]

/** A schema with a function, as a library has it. */
function schemaOf(validate: StandardSchema<unknown, Person>['~standard']['validate']): StandardSchema<unknown, Person> {
  return { '~standard': { version: 1, vendor: 'test', validate } }
}

const person = schemaOf((value) => {
  const { id, name } = value as { id: unknown; name: unknown }
  if (Number.isNaN(Number(id))) return { issues: [{ message: 'expected number', path: ['id'] }] }
  if (typeof name !== 'string') return { issues: [{ message: 'expected string', path: ['name'] }] }
  return { value: { id: Number(id), name } }
})

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

describe('an ingestion with a schema', () => {
  let registry: JobRegistry
  let letters: DeadLetter[]

  beforeEach(() => {
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
    letters = []
  })
  afterEach(() => registry.close())

  const deadLetters = (batch: RecordBatch<DeadLetter>) => letters.push(...batch.records())
  async function run<Item extends object, Out extends object = Item>(
    job: Omit<IngestionJob<Item, Out>, 'id' | 'datasource'>,
  ) {
    registry.define({ id: 'a', datasource: testDatasource(people), ...job } as IngestionJob<Item, Out>)
    return (await registry.start('ingestion', 'a')).finished
  }

  it('types the records for the transform and the target, and passes on the valid values', async () => {
    const target = collectingTarget<{ key: string }>()
    registry.define({
      id: 'a',
      datasource: testDatasource(people.slice(0, 1)),
      schema: person,
      transform: (record) => {
        expectTypeOf(record).toEqualTypeOf<Person>()
        return { key: `${record.id.toFixed(1)} ${record.name}` }
      },
      target,
    })
    registry.define({
      id: 'b',
      datasource: testDatasource(people.slice(0, 1)),
      schema: person,
      target: (batch) => {
        expectTypeOf(batch.records()).toEqualTypeOf<Person[]>()
      },
    })
    expect(await (await registry.start('ingestion', 'a')).finished).toMatchObject({ state: 'successful' })
    expect(target.records).toEqual([{ key: '1.0 Ada' }])
  })

  it('fails with the first record that is not valid, and names its place', async () => {
    const target = collectingTarget()
    const status = await run({ schema: person, target })
    expect(status).toMatchObject({
      state: 'error',
      error: ['Batch 0, record 2 of this run.', expect.stringMatching(/does not match the schema: `id`: /)],
    })
    expect(target.records).toEqual([])
  })

  it.each([
    ['each record', { transform: ({ id, name }: Person) => ({ id, name }) }],
    ['each batch', { transformBatch: (batch: RecordBatch<Person>) => batch.records() }],
    ['nothing', {}],
  ])('sets records aside that are not valid, with a transform of %s', async (_, job) => {
    const target = collectingTarget()
    const status = await run<Person>({ schema: person, ...job, target, failures: { deadLetters } })
    expect(status.detail).toMatchObject({ read: 4, written: 2, failed: 2, skipped: 0 })
    expect(target.records).toEqual([
      { id: 1, name: 'Ada' },
      { id: 4, name: 'Dan' },
    ])
    expect(letters.map(({ phase, record }) => [phase, record])).toEqual([
      ['schema', people[1]],
      ['schema', people[2]],
    ])
    expect(letters[1]?.error[0]).toMatch(/^The record does not match the schema: `name`: .*expected string.*\.$/)
  })

  it('sets aside what the schema, the transform and the target refuse, in order', async () => {
    const target = collectingTarget({ refuses: ({ id }) => id === 4 })
    const transform = (record: Person) => {
      if (record.id === 1) throw new Error('no Ada')
      return record
    }
    const status = await run<Person>({ schema: person, transform, target, failures: { deadLetters } })
    expect(status.detail).toMatchObject({ read: 4, written: 0, failed: 4, skipped: 0 })
    expect(letters.map(({ phase, record }) => [phase, record.id])).toEqual([
      ['transform', '1'],
      ['schema', 'two'],
      ['schema', '3'],
      ['target', '4'],
    ])
  })

  it('counts towards the budget', async () => {
    const status = await run({ schema: person, target: collectingTarget(), failures: { deadLetters, total: 1 } })
    expect(status).toMatchObject({ state: 'error', detail: { read: 2, written: 1, failed: 1 } })
    expect(letters).toHaveLength(1)
  })

  it('may be async, a function, and refuse by paths of any form', async () => {
    const issues = [
      { message: 'no number', path: [{ key: 'tags' }, 0, 'id'] },
      ...['b', 'c', 'd', 'e', 'f'].map((message) => ({ message })),
    ]
    const schema = schemaOf(async (value) => {
      const { id, name } = value as { id: string; name: string }
      if (id === '4') throw new Error('no answer')
      return id === '1' ? { value: { id: 1, name } } : { issues }
    })
    const target = collectingTarget()
    await run({ schema: Object.assign(() => undefined, schema), target, failures: { deadLetters } })
    expect(target.records).toEqual([{ id: 1, name: 'Ada' }])
    expect(letters.map(({ error }) => error)).toEqual([
      ['The record does not match the schema: `tags[0].id`: no number; b; c; d; e; and 1 more.'],
      ['The record does not match the schema: `tags[0].id`: no number; b; c; d; e; and 1 more.'],
      ['The schema threw.', 'no answer'],
    ])
  })

  it('must return objects', async () => {
    const schema = schemaOf(() => ({ value: 'text' as never }))
    const status = await run({ schema, target: collectingTarget() })
    expect(status).toMatchObject({
      error: ['Batch 0, record 1 of this run.', 'Expected the schema to return an object, got a string.'],
    })
  })

  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'got nothing'],
    ['null', null, 'got null'],
    ['an array', [], 'got an array'],
    ['an object with neither', {}, 'got a value of type object'],
    ['issues that are no array', { issues: 'bad' }, 'got a value of type object'],
    ['an issue that is null', { issues: [null] }, 'got a value of type object'],
    ['a revoked proxy', revoked(), 'got a value of type object'],
  ])('must answer with a value or issues: %s', async (_, answer, got) => {
    const status = await run({ schema: schemaOf(() => answer as never), target: collectingTarget() })
    const expected = 'an object with `value`, or with `issues`, an array of objects with `message`'
    expect(status).toMatchObject({
      error: ['Batch 0, record 1 of this run.', `Expected validate() of the schema to return ${expected}, ${got}.`],
    })
    registry.define({ type: 'own', id: 'given', params: schemaOf(() => answer as never), run: () => {} })
    await expect(registry.start('own', 'given', { params: {} })).rejects.toThrow(`${expected}, ${got}`)
  })

  it.each([[{}], [() => undefined], [{ '~standard': { version: 2, validate() {} } }]])('must be one: %o', (schema) => {
    const job = { id: 'b', datasource: testDatasource([]), target: collectingTarget(), schema: schema as never }
    expect(() => registry.define(job)).toThrow('Expected `schema` to be a schema that implements Standard Schema')
  })
})

describe('an idempotent target', () => {
  it('may have `failures`, and name several bad records at once', async () => {
    const table = new Map<unknown, object>()
    const calls: number[] = []
    /** Writes until the first bad record, but knows all of them. */
    const target: Target = {
      kind: 'upsert',
      capabilities: { writesIdempotently: true },
      open: () => ({
        writer: {
          async write(batch) {
            calls.push(batch.length)
            const bad = batch.records().flatMap(({ bad }, index) => (bad ? [index] : []))
            for (const record of batch.records().slice(0, bad[0])) table.set(record.id, record)
            if (bad.length > 0) throw Object.assign(new Error('no'), { recordIndexes: [...bad, 99, -1, bad[0]] })
          },
        },
      }),
    }
    const records = Array.from({ length: 20 }, (_, id) => ({ id, bad: [3, 4, 17].includes(id) }))
    const letters: DeadLetter[] = []
    await using registry = new JobRegistry({ storage: memoryStorage() })
    const deadLetters = (batch: RecordBatch<DeadLetter>) => letters.push(...batch.records())
    registry.define({ id: 'a', datasource: testDatasource(records), target, failures: { deadLetters } })
    const { detail } = await (await registry.start('ingestion', 'a')).finished
    expect(detail).toMatchObject({ read: 20, written: 17, failed: 3 })
    expect(letters.map(({ record }) => record.id)).toEqual([3, 4, 17])
    expect([...table.keys()]).toEqual(records.flatMap(({ id, bad }) => (bad ? [] : [id])))
    expect(calls).toEqual([20, 3, 1, 1, 12, 1, 2])
  })
})

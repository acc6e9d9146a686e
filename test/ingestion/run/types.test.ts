import {
  type DeadLetter,
  type IngestionJob,
  type JobParams,
  JobRegistry,
  memoryStorage,
  type Query,
  type QueryFunction,
  type RecordBatch,
  type StandardSchema,
  type Target,
  type TargetFunction,
} from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresTarget } from 'headgate/postgres'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { expect, expectTypeOf, it } from 'vitest'

interface Person {
  name: string
}
interface Row {
  upper: string
}

const datasource = iterableDatasource([])
const rows: Target<Row> = { kind: 'rows', open: () => ({ writer: { write: () => {} } }) }

it('a datasource in memory takes the records of an interface and of a class', () => {
  class Order {
    readonly id = 1
  }
  const people: readonly Person[] = [{ name: 'Ann' }]
  const orders = [new Order()]
  for (const make of [testDatasource, iterableDatasource]) {
    make(people)
    make(orders)
    make([{ id: 1 }])
    make(() => people)
  }
  testDatasource({ columns: [{ name: 'id', type: 'integer' }], rows: [[1]] })
  // @ts-expect-error a number is no record
  expect(() => testDatasource([1])).toThrow('Expected `records` to be an array of objects')
})

it('a target takes what the transform gives', () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  registry.define<Person, Row>({
    id: 'a',
    datasource,
    transform: ({ name }) => ({ upper: name }),
    target: (batch) => {
      expectTypeOf(batch.records()).toEqualTypeOf<Row[]>()
    },
  })
  registry.define({ id: 'b', datasource, transform: ({ name }: Person) => ({ upper: name }), target: rows })
  registry.define({ id: 'c', datasource, transform: ({ name }: Person) => [{ upper: name }], target: rows })
  registry.define({ id: 'd', datasource, transform: async () => null, target: rows })
  registry.define<Person>({
    id: 'e',
    datasource,
    target: (batch) => {
      expectTypeOf(batch.records()).toEqualTypeOf<Person[]>()
    },
  })
  // @ts-expect-error The transform gives no `upper`.
  registry.define({ id: 'f', datasource, transform: ({ name }: Person) => ({ lower: name }), target: rows })
  // @ts-expect-error The batch has no `upper`.
  registry.define({ id: 'g', datasource, transformBatch: () => [{ lower: 'a' }], target: rows })
  const job: IngestionJob<Person, Row> = {
    id: 'h',
    datasource,
    // @ts-expect-error A record as it was read is none that the target takes.
    transform: (person) => person,
    target: rows,
  }
  registry.define(job)
})

it('records declared by an interface go to every target', () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const targets = {
    file: ndjsonFile({ path: 'people.ndjson' }),
    table: postgresTarget({ connectionString: 'postgres://localhost/none', table: 'people' }),
    collected: collectingTarget(),
  }
  for (const [id, target] of Object.entries(targets)) {
    registry.define<Person>({ id: `${id}-read`, datasource, target })
    registry.define<Person, Row>({ id, datasource, transform: ({ name }) => ({ upper: name }), target })
  }
  const transform = ({ name }: Person): Row => ({ upper: name })
  registry.define({ id: 'a', datasource, transform, target: targets.file })
  registry.define({ id: 'b', datasource, transform, target: targets.table })
  registry.define({ id: 'c', datasource, transform, target: targets.collected })
  registry.define({ id: 'd', datasource, transform, target: ndjsonFile({ path: 'people.ndjson' }) })
  registry.define({ id: 'e', datasource, transform, target: collectingTarget() })
  registry.define({ id: 'f', datasource, transform, target: collectingTarget<Row>() })
  registry.define({ id: 'g', datasource, target: targets.file, failures: { deadLetters: targets.table } })
  registry.define({
    id: 'h',
    datasource,
    target: targets.table,
    failures: { deadLetters: collectingTarget<DeadLetter>() },
  })
  registry.define({ id: 'i', datasource: iterableDatasource<Person>([]), target: targets.collected })
})

it('a transform returns a record, several, or `null`', () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const target = () => {}
  registry.define<Person>({ id: 'a', datasource, transform: () => [], target })
  registry.define<Person>({ id: 'b', datasource, transform: (person) => (person.name === '' ? null : person), target })
  const rename = (person: Person) => {
    person.name = ''
  }
  // @ts-expect-error The function returns nothing.
  registry.define({ id: 'c', datasource, transform: rename, target })
  // @ts-expect-error The function returns nothing.
  registry.define<Person>({ id: 'd', datasource, transform: async (person) => rename(person), target })
  // @ts-expect-error The function may return `undefined`.
  registry.define<Person>({ id: 'e', datasource, transform: (p) => (p.name === '' ? undefined : p), target })
})

it('a function target is typed by what the transform gives', () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({
    id: 'a',
    datasource,
    transform: ({ name }: Person) => ({ upper: name }),
    target: (batch) => {
      expectTypeOf(batch.records()).toEqualTypeOf<{ upper: string }[]>()
    },
  })
  registry.define({
    id: 'b',
    datasource,
    transform: async ({ name }: Person) => (name === '' ? null : [{ upper: name }]),
    target: (batch) => {
      expectTypeOf(batch.records()).toEqualTypeOf<{ upper: string }[]>()
    },
  })
  registry.define({
    id: 'c',
    datasource,
    transformBatch: () => [{ lower: 'a' }],
    target: (batch) => {
      expectTypeOf(batch.records()).toEqualTypeOf<{ lower: string }[]>()
    },
  })
})

it('a function target gives anything that can be awaited', () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const query: PromiseLike<{ rowCount: number }> = Promise.resolve({ rowCount: 1 })
  registry.define({ id: 'a', datasource, target: () => query })
  registry.define({ id: 'b', datasource, target: async () => [1, 2] })
  registry.define({ id: 'c', datasource, target: (batch) => batch.length })
  const written: unknown[] = []
  registry.define({ id: 'd', datasource, target: (batch) => written.push(...batch.records()) })
})

it('a job names a datasource of its registry', () => {
  const registry = new JobRegistry({ storage: memoryStorage(), datasources: { pg: datasource, shop: datasource } })
  const target = () => undefined
  registry.define({ id: 'a', datasource: 'pg', target })
  registry.define({ id: 'b', datasource, target })
  registry.define<Person>({ id: 'c', datasource: 'shop', target })
  // @ts-expect-error There is none of that name.
  expect(() => registry.define({ id: 'd', datasource: 'pgg', target })).toThrow('`datasource`')
  // @ts-expect-error There is none of that name.
  expect(() => registry.define<Person>({ id: 'e', datasource: 'pgg', target })).toThrow('`datasource`')
  const job: IngestionJob = { id: 'f', datasource: 'pg', target }
  registry.define(job)
  const any: JobRegistry = registry
  any.define({ id: 'g', datasource: 'pg', target })
})

it('the types of what functions of a job receive are exported', () => {
  expectTypeOf<Parameters<NonNullable<IngestionJob<Person>['transformBatch']>>[0]>().toEqualTypeOf<
    RecordBatch<Person>
  >()
  expectTypeOf<Parameters<TargetFunction<Person>>[0]>().toEqualTypeOf<RecordBatch<Person>>()
  expectTypeOf<ReturnType<QueryFunction>>().toEqualTypeOf<Query>()
})

it('a target that takes other records than the schema returns needs a transform', () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const schema = schemaOf<Person>()
  const optional: Target<{ name: string; upper?: string }> = { kind: 'rows', open: rows.open as never }
  registry.define({ id: 'a', datasource, schema, target: collectingTarget() })
  registry.define({ id: 'b', datasource, schema, target: collectingTarget<Person>() })
  registry.define({ id: 'c', datasource, schema, target: optional })
  registry.define({ id: 'd', datasource, schema, target: (batch: RecordBatch<Person>) => batch.length })
  registry.define({ id: 'e', datasource, schema, target: (batch) => batch.records()[0]?.name })
  registry.define({ id: 'f', datasource, target: rows })
  registry.define({ id: 'g', datasource, target: (batch: RecordBatch<Row>) => batch.length })
  registry.define({ id: 'h', datasource, schema, transform: ({ name }) => ({ upper: name }), target: rows })
  registry.define({ id: 'i', datasource, schema: schemaOf<{ name: string; upper?: string }>(), target: optional })
  // @ts-expect-error The schema gives no `upper`.
  registry.define({ id: 'j', datasource, schema, target: rows })
  // @ts-expect-error The schema gives no `upper`.
  registry.define({ id: 'k', datasource, schema, target: (batch: RecordBatch<Row>) => batch.length })
  // @ts-expect-error A person is no row.
  registry.define<Person, Row>({ id: 'l', datasource, target: rows })
  // @ts-expect-error A person is no row.
  const job: IngestionJob<Person, Row> = { id: 'm', datasource, target: rows }
  registry.define(job)
})

it('parameters have the type of their schema', () => {
  interface Params {
    customer: string
  }
  const registry = new JobRegistry({ storage: memoryStorage() })
  const params = schemaOf<Params>()
  registry.define({
    id: 'a',
    datasource: testDatasource([]),
    pkField: 'id',
    params,
    query: (variables) => {
      expectTypeOf(variables.params).toEqualTypeOf<Params>()
      return { text: '', values: [] }
    },
    transform: (record: Person, context) => {
      expectTypeOf(context.params).toEqualTypeOf<Params>()
      return record
    },
    target: (_, context) => {
      expectTypeOf(context.params).toEqualTypeOf<Params>()
    },
  })
  registry.define({
    id: 'b',
    datasource,
    params,
    transformBatch: (batch, context) => {
      expectTypeOf(context.params).toEqualTypeOf<Params>()
      return batch.records()
    },
    target: collectingTarget(),
  })
  registry.define({ id: 'c', datasource, params, selectedBy: ['customer'], target: collectingTarget() })
  // @ts-expect-error The schema gives no `custmer`.
  registry.define({ id: 'd', datasource, params, selectedBy: ['custmer'], target: collectingTarget() })
  registry.define({
    id: 'e',
    datasource,
    // Without a schema, a name has no type.
    selectedBy: ['customer'],
    target: (_, context) => expectTypeOf(context.params).toEqualTypeOf<JobParams>(),
  })
})

function schemaOf<Output>(): StandardSchema<unknown, Output> {
  return { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as Output }) } }
}

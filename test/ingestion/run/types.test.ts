import { type IngestionJob, JobRegistry, memoryStorage, type Target } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { expectTypeOf, it } from 'vitest'

interface Person {
  name: string
}
interface Row {
  upper: string
}

const datasource = iterableDatasource([])
const rows: Target<Row> = { kind: 'rows', open: () => ({ writer: { write: () => {} } }) }

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

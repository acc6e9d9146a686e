import type { JobRecord } from 'headgate'
import { type TestDatasource, testDatasource } from 'headgate/testing'

/** Records with the ids from `from` to `to`. */
export const people = (from: number, to: number): JobRecord[] =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ id: from + index, name: `person ${from + index}` }))

/** A datasource that reads as `where id > {{last_id}} order by id` would. */
export const afterLastId = (all: readonly JobRecord[]): TestDatasource =>
  testDatasource(({ values }) => all.filter(({ id }) => values.length === 0 || Number(id) > Number(values[0])))

/** What a job says that goes on by `last_id`. */
export const resumable = { pkField: 'id', query: 'all {{#last_id}}after {{last_id}}{{/last_id}}' }

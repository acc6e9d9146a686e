import { JobError, quotedNames } from '../../../adapter.js'

/** The error for a column whose text does not identify its values. */
export function typeFailure(name: string): JobError {
  return new JobError(
    'datasource',
    `Expected the cursor column ${quotedNames([name])} to be a number, a date, a time, a text, a uuid, a boolean or bytes, where equal values have equal text: cast it in the query, or use another column.`,
  )
}

/** The error for a position in several ranges where one is expected. */
export function splitFailure(): JobError {
  return new JobError(
    'datasource',
    'The checkpoint is of an interrupted run with `parallel`: run the job once to its end with `parallel` before you set `partitions`.',
  )
}

/** The error for a record with null in a cursor column. */
export function nullFailure(name: string, isFirst: boolean): JobError {
  const first = isFirst ? "read them before all others with `nulls: 'first'`, " : ''
  return new JobError(
    'datasource',
    `A record has null in the cursor column ${quotedNames([name])}, so it has no position in the order. Skip such records with \`nulls: 'skip'\`, ${first}or replace null in the query, for example with \`coalesce\`.`,
  )
}

/** The error for tables that are refilled whenever reading starts. */
export function staleFailure(tries: number): JobError {
  return new JobError(
    'datasource',
    `Other transactions emptied or rewrote the tables of the query each of the ${tries} times that reading started.`,
    { isTransient: true },
  )
}

import { JobError, quotedNames } from '../../../adapter.js'

/** The error for several readers of one cursor. */
export function parallelFailure(): JobError {
  return new JobError(
    'invalid_options',
    'Expected `parallel` to be omitted, as connections of SQLite share no snapshot: use `partitions`, which read several ranges, each as of its own moment.',
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

/** The error for a first column that is not of numbers. */
export function divisionFailure(name: string): JobError {
  return new JobError(
    'datasource',
    `Expected the first column of a cursor with \`partitions\` to have numbers only, ${quotedNames([name])} has other values: give the values at which partitions begin.`,
  )
}

/** The error for a first column without a distance between its values. */
export function lookbackFailure(name: string): JobError {
  return new JobError(
    'datasource',
    `Expected the first column of a cursor with \`lookback\` to be a number, or a text such as 2024-01-02 or 2024-01-02 03:04:05.678, ${quotedNames([name])} is neither.`,
  )
}

/** The error for a page without the record that it ends with, as a query gives whose results are random. */
export function vanishedFailure(): JobError {
  return new JobError(
    'datasource',
    'A page has none of its records when it is read: expected a query that gives the same records in one transaction.',
  )
}

/** The error for columns that differ from those of the first page. */
export function changedFailure(): JobError {
  return new JobError(
    'datasource',
    'The columns of the query have changed while it was read. The next run resumes with the new columns.',
    { isTransient: true },
  )
}

/** The error for a damaged checkpoint, with the remedy. */
export function damaged(message: string, options?: ErrorOptions): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint was damaged. ${message}: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
    options,
  )
}

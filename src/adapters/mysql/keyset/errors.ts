import { JobError, quotedNames } from '../../../adapter.js'

/** The error for a column whose text does not identify its values. */
export function typeFailure(name: string): JobError {
  return new JobError(
    'datasource',
    `Expected the cursor column ${quotedNames([name])} to be a number, a date, a time, a uuid, bytes, or a text whose collation ends in \`_bin\`, where equal values have equal text: write \`${name} collate utf8mb4_bin as ${name}\` or a cast in the query, or use another column.`,
  )
}

/** The error for several readers of one cursor. */
export function parallelFailure(): JobError {
  return new JobError(
    'invalid_options',
    'Expected `parallel` to be omitted, as connections of MySQL share no snapshot: use `partitions`, which read several ranges, each as of its own moment.',
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

/** The error for a first column without values between its values. */
export function divisionFailure(column: string, type: string): JobError {
  return new JobError(
    'datasource',
    `Expected the first column of a cursor with \`partitions\` to be a number, a date or a timestamp, got \`${column}\` of the type ${type}.`,
  )
}

/** The error for a page without the record that it ends with, as a query gives whose results are random. */
export function vanishedFailure(): JobError {
  return new JobError(
    'datasource',
    'A page has none of its records when it is read: expected a query that gives the same records in one transaction.',
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

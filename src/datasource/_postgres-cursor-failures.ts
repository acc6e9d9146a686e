import { JobError } from '../index.js'
import { list } from './_postgres-position.js'

/** Of a column whose values cannot be told apart by their text. */
export function typeFailure(name: string): JobError {
  return new JobError(
    'datasource',
    `Expected the cursor column ${list([name])} to be a number, a date, a time, a text, a uuid, a boolean or bytes, where the same value has the same text: cast it in the query, or compare by another column.`,
  )
}

/** Of a position in several ranges, where one is wanted. */
export function splitFailure(): JobError {
  return new JobError(
    'datasource',
    'The checkpoint is one of a run with `parallel` that was cut short: run the job once to its end with `parallel` before it is cut into parts.',
  )
}

/** Of a record that has no place in the order. */
export function nullFailure(name: string, isFirst: boolean): JobError {
  const first = isFirst ? "read them before all others with `nulls: 'first'`, " : ''
  return new JobError(
    'datasource',
    `A record has null in the cursor column ${list([name])}, so that it has no place in the order. Leave such records out with \`nulls: 'skip'\`, ${first}or make a value of it in the query, as with \`coalesce\`.`,
  )
}

/** Of tables that others fill anew whenever reading begins. */
export function staleFailure(tries: number): JobError {
  return new JobError(
    'datasource',
    `The tables of the query were emptied or rewritten by other transactions, each of ${tries} times that reading began.`,
    { isTransient: true },
  )
}

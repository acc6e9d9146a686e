import { JobError } from '../../../adapter.js'
import type { LineField } from './line-field.js'

/** Throws `target` for a null that the server would store as the current time, or that no key finds again. */
export function checkNull(name: string, { refusesNull, sqlType }: LineField['kind'], key: readonly string[]): void {
  if (key.includes(name))
    throw new JobError('target', 'Expected a value, got null: a unique key does not find the row of a null again.')
  if (refusesNull)
    throw new JobError(
      'target',
      `Expected a value for \`${sqlType} not null\`, got null, which would become the current time.`,
    )
}

/** The error of a record whose `insert` is longer than the server takes. `load data` has no such limit. */
export function tooLong(maxStatement: number, recordIndex: number): JobError {
  return new JobError(
    'target',
    `Expected a record whose \`insert\` has up to ${maxStatement} bytes, got a longer one: raise \`max_allowed_packet\` of the server.`,
    { recordIndex },
  )
}

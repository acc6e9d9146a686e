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

/** The error of a record that no statement can hold. */
export function tooLong(maxLine: number, recordIndex: number): JobError {
  return new JobError(
    'target',
    `Expected a record of up to ${maxLine} bytes, got a longer one: raise \`max_allowed_packet\` of the server.`,
    { recordIndex },
  )
}

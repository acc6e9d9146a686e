import { JobError } from '../../../adapter.js'

/** The error for columns that changed after reading began. */
export function changedFailure(what: string): JobError {
  return new JobError(
    'datasource',
    `The columns of the query have changed while it was read: ${what}. The next run resumes with the new columns.`,
    { isTransient: true },
  )
}

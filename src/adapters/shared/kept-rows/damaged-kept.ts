import { JobError } from '../../../adapter.js'

/** The error for a field of what the target adds to a checkpoint. */
export function damagedKept(field: string, expected: string): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint in the target was damaged. Expected \`${field}\` to be ${expected}: call \`reset\`, or delete the row of the job in the checkpoint table.`,
  )
}

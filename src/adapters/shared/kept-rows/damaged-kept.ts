import { JobError } from '../../../adapter.js'

/** The error for a field of what the target adds to a checkpoint. */
export function damagedKept(field: string, expected: string): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint in the target was damaged. Expected \`${field}\` to be ${expected}: call \`reset\`, or delete the row of the job in the checkpoint table.`,
  )
}

/** The checkpoint in a text of the target's table. Throws `checkpoint` for one that was cut short or changed. `other` is the job that it belongs to, if not the own one. */
export function parseKept(text: unknown, other?: { readonly type: unknown; readonly id: unknown }): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    // What is wrong with the text would quote it.
    const of = other ? ` of job [${other.type}/${other.id}]` : ''
    const wayOut = other
      ? 'reset that job, or delete its row in the checkpoint table'
      : 'call `reset`, or delete the row of the job in the checkpoint table'
    throw new JobError(
      'checkpoint',
      `The checkpoint${of} in the target was damaged. Expected it to be JSON: ${wayOut}.`,
    )
  }
}

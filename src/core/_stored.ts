import { JobError } from './errors.js'

/** What storage answers; what it throws becomes a `JobError` with the code `storage`. */
export async function stored<Answer>(asked: Promise<Answer>): Promise<Answer> {
  try {
    return await asked
  } catch (error) {
    if (JobError.isInstance(error)) throw error
    throw new JobError('storage', 'The storage could not answer.', { cause: error })
  }
}

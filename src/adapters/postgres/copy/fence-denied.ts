import { JobError } from '../../../adapter.js'
import { dollarQuoted, type WriteSession } from '../client/index.js'

/** A table of checkpoints and its schema, as SQL. */
interface Checkpoints {
  readonly checkpoints: string
  readonly schema: string
}

/** Says which grant the role lacks: the error of the server names the schema only. */
async function deniedError(
  cause: unknown,
  session: WriteSession,
  { checkpoints, schema }: Checkpoints,
): Promise<JobError> {
  const exists = `select to_regclass(${dollarQuoted(checkpoints)}) is not null as exists`
  // A role that may not use the schema cannot look for the table either.
  const [found] = await session.inquire(exists).catch(() => [])
  const [action, grants] =
    found?.exists === true
      ? ['read and write', '`select, insert, update, delete` on the table']
      : found
        ? ['create', `\`create\` on the schema ${schema}, or create the table beforehand`]
        : ['find', `\`usage\` on the schema ${schema}`]
  const message = `The role may not ${action} ${checkpoints}, which holds the checkpoints of jobs: grant it ${grants}.`
  return new JobError('target', message, { cause })
}

/** The SQLSTATE for a role that lacks a privilege. */
const denied = '42501'

/** Does some work with the rows of a fence. The error for a privilege that the role lacks says which. */
export async function orDenied<Answer>(
  session: WriteSession,
  fence: Checkpoints,
  work: () => Promise<Answer>,
): Promise<Answer> {
  try {
    return await work()
  } catch (error) {
    throw Object(error).code === denied ? await deniedError(error, session, fence) : error
  }
}

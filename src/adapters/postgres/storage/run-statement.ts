import { JobError } from '../../../adapter.js'
import {
  cancelUntilIdle,
  connectionFailure,
  failure,
  isConnectionLost,
  isReadOnly,
  type PostgresClient,
  type PostgresPool,
  passing,
  resultTypes,
  take,
  terminateStatement,
} from '../client/index.js'
import type { Run } from './database.js'

type Result = Awaited<ReturnType<Run>>

/** How long the server may take to cancel a late statement, in milliseconds. */
const cancelTimeout = 1000

/**
 * Runs each statement on a connection of the pool, within `timeout` milliseconds. A late statement is cancelled and
 * its connection closed, because a dead connection would keep its slot in the pool.
 */
export function runOn(pool: PostgresPool, timeout: number): Run {
  return async ({ isLong, ...statement }) => {
    const client = await take(pool).catch((error) => {
      throw connectionFailure('storage', error, 'Could not reach Postgres')
    })
    const answer = isLong ? runLong(client, statement.text) : runOnce(client, statement)
    try {
      const result = await (isLong ? answer : withinTime(answer, timeout))
      client.release()
      return result
    } catch (error) {
      if (error instanceof LateError) void stop(pool, client, answer, statement.text)
      else client.release(isConnectionLost(error))
      return throwMarked(error)
    }
  }
}

/** Throws an error of pg that only its message shows to be transient as one that says so, and that of a read-only session with a hint. */
function throwMarked(error: unknown): never {
  if (isReadOnly(error)) throw failure('storage', 'Could not write', error)
  throw passing(error).isTransient ? failure('storage', 'Could not reach Postgres', error) : error
}

async function runOnce(client: PostgresClient, statement: object): Promise<Result> {
  return client.query({ ...statement, types: resultTypes(client) }) as Promise<Result>
}

/** Runs a statement without values in a transaction of its own, without the limits of time that the role has. */
async function runLong(client: PostgresClient, text: string): Promise<Result> {
  const lifted = `set local statement_timeout to 0; set local lock_timeout to 0`
  return [await client.query({ text: `${lifted}; ${text}`, types: resultTypes(client) })].flat().at(-1) as Result
}

class LateError extends JobError {}

function withinTime(answer: Promise<Result>, timeout: number): Promise<Result> {
  return new Promise((resolve, reject) => {
    const late = () =>
      reject(new LateError('storage', `Postgres did not answer within ${timeout} ms.`, { isTransient: true }))
    const timer = setTimeout(late, timeout)
    // The connection keeps the process alive, not this timer.
    timer.unref()
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Stops a late statement on the server, and closes its connection. Never rejects. */
async function stop(
  pool: PostgresPool,
  client: PostgresClient,
  answer: Promise<Result>,
  statement: string,
): Promise<void> {
  let [isAccepted, isIdle] = [false, false]
  const idle = answer.catch(ignore).then(() => {
    isIdle = true
  })
  await cancelUntilIdle('storage', client, idle, cancelTimeout, () => {
    isAccepted = true
  })
  client.release(true)
  // A trigger may swallow the cancellation. The statement would run on, as it does not notice that its connection is closed.
  if (isAccepted && !isIdle) await terminateStatement(pool, client, statement, cancelTimeout)
}

function ignore(): void {}

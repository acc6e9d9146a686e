import { JobError } from '../index.js'
import { cancelOnServer } from '../postgres/cancel.js'
import { isConnectionLost } from '../postgres/errors.js'
import { type PostgresClient, type PostgresPool, take } from '../postgres/pool.js'
import type { Run } from './_postgres-database.js'

type Result = Awaited<ReturnType<Run>>

/** How long the server may take to accept a cancel request, in milliseconds. */
const grace = 1000

/**
 * Runs each statement on a connection of the pool, within `timeout` milliseconds. A statement that takes longer is cancelled and
 * its connection is closed: a connection that is dead and does not know would keep its place in the pool.
 */
export function runOn(pool: PostgresPool, timeout: number): Run {
  return async ({ isLong, ...statement }) => {
    const client = await take(pool)
    let isSound = true
    try {
      const answer = client.query(statement) as Promise<Result>
      return await (isLong ? answer : withinTime(answer, client, timeout))
    } catch (error) {
      isSound = !isConnectionLost(error) && !(error instanceof LateError)
      throw error
    } finally {
      client.release(!isSound)
    }
  }
}

class LateError extends JobError {}

function withinTime(answer: Promise<Result>, client: PostgresClient, timeout: number): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new LateError('storage', `Postgres gave no answer within ${timeout} ms.`, { isTransient: true }))
      cancelOnServer('storage', client, grace).catch(ignore)
    }, timeout)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

function ignore(): void {}

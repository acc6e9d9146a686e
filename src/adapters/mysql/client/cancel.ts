import { type JobErrorCode, succeedsWithin, systemClock } from '../../../adapter.js'
import type { MysqlConnection } from './driver.js'
import { runBeside } from './side-connection.js'

/** How long the server may take to become idle before the request is repeated, in milliseconds. */
const pause = 50

/**
 * Stops the statements of a connection by `kill query` from a second one, until the server is idle. A request that arrives before its
 * statement may do nothing, and another statement may follow. `idle` settles when the server has answered. Never rejects; stops after
 * `timeout` milliseconds. Resolves with whether no request is left that could stop a later statement.
 */
export async function cancelUntilIdle(
  code: JobErrorCode,
  connection: MysqlConnection,
  id: string,
  idle: Promise<unknown>,
  timeout: number,
): Promise<boolean> {
  const deadline = performance.now() + timeout
  let isIdle = false
  const becomesIdle = idle.catch(ignore).then(() => {
    isIdle = true
  })
  let isAnswered = true
  do {
    const left = Math.max(1, deadline - performance.now())
    isAnswered &&= await runBeside(code, connection, `kill query ${id}`, left).then(
      () => true,
      () => false,
    )
    await succeedsWithin(systemClock, pause, becomesIdle)
  } while (!isIdle && performance.now() < deadline)
  return isIdle && isAnswered
}

function ignore(): void {}

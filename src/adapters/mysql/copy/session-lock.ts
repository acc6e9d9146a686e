import { JobError } from '../../../adapter.js'
import { literal } from '../client/index.js'
import type { WriteSession } from '../write/index.js'

/** How long the session of an earlier execution may take to end once it was killed, in seconds. */
const endTime = 10

/** A lock that a session holds until it ends, by which others find and end the session. */
export class SessionLock {
  readonly #name: string

  /** `key` is the key of a row in the table of checkpoints. */
  constructor(key: Buffer) {
    // A name has up to 64 characters.
    this.#name = literal(`headgate:${key.toString('hex', 0, 20)}`)
  }

  /** The statement that gives the lock back. */
  get release(): string {
    return `do release_lock(${this.#name})`
  }

  /** Takes the lock. Ends the session that holds it, whose process may be frozen or cut off, and whose locks would block this one. */
  async take(session: WriteSession): Promise<void> {
    const [[isFree] = []] = await session.query(`select get_lock(${this.#name}, 0)`)
    if (isFree === '1') return
    await this.evict(session)
    const [[isTaken] = []] = await session.query(`select get_lock(${this.#name}, ${endTime})`)
    if (isTaken === '1') return
    throw new JobError(
      'target',
      `Another connection to the server still works for an earlier execution of the job, and did not end within ${endTime} s.`,
      { isTransient: true },
    )
  }

  /** Takes the lock unless another session holds it, after the one that let it go a moment ago. */
  async tryTake(session: WriteSession): Promise<boolean> {
    const [[isTaken] = []] = await session.query(`select get_lock(${this.#name}, 1)`)
    return isTaken === '1'
  }

  /** Ends the session that holds the lock, if another one does. */
  async evict(session: WriteSession): Promise<void> {
    const [[holder] = []] = await session.query(`select is_used_lock(${this.#name})`)
    if (typeof holder === 'string' && holder !== session.facts.connectionId) await session.kill(holder)
  }
}

import { type Clock, withTimeout } from './clock.js'
import { JobError } from './errors.js'
import type { JobStorage } from './storage.js'

/** What stands for an answer that did not come in time. */
const late = Symbol('late')

/**
 * The same storage, of which every call answers or fails within `timeout` milliseconds: one that hangs, as over a
 * connection that is dead and does not know, must not hold up what waits for it.
 */
export function timely(storage: JobStorage, clock: Clock, timeout: number): JobStorage {
  const inTime = async <Answer>(asked: Promise<Answer>): Promise<Answer> => {
    let isThere = false
    const come = () => {
      isThere = true
    }
    asked.then(come, come)
    // A timer costs more than an answer out of memory, which is there by the next turn.
    await undefined
    if (isThere) return await asked
    const answer = await withTimeout<Answer | typeof late>(clock, timeout, asked, late)
    if (answer === late) throw new JobError('storage', `The storage gave no answer within ${timeout} ms.`)
    return answer
  }
  return {
    begin: (request) => inTime(storage.begin(request)),
    save: (lease, request) => inTime(storage.save(lease, request)),
    finish: (lease, request) => inTime(storage.finish(lease, request)),
    requestAbort: (type, id) => inTime(storage.requestAbort(type, id)),
    find: (type, id) => inTime(storage.find(type, id)),
    live: (type) => inTime(storage.live(type)),
    orphans: () => inTime(storage.orphans()),
    search: (filter) => inTime(storage.search(filter)),
    ...(storage.watch && { watch: (listener) => storage.watch?.(listener) ?? (() => undefined) }),
    ...(storage.close && { close: async () => storage.close?.() }),
  }
}

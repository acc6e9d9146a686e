import type { Clock, Timer } from './clock.js'
import { JobError } from './errors.js'
import type { JobStorage } from './storage.js'

/**
 * The same storage, of which every call answers within `timeout` milliseconds, or fails with the code `storage`: one that
 * hangs, as over a connection that is dead and does not know, must not hold up what waits for it.
 */
export function timely(storage: JobStorage, clock: Clock, timeout: number): JobStorage {
  const inTime = <Answer>(ask: () => Promise<Answer>): Promise<Answer> =>
    new Promise((resolve, reject) => {
      let timer: Timer | undefined
      let isThere = false
      const come = () => {
        isThere = true
        timer?.cancel()
      }
      started(ask).then(
        (answer) => {
          come()
          resolve(answer)
        },
        (error) => {
          come()
          reject(failure(error))
        },
      )
      // A timer costs more than an answer out of memory, which is there by the next turn.
      queueMicrotask(() => {
        if (!isThere) timer = clock.setTimer(timeout, () => reject(late(timeout)))
      })
    })
  return {
    begin: (request) => inTime(() => storage.begin(request)),
    save: (lease, request) => inTime(() => storage.save(lease, request)),
    finish: (lease, request) => inTime(() => storage.finish(lease, request)),
    requestAbort: (type, id) => inTime(() => storage.requestAbort(type, id)),
    find: (type, id) => inTime(() => storage.find(type, id)),
    live: (type) => inTime(() => storage.live(type)),
    orphans: () => inTime(() => storage.orphans()),
    search: (filter) => inTime(() => storage.search(filter)),
    ...(storage.isWritable && { isWritable: () => inTime(async () => storage.isWritable?.() ?? true) }),
    ...(storage.watch && { watch: (listener) => storage.watch?.(listener) ?? (() => undefined) }),
    ...(storage.close && { close: async () => storage.close?.() }),
  }
}

/** What a storage was asked: one that throws in place of rejecting has rejected. */
function started<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return Promise.resolve(ask())
  } catch (error) {
    return Promise.reject(error)
  }
}

function failure(error: unknown): unknown {
  return JobError.isInstance(error) ? error : new JobError('storage', 'The storage could not answer.', { cause: error })
}

function late(timeout: number): JobError {
  return new JobError('storage', `The storage gave no answer within ${timeout} ms.`)
}

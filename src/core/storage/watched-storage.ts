import { type Clock, errorMessages, isMisconfigured, JobError, type Logger } from '../base/index.js'
import type { JobStorage } from './job-storage.js'

/** A storage that remembers whether its last write succeeded. */
export interface WatchedStorage extends JobStorage {
  /** The error of the last write, if it failed within `maxAge` milliseconds. */
  failedWrite(maxAge: number): unknown
}

/**
 * Remembers the error of the last write until a write succeeds: a disk may be full, or a table locked. Logs once that a person has to
 * mend the storage, until a call succeeds.
 */
export function watchedStorage(
  storage: JobStorage,
  { clock, logger }: { clock: Clock; logger: Logger },
): WatchedStorage {
  let failed: { readonly error: unknown; readonly at: number } | undefined
  let isMisconfiguredNow = false
  const noted = async <Answer>(asked: Promise<Answer>): Promise<Answer> => {
    try {
      const answer = await asked
      isMisconfiguredNow = false
      return answer
    } catch (error) {
      if (!isMisconfiguredNow && isMisconfigured(error)) {
        isMisconfiguredNow = true
        logger.error({ error: errorMessages(error) }, 'The storage cannot be used. No job starts until that is mended.')
      }
      throw error
    }
  }
  const watched = async <Answer>(written: Promise<Answer>): Promise<Answer> => {
    try {
      const answer = await noted(written)
      failed = undefined
      return answer
    } catch (error) {
      if (JobError.isInstance(error) && error.code === 'storage') failed = { error, at: clock.now() }
      throw error
    }
  }
  return {
    ...storage,
    begin: (request) => watched(storage.begin(request)),
    renew: (lease, request) => watched(storage.renew(lease, request)),
    claim: (waiting, request) => watched(storage.claim(waiting, request)),
    run: (lease) => watched(storage.run(lease)),
    finish: (lease, request) => watched(storage.finish(lease, request)),
    requestAbort: (request) => watched(storage.requestAbort(request)),
    find: (...job) => noted(storage.find(...job)),
    live: (filter) => noted(storage.live(filter)),
    orphans: (page) => noted(storage.orphans(page)),
    search: (filter) => noted(storage.search(filter)),
    failedWrite: (maxAge) => (failed && clock.now() - failed.at < maxAge ? failed.error : undefined),
  }
}

import { type Clock, JobError } from '../base/index.js'
import type { JobStorage } from './job-storage.js'

/** A storage that remembers whether its last write succeeded. */
export interface WatchedStorage extends JobStorage {
  /** The error of the last write, if it failed within `maxAge` milliseconds. */
  failedWrite(maxAge: number): unknown
}

/** Remembers the error of the last write until a write succeeds: a disk may be full, or a table locked. */
export function watchedStorage(storage: JobStorage, clock: Clock): WatchedStorage {
  let failed: { readonly error: unknown; readonly at: number } | undefined
  const watched = async <Answer>(written: Promise<Answer>): Promise<Answer> => {
    try {
      const answer = await written
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
    failedWrite: (maxAge) => (failed && clock.now() - failed.at < maxAge ? failed.error : undefined),
  }
}

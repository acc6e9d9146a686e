import { type Clock, errorMessages, isMisconfigured, JobError, type Logger } from '../base/index.js'
import type { JobStorage } from './job-storage.js'

/** A storage that remembers whether its last write succeeded. */
export interface WatchedStorage extends JobStorage {
  /** The error of the last write, if it failed within `maxAge` milliseconds. */
  failedWrite(maxAge: number): unknown
}

/** What a call does. A `read` may write too, and need not. */
type Kind = 'write' | 'read' | 'other'

type KindsOf<Members> = {
  readonly [Name in keyof Required<Members>]: Required<Members>[Name] extends (...given: never[]) => unknown
    ? Kind
    : KindsOf<Required<Members>[Name]>
}

/** Every member of a storage: one that is missing here does not compile. */
const kinds: KindsOf<JobStorage> = {
  begin: 'write',
  renew: 'write',
  claim: 'write',
  run: 'write',
  finish: 'write',
  requestAbort: 'write',
  find: 'read',
  live: 'read',
  orphans: 'read',
  search: 'read',
  latest: 'read',
  reset: 'write',
  // Read every second: its success would hide at once what another call has found.
  pauses: { pause: 'write', unpause: 'write', list: 'other' },
  // A claim of nothing writes nothing, so it does not show that writes succeed.
  ends: { claim: 'read', settle: 'write' },
  isWritable: 'other',
  watch: 'other',
  close: 'other',
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
  const call = { read: noted, write: watched }
  return {
    ...wrapped(storage, kinds, call),
    failedWrite: (maxAge) => (failed && clock.now() - failed.at < maxAge ? failed.error : undefined),
  }
}

/** The members of a storage with their calls noted. */
function wrapped<Members extends object>(
  members: Members,
  kinds: KindsOf<Members>,
  call: Record<'read' | 'write', <Answer>(asked: Promise<Answer>) => Promise<Answer>>,
): Members {
  const entries = Object.entries(members).map(([name, member]: [string, unknown]) => {
    const kind = kinds[name as keyof Members] as Kind | KindsOf<object>
    if (typeof kind === 'object' && member) return [name, wrapped(member, kind, call)]
    if ((kind !== 'read' && kind !== 'write') || typeof member !== 'function') return [name, member]
    const noted: unknown = (...given: unknown[]) => call[kind](member.apply(members, given))
    return [name, noted]
  })
  return Object.fromEntries(entries)
}

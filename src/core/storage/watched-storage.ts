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
const kinds: KindsOf<Omit<JobStorage, 'secrets'>> = {
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
  // Read every second: its success would hide at once what another read has found.
  pauses: { pause: 'write', unpause: 'write', list: 'other' },
  // A claim of nothing writes nothing, so it does not show that writes succeed.
  ends: { claim: 'read', settle: 'write' },
  isWritable: 'other',
  watch: 'other',
  close: 'other',
}

/** Called with the answer of each call. */
type Note = (answer: Promise<unknown>, kind: Kind) => void

/**
 * Remembers the error of the last write until a write succeeds: a disk may be full, or a table locked. Logs once that a person has to
 * mend the storage, until a call of the same kind succeeds.
 */
export function watchedStorage(
  storage: JobStorage,
  { clock, logger }: { clock: Clock; logger: Logger },
): WatchedStorage {
  let failed: { readonly error: unknown; readonly at: number } | undefined
  /** The first call that showed it: a storage that can be read may still reject every write. */
  let misconfigured: { readonly kind: Kind } | undefined
  const noteError = (error: unknown, kind: Kind) => {
    if (kind === 'write' && JobError.isInstance(error) && error.code === 'storage') failed = { error, at: clock.now() }
    if (misconfigured || !isMisconfigured(error)) return
    misconfigured = { kind }
    logger.error({ error: errorMessages(error) }, 'The storage cannot be used. No job starts until that is mended.')
  }
  const note: Note = (answer, kind) => {
    const noteSuccess = () => {
      if (kind === 'write' || misconfigured?.kind === kind) misconfigured = undefined
      if (kind === 'write') failed = undefined
    }
    answer.then(noteSuccess, (error) => noteError(error, kind))
  }
  return {
    ...watched(storage, kinds, note),
    failedWrite: (maxAge) => (failed && clock.now() - failed.at < maxAge ? failed.error : undefined),
  }
}

/** The members of a storage with their calls noted. */
function watched<Members extends object>(members: Members, kinds: KindsOf<Members>, note: Note): Members {
  const entries = Object.entries(members).map(([name, member]: [string, unknown]) => {
    const kind = kinds[name as keyof Members] as Kind | KindsOf<object>
    if (typeof kind === 'object' && member) return [name, watched(member, kind, note)]
    if ((kind !== 'read' && kind !== 'write') || typeof member !== 'function') return [name, member]
    const call = (...given: unknown[]) => {
      const answer: Promise<unknown> = member.apply(members, given)
      note(answer, kind)
      return answer
    }
    return [name, call]
  })
  return Object.fromEntries(entries)
}

import type { JobStorage } from 'headgate'

/** The methods of a storage, without `close`. */
export const storageMethods = [
  'begin',
  'renew',
  'claim',
  'run',
  'finish',
  'requestAbort',
  'find',
  'live',
  'orphans',
  'search',
  'watch',
] as const

/** A storage as a plain object, so that a test can put its own methods in. */
export function plainStorage(storage: JobStorage): JobStorage {
  const { latest, reset, pauses, ends } = storage
  return {
    ...(Object.fromEntries(
      storageMethods.map((name) => [name, storage[name]?.bind(storage)]),
    ) as unknown as JobStorage),
    ...(latest && { latest: latest.bind(storage) }),
    ...(reset && { reset: reset.bind(storage) }),
    ...(pauses && { pauses }),
    ...(ends && { ends }),
  }
}

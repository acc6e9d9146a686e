import { JobError } from '../base/index.js'
import type { JobStorage } from './job-storage.js'

/** The optional members of a storage. */
type Feature = 'latest' | 'reset' | 'pauses' | 'ends'

/** An optional member of a storage, for `call`. Throws `not_supported` when the storage does not have it. */
export function featureOf<Name extends Feature>(
  storage: JobStorage,
  name: Name,
  call: string,
): NonNullable<JobStorage[Name]> {
  const feature = storage[name]
  if (feature !== undefined) return feature as NonNullable<JobStorage[Name]>
  throw new JobError('not_supported', `The storage does not have \`${name}\`, which \`${call}\` needs.`)
}

import { rm, stat } from 'node:fs/promises'
import { platform } from 'node:os'
import { JobError } from '../../adapter.js'
import { attempt, unlessMissing } from './files.js'
import type { OpenFile } from './open.js'

/** Throws a transient error unless the open file is the one at its path, and has `size` bytes. */
export async function checkFile(file: OpenFile, size: number): Promise<void> {
  const { path, finalPath } = file
  const there = await attempt(`check \`${path}\``, () => findAt(file))
  if (there === 'same') return checkSize(file, size)
  // Only executions of one job share the name of a partial file.
  if (there === 'other' && finalPath !== undefined) {
    throw new JobError('target', `Another execution has taken over \`${path}\`.`)
  }
  throw changed(`\`${path}\` was deleted, moved or replaced while the job wrote to it.`)
}

/** Throws when the next write would leave a gap, or overwrite what another program has written. */
export async function checkSize(file: OpenFile, size: number): Promise<void> {
  const { size: found } = await file.handle.stat()
  if (found < size) throw await cut(file)
  if (found > size) throw changed(`Another program has written to \`${file.path}\` while the job wrote to it.`)
}

/** Throws when a write at `start` has left a gap, as the file was cut right before it. No line has a NUL byte. */
export async function checkNoGap(file: OpenFile, start: number): Promise<void> {
  if (start === 0) return
  const { bytesRead, buffer } = await file.handle.read(Buffer.alloc(1), 0, 1, start - 1)
  if (bytesRead === 1 && buffer[0] === 0) throw await cut(file)
}

/** Which file is at the path of an open one. */
async function findAt({ handle, path }: OpenFile): Promise<'same' | 'other' | 'none'> {
  const [own, there] = await Promise.all([handle.stat({ bigint: true }), unlessMissing(stat(path, { bigint: true }))])
  if (!there) return 'none'
  // On Windows, the two calls may name a device differently.
  return own.ino === there.ino && (own.dev === there.dev || platform() === 'win32') ? 'same' : 'other'
}

/** Deletes a partial file, so that the next run starts from the beginning. */
async function cut(file: OpenFile): Promise<JobError> {
  const { path, finalPath } = file
  if (finalPath !== undefined && (await findAt(file)) === 'same') await rm(path, { force: true })
  return changed(`\`${path}\` was cut while the job wrote to it.`)
}

/** The next run finds out what is left of the file. */
function changed(message: string): JobError {
  return new JobError('target', message, { isTransient: true })
}

import { constants, type Stats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { platform } from 'node:os'
import { dirname } from 'node:path'
import { JobError } from '../../adapter.js'

/** The stats of a file, if it exists. Throws `target` for other things, such as a directory or a pipe. */
export async function statFile(path: string): Promise<Stats | undefined> {
  const stats = await attempt(`open \`${path}\``, () => unlessMissing(stat(path)))
  if (stats && !stats.isFile()) throw new JobError('target', `Could not open \`${path}\`: it is not a regular file.`)
  return stats
}

/** Opens a file for reading and writing. Creates it when it is missing. */
export async function openOrCreate(path: string, mode?: number): Promise<FileHandle> {
  const handle = await attempt(`open \`${path}\``, () =>
    unlessMissing(open(path, constants.O_RDWR | constants.O_CREAT, mode)),
  )
  if (handle) return handle
  throw new JobError('target', `Could not open \`${path}\`: there is no directory \`${dirname(path)}\`.`)
}

/** The result, or `undefined` when the path does not exist. */
export async function unlessMissing<Answer>(result: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await result
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined
    throw error
  }
}

/** Prepares an open file. Closes it when that fails. */
export async function orClose<Ready>(path: string, handle: FileHandle, prepare: () => Promise<Ready>): Promise<Ready> {
  try {
    return await attempt(`open \`${path}\``, prepare)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Makes the name of a file durable, which `fsync` of the file does not. Windows has no such call. */
export async function syncDirectoryOf(path: string): Promise<void> {
  if (platform() === 'win32') return
  const directory = await open(dirname(path))
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Counts the lines of a file, 0 when it is missing. An unterminated last line counts. */
export async function countLines(path: string): Promise<number> {
  const handle = await unlessMissing(open(path))
  if (!handle) return 0
  let lines = 0
  let isOpen = false
  try {
    const buffer = Buffer.allocUnsafe(1 << 20)
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return isOpen ? lines + 1 : lines
      const chunk = buffer.subarray(0, bytesRead)
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
      isOpen = chunk.at(-1) !== 10
    }
  } finally {
    await handle.close()
  }
}

/** Runs `action`. Wraps its error in a `JobError` that says what failed. */
export async function attempt<Answer>(what: string, action: () => Promise<Answer>): Promise<Answer> {
  try {
    return await action()
  } catch (error) {
    throw new JobError('target', `Could not ${what}.`, { cause: error })
  }
}

import { constants } from 'node:fs'
import { copyFile, type FileHandle, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { JobError, type OpenContext } from '../index.js'
import { digestOf, markOf } from './_digest.js'
import { attempt, countLines, openOrCreate, orClose, statFile, syncDirectoryOf } from './_files.js'

/** A file open for writing at its end. */
export interface OpenFile {
  readonly handle: FileHandle
  /** The file that is written. */
  readonly path: string
  /** Where it goes when it is complete; nowhere when appending. */
  readonly finalPath?: string
  /** Its size, in bytes, when it was opened. */
  readonly start: number
  /** How many records of the new file it then had. */
  readonly records: number
  /** Whether what the checkpoint counts on is gone. */
  readonly mustRestart: boolean
  /** Whether it was emptied or taken away since the checkpoint was made. */
  readonly isReset: boolean
}

/** Opens the file that is to take the place of `finalPath`, cut back to the position. */
export async function openPartial(finalPath: string, context: OpenContext): Promise<OpenFile> {
  const { type, id, position, isResumed } = context
  const replaced = await statFile(finalPath)
  const mark = markOf(digestOf(JSON.stringify([type, id])))
  const path = join(dirname(finalPath), `.${basename(finalPath)}.headgate-${mark}-partial`)
  const size = (await statFile(path))?.size ?? 0
  const bytes = bytesOf(position)
  // After a crash between `commit` and the end of the job, the partial file is gone too: all is written once more.
  const isKept = bytes !== undefined && bytes <= size
  const start = isKept ? bytes : 0
  const mustRestart = !isKept && (isResumed || bytes !== undefined)
  const handle = await takeOver(path, start, replaced?.mode)
  const records = await orClose(path, handle, () => countLines(path))
  return { handle, path, finalPath, start, records, mustRestart, isReset: false }
}

/**
 * Opens a partial file up to `start` as a file of its own: whoever wrote it before, and was only taken for dead, may still
 * hold the old one open and write to it.
 */
async function takeOver(path: string, start: number, mode: number | undefined): Promise<FileHandle> {
  const ownPath = `${path}-taken`
  await attempt(`open \`${ownPath}\``, async () => {
    await rm(ownPath, { force: true })
    if (start > 0) await copyFile(path, ownPath, constants.COPYFILE_FICLONE)
  })
  const handle = await openOrCreate(ownPath, mode)
  return orClose(ownPath, handle, async () => {
    await handle.truncate(start)
    if (start > 0) await handle.sync()
    await rename(ownPath, path)
    return handle
  })
}

/** Opens a file to append to, cut back to the position. */
export async function openAppended(path: string, { position }: OpenContext): Promise<OpenFile> {
  checkPosition(position)
  const found = (await statFile(path))?.size
  const bytes = bytesOf(position)
  const size = found ?? 0
  if (size > 0 && bytes !== undefined && size < bytes) throw tooShort(path, size, bytes)
  const handle = await openOrCreate(path)
  return orClose(path, handle, async () => {
    if (found === undefined) await syncDirectoryOf(path)
    if (size > 0 && bytes) await checkLineEnd(handle, path, bytes)
    const start = size === 0 ? 0 : (bytes ?? (await endLastLine(handle, size)))
    await handle.truncate(start)
    return { handle, path, start, records: 0, mustRestart: false, isReset: size === 0 && (bytes ?? 0) > 0 }
  })
}

/** Throws when the checkpoint lies inside a line: the file is not the one that was written. */
async function checkLineEnd(handle: FileHandle, path: string, bytes: number): Promise<void> {
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, bytes - 1)
  if (buffer.toString() === '\n') return
  const message = `Could not go on with \`${path}\`: it was changed, as the checkpoint at ${bytes} bytes is not the end of a line.`
  throw new JobError('target', `${message} ${moveAway}`)
}

const moveAway = 'Move it away, and say in the job by `ifTargetReset` what a run does with a new file.'

function tooShort(path: string, size: number, bytes: number): JobError {
  const message = `Could not go on with \`${path}\`: it has ${size} bytes, but the checkpoint is at ${bytes}.`
  return new JobError('target', `${message} ${moveAway}`)
}

/** Ends a line that somebody left open, so that the next record gets a line of its own. Gives the size after it. */
async function endLastLine(handle: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  if (buffer.toString() === '\n') return size
  await handle.write('\n', size)
  return size + 1
}

/** Where a checkpoint is in a file; `undefined` when it is of another kind of target. */
function bytesOf(position: unknown): number | undefined {
  const { bytes } = Object(position) as { bytes?: unknown }
  return Number.isSafeInteger(bytes) && (bytes as number) >= 0 ? (bytes as number) : undefined
}

/** Throws where a damaged checkpoint would let the file grow from where nobody knows. */
function checkPosition(position: unknown): void {
  if (position === undefined || bytesOf(position) !== undefined) return
  if (typeof position === 'object' && position !== null && !Object.hasOwn(position, 'bytes')) return
  throw new JobError(
    'checkpoint',
    "The checkpoint was damaged. Expected `position.bytes` to be a whole number from 0 up: run the job once with `resume: 'restart'`, or give it another id.",
  )
}

import { constants } from 'node:fs'
import { copyFile, type FileHandle, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { JobError, type OpenContext } from '../../adapter.js'
import { digestOf, markOf } from '../shared/index.js'
import { attempt, countLines, openOrCreate, orClose, statFile, syncDirectoryOf } from './files.js'

/** A file that is open for writing at its end. */
export interface OpenFile {
  readonly handle: FileHandle
  /** The path of the file. */
  readonly path: string
  /** Where the file is renamed to at the end; undefined when appending. */
  readonly finalPath?: string
  /** Its size when it was opened, in bytes. */
  readonly start: number
  /** How many records of the new file it had then. */
  readonly records: number
  /** Whether the data of the checkpoint is gone. */
  readonly mustRestart: boolean
  /** Whether it was emptied or deleted since the checkpoint. */
  readonly isReset: boolean
}

/** Opens the partial file that will replace `finalPath`, truncated to the position. */
export async function openPartial(finalPath: string, context: OpenContext): Promise<OpenFile> {
  const { type, id, position, isResumed } = context
  const replaced = await statFile(finalPath)
  const mark = markOf(digestOf(JSON.stringify([type, id])))
  const path = join(dirname(finalPath), `.${shortened(basename(finalPath))}.headgate-${mark}-partial`)
  const size = (await statFile(path))?.size ?? 0
  const bytes = bytesOf(position)
  // After a crash between `commit` and the end of the job, the partial file is gone too, and the next run writes
  // everything again.
  const isKept = bytes !== undefined && bytes <= size
  const start = isKept ? bytes : 0
  const mustRestart = !isKept && (isResumed || bytes !== undefined)
  const handle = await takeOver(path, start, replaced?.mode)
  const records = await orClose(path, handle, () => countLines(path))
  return { handle, path, finalPath, start, records, mustRestart, isReset: false }
}

/** The longest name that has room, in the 255 bytes of file systems, for what a partial file and its copy add to it. */
const longestName = 222

function shortened(name: string): string {
  if (Buffer.byteLength(name) <= longestName) return name
  let start = name
  while (Buffer.byteLength(start) > 190) start = [...start].slice(0, -1).join('')
  return `${start}~${markOf(digestOf(name))}`
}

/**
 * Copies a partial file up to `start` and opens the copy. An earlier writer that lost its lease may still have the
 * old file open and write to it.
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

/** Opens a file to append to, truncated to the position. */
export async function openAppended(path: string, { position, warn }: OpenContext): Promise<OpenFile> {
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
    if (start < size) warn?.(truncateWarning(path, size - start))
    await handle.truncate(start)
    return { handle, path, start, records: 0, mustRestart: false, isReset: size === 0 && (bytes ?? 0) > 0 }
  })
}

/** Bytes after the checkpoint may come from a crashed run or from another writer. */
function truncateWarning(path: string, bytes: number): string {
  return `The last ${bytes} bytes of \`${path}\` come after the checkpoint and are removed: a crashed run left them, or another writer, which must not write to the file of a job.`
}

/** Throws when the checkpoint is inside a line, because the file is then not the one that was written. */
async function checkLineEnd(handle: FileHandle, path: string, bytes: number): Promise<void> {
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, bytes - 1)
  if (buffer.toString() === '\n') return
  const message = `Could not resume in \`${path}\`: it was changed, because the checkpoint at ${bytes} bytes is not the end of a line.`
  throw new JobError('target', `${message} ${moveAway}`)
}

const moveAway = 'Move it away, and set `ifTargetReset` of the job to choose what a run does with a new file.'

function tooShort(path: string, size: number, bytes: number): JobError {
  const message = `Could not resume in \`${path}\`: it has ${size} bytes, but the checkpoint is at ${bytes}.`
  return new JobError('target', `${message} ${moveAway}`)
}

/** Terminates an open last line, so that the next record starts a new line. Returns the new size. */
async function endLastLine(handle: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  if (buffer.toString() === '\n') return size
  await handle.write('\n', size)
  return size + 1
}

/** The position of a checkpoint in the file; `undefined` for a checkpoint of another kind of target. */
function bytesOf(position: unknown): number | undefined {
  const { bytes } = Object(position) as { bytes?: unknown }
  return Number.isSafeInteger(bytes) && (bytes as number) >= 0 ? (bytes as number) : undefined
}

/** Throws for a damaged checkpoint, which would let the file grow from an unknown position. */
function checkPosition(position: unknown): void {
  if (position === undefined || bytesOf(position) !== undefined) return
  if (typeof position === 'object' && position !== null && !Object.hasOwn(position, 'bytes')) return
  throw new JobError(
    'checkpoint',
    'The checkpoint was damaged. Expected `position.bytes` to be a whole number from 0 up: start the job with `fullRefresh: true` (`?full_refresh=true`), call `reset`, or give it another id.',
  )
}

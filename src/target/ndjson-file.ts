import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, type FileHandle, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  checkOptions,
  invalid,
  JobError,
  type OpenContext,
  type RecordBatch,
  rule,
  type Target,
  type TargetWriter,
} from '../index.js'
import { attempt, countLines, openOrCreate, orClose, statFile, syncDirectoryOf, unlessMissing } from './_files.js'
import { type BigNumbers, NdjsonEncoder } from './_ndjson.js'
import { defaultMaxShrink, fewestInPlaceOf, shrinkError, shrinkRule } from './_shrink.js'

/** Which file, and how it is written. */
export interface NdjsonFileOptions {
  /** The file, absolute or from the working directory of this call. Its directory must exist. */
  path: string
  /**
   * `replace`, the default: a run writes a new file, which takes the place of the old one when all records are in it.
   * `append`: a run adds its records at the end of the file.
   */
  strategy?: 'replace' | 'append'
  /**
   * How much fewer records `replace` may leave, from 0 to 1: with 0.5, the default, it refuses to leave less than half of the lines
   * that are there. 1 allows anything, also to leave none.
   */
  maxShrink?: number
  /**
   * How columns of the types `bigint` and `decimal`, and values of JavaScript's `bigint`, are written: `string`, the
   * default, or `number`, with all their digits, which many readers round.
   */
  bigNumbers?: BigNumbers
}

/**
 * A target that writes one JSON object per line to a file. Exactly once: a run that goes on from a checkpoint cuts the
 * file back to it, and ends with the bytes of a run that was never interrupted. A file to append to is for one job.
 *
 * Throws `invalid_options`. Opening and writing throw `target`, with the system's error as `cause`.
 */
export function ndjsonFile(options: NdjsonFileOptions): Target {
  checkOptions('options', options, {
    path: rule.text,
    strategy: rule.optional(rule.oneOf('replace', 'append')),
    maxShrink: rule.optional(shrinkRule),
    bigNumbers: rule.optional(rule.oneOf('string', 'number')),
  })
  const { strategy = 'replace', maxShrink, bigNumbers = 'string' } = options
  if (strategy === 'append' && maxShrink !== undefined) {
    throw invalid('maxShrink', 'absent without the strategy `replace`', maxShrink)
  }
  const path = resolve(options.path)
  const openFile = strategy === 'replace' ? openPartial : openAppended
  return {
    kind: 'ndjson-file',
    strategy,
    async open(context) {
      const encoder = new NdjsonEncoder(bigNumbers)
      return new NdjsonWriter(await openFile(path, context), encoder, context, maxShrink)
    },
  }
}

/** How much is gathered for one write to the file, in bytes. */
const bufferSize = 1 << 20

/** The most bytes that a UTF-16 code unit takes in UTF-8. */
const bytesPerUnit = 3

/** A file open for writing at its end. */
interface OpenFile {
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
}

async function openPartial(finalPath: string, context: OpenContext): Promise<OpenFile> {
  const { position, isResumed } = context
  const replaced = await statFile(finalPath)
  const path = join(dirname(finalPath), `.${basename(finalPath)}.headgate-${markOf(context)}-partial`)
  const size = (await statFile(path))?.size ?? 0
  const bytes = bytesOf(position)
  // After a crash between `commit` and the end of the job, the partial file is gone too: all is written once more.
  const isKept = bytes !== undefined && bytes <= size
  const start = isKept ? bytes : 0
  const mustRestart = !isKept && (isResumed || bytes !== undefined)
  const handle = await takeOver(path, start, replaced?.mode)
  const records = await orClose(path, handle, () => countLines(path))
  return { handle, path, finalPath, start, records, mustRestart }
}

/** Tells the partial file of a job from those of others: eight letters and digits. */
function markOf({ type, id }: OpenContext): string {
  return createHash('sha256')
    .update(JSON.stringify([type, id]))
    .digest('hex')
    .slice(0, 8)
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

async function openAppended(path: string, { position }: OpenContext): Promise<OpenFile> {
  const size = (await statFile(path))?.size
  const bytes = bytesOf(position)
  if (size !== undefined && bytes !== undefined && size < bytes) throw tooShort(path, size, bytes)
  const handle = await openOrCreate(path)
  return orClose(path, handle, async () => {
    if (size === undefined) await syncDirectoryOf(path)
    const start = size === undefined ? 0 : (bytes ?? (await endLastLine(handle, size)))
    await handle.truncate(start)
    return { handle, path, start, records: 0, mustRestart: false }
  })
}

function tooShort(path: string, size: number, bytes: number): JobError {
  const message = `Could not go on with \`${path}\`: it has ${size} bytes, but the checkpoint is at ${bytes}.`
  return new JobError('target', `${message} Move it away to go on in a new file.`)
}

/** Ends a line that somebody left open, so that the next record gets a line of its own. Gives the size after it. */
async function endLastLine(handle: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  if (buffer.toString() === '\n') return size
  await handle.write('\n', size)
  return size + 1
}

class NdjsonWriter implements TargetWriter {
  readonly mustRestart: boolean
  readonly #file: OpenFile
  readonly #encoder: NdjsonEncoder
  readonly #isResumable: boolean
  readonly #maxShrink: number
  #records: number
  /** One buffer gathers while the other one is written. */
  #buffer = Buffer.allocUnsafe(bufferSize)
  #otherBuffer = Buffer.allocUnsafe(bufferSize)
  /** How much of the buffer is filled. */
  #gathered = 0
  #writing = Promise.resolve()
  #size: number
  /** The size up to which the file is durable. */
  #flushed: number

  constructor(
    file: OpenFile,
    encoder: NdjsonEncoder,
    { isResumable }: OpenContext,
    maxShrink: number = defaultMaxShrink,
  ) {
    this.mustRestart = file.mustRestart
    this.#file = file
    this.#encoder = encoder
    this.#isResumable = isResumable
    this.#maxShrink = maxShrink
    this.#records = file.records
    this.#size = file.start
    this.#flushed = file.start
  }

  async write(batch: RecordBatch): Promise<void> {
    await attempt(`write to \`${this.#file.path}\``, async () => {
      for (const chunk of this.#encoder.chunks(batch)) {
        if (!this.#hasRoomFor(chunk)) await this.#writeGathered()
        if (this.#hasRoomFor(chunk)) this.#gathered += this.#buffer.write(chunk, this.#gathered)
        else await this.#startWriting(Buffer.from(chunk))
      }
      this.#records += batch.length
    })
  }

  async flush(): Promise<{ bytes: number }> {
    const { handle, path } = this.#file
    await attempt(`write to \`${path}\``, async () => {
      await this.#writeGathered()
      await this.#writing
      if (this.#flushed < this.#size) await handle.datasync()
    })
    this.#flushed = this.#size
    return { bytes: this.#flushed }
  }

  async commit(): Promise<void> {
    await this.flush()
    const { handle, path, finalPath } = this.#file
    if (finalPath !== undefined) {
      await this.#checkOwn()
      await this.#checkShrink(finalPath)
    }
    await attempt(`complete \`${finalPath ?? path}\``, async () => {
      await handle.close()
      if (finalPath === undefined) return
      await rename(path, finalPath)
      await syncDirectoryOf(finalPath)
    })
  }

  async abort(reason: unknown): Promise<void> {
    const { finalPath, path, handle } = this.#file
    await Promise.allSettled([this.#writing])
    await attempt(`take back \`${path}\``, () => {
      if (JobError.isInstance(reason) && reason.code === 'lease_lost') return handle.close()
      return finalPath === undefined ? this.#cutBack() : this.#leavePartial()
    })
  }

  /** Throws when another execution has taken the partial file over. */
  async #checkOwn(): Promise<void> {
    const { handle, path } = this.#file
    const [own, there] = await Promise.all([handle.stat({ bigint: true }), unlessMissing(stat(path, { bigint: true }))])
    if (own.ino !== there?.ino) throw new JobError('target', `Another execution has taken over \`${path}\`.`)
  }

  /** Throws when too few records would be left. The partial file is then gone, so that the next run begins anew. */
  async #checkShrink(finalPath: string): Promise<void> {
    if (this.#maxShrink === 1) return
    const old = await attempt(`complete \`${finalPath}\``, () => countLines(finalPath))
    if (this.#records >= fewestInPlaceOf(old, this.#maxShrink)) return
    await attempt(`take back \`${this.#file.path}\``, () => rm(this.#file.path, { force: true }))
    throw shrinkError(finalPath, old, this.#records, this.#maxShrink)
  }

  /** Readers of an appended file are to see what a checkpoint covers, and nothing that a later run would write again. */
  async #cutBack(): Promise<void> {
    const { handle, start } = this.#file
    try {
      await handle.truncate(this.#isResumable ? this.#flushed : start)
    } finally {
      await handle.close()
    }
  }

  async #leavePartial(): Promise<void> {
    await this.#file.handle.close()
    if (!this.#isResumable) await rm(this.#file.path, { force: true })
  }

  #hasRoomFor(chunk: string): boolean {
    return chunk.length * bytesPerUnit <= bufferSize - this.#gathered
  }

  async #writeGathered(): Promise<void> {
    await this.#startWriting(this.#buffer.subarray(0, this.#gathered))
    ;[this.#buffer, this.#otherBuffer] = [this.#otherBuffer, this.#buffer]
    this.#gathered = 0
  }

  /** Starts to write once what was started before is done. Whoever comes next waits for it, and hears of its failure. */
  async #startWriting(bytes: Buffer): Promise<void> {
    await this.#writing
    this.#writing = this.#writeAll(bytes)
    this.#writing.catch(() => undefined)
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const { bytesWritten } = await this.#file.handle.write(bytes, done, bytes.length - done, this.#size)
      done += bytesWritten
      this.#size += bytesWritten
    }
  }
}

function bytesOf(position: unknown): number | undefined {
  const { bytes } = Object(position) as { bytes?: unknown }
  return Number.isSafeInteger(bytes) && (bytes as number) >= 0 ? (bytes as number) : undefined
}

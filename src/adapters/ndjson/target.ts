import { access, constants, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import {
  checkOptions,
  invalid,
  type OpenContext,
  type RecordBatch,
  type Replacement,
  rule,
  type Target,
  type TargetAbort,
  type TargetWriter,
} from '../../adapter.js'
import { type BigNumbers, defaultMaxShrink, fewestInPlaceOf, NdjsonEncoder, shrinkError } from '../shared/index.js'
import { checkFile, checkNoGap, checkSize } from './check-file.js'
import { attempt, countLines, syncDirectoryOf } from './files.js'
import { type OpenFile, openAppended, openPartial } from './open.js'

/** The options of {@link ndjsonFile}. */
export interface NdjsonFileOptions {
  /** The file. A relative path starts at the working directory of this call. Its directory must exist. */
  path: string
  /**
   * `replace`, the default, writes a new file, which replaces the old one when all records are written. `append` adds
   * records at the end of the file.
   */
  strategy?: 'replace' | 'append'
  /**
   * The largest share of records that `replace` may remove, from 0 to 1. With 0.5, the default, the job fails when
   * fewer than half of the lines would be left. 1 allows any number, also none.
   */
  maxShrink?: number
  /**
   * How columns of the types `bigint` and `decimal`, and JavaScript bigints, are written: as `string`, the default,
   * or as `number` with all digits, which many readers round.
   */
  bigNumbers?: BigNumbers
}

/**
 * Writes one JSON object per line to a file. Exactly once: a run that resumes truncates the file to its checkpoint
 * and ends with the same bytes as an uninterrupted run. Only one job may append to a file.
 *
 * Throws `invalid_options` here. Opening and writing throw `target`, with the error of the system as `cause`.
 */
export function ndjsonFile(options: NdjsonFileOptions): Target {
  checkOptions('options', options, {
    path: rule.text,
    strategy: rule.optional(rule.oneOf('replace', 'append')),
    maxShrink: rule.optional(rule.share),
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
    capabilities: { writesAtomically: true },
    async open(context) {
      const encoder = new NdjsonEncoder(bigNumbers)
      const file = await openFile(path, context)
      const writer = new NdjsonWriter(file, encoder, context, maxShrink)
      return { writer, resume: file.mustRestart ? 'restart' : 'position' }
    },
    async check() {
      const directory = dirname(path)
      await attempt(`write to \`${directory}\``, () => access(directory, constants.W_OK))
    },
  }
}

/** The size of a buffer, in bytes. */
const bufferSize = 1 << 20

/** The maximum number of UTF-8 bytes of a UTF-16 code unit. */
const bytesPerUnit = 3

/** The length of the longest piece that an empty buffer holds, in UTF-16 code units. */
const pieceLength = Math.floor(bufferSize / bytesPerUnit)

class NdjsonWriter implements TargetWriter {
  readonly #file: OpenFile
  readonly #encoder: NdjsonEncoder
  readonly #isResumable: boolean
  readonly #toleratesFailures: boolean
  #isBroken = false
  readonly #maxShrink: number
  #records: number
  /** One buffer is filled while the other one is written. */
  #buffer = Buffer.allocUnsafe(bufferSize)
  #otherBuffer = Buffer.allocUnsafe(bufferSize)
  /** How many bytes of the buffer are filled. */
  #filled = 0
  #writing = Promise.resolve()
  #size: number
  /** The size up to which the file is durable. */
  #flushed: number

  constructor(
    file: OpenFile,
    encoder: NdjsonEncoder,
    { isResumable, toleratesFailures = false }: OpenContext,
    maxShrink: number = defaultMaxShrink,
  ) {
    this.#file = file
    this.#encoder = encoder
    this.#isResumable = isResumable
    this.#toleratesFailures = toleratesFailures
    this.#maxShrink = maxShrink
    this.#records = file.records
    this.#size = file.start
    this.#flushed = file.start
  }

  async write(batch: RecordBatch): Promise<void> {
    await attempt(`write to \`${this.#file.path}\``, async () => {
      const chunks = this.#encoder.chunks(batch)
      // A record that cannot be encoded must leave nothing of its batch.
      await this.#append(this.#toleratesFailures ? [...chunks] : chunks)
      this.#records += batch.length
    })
  }

  /** After a failed write or check, the content of the file is unknown. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  async flush(): Promise<{ bytes: number }> {
    const { handle, path } = this.#file
    await attempt(`write to \`${path}\``, async () => {
      await this.#writeBuffer()
      await this.#writing
      if (this.#flushed < this.#size) await handle.datasync()
    })
    await this.#check()
    this.#flushed = this.#size
    return { bytes: this.#flushed }
  }

  async isReset(): Promise<boolean> {
    return this.#file.isReset
  }

  async isEmpty(): Promise<boolean> {
    return this.#size === 0
  }

  async commit(): Promise<Replacement | undefined> {
    await this.flush()
    const { handle, path, finalPath } = this.#file
    let before: number | undefined
    if (finalPath !== undefined) {
      before = await this.#checkShrink(finalPath)
      await this.#check()
    }
    await attempt(`complete \`${finalPath ?? path}\``, async () => {
      await handle.close()
      if (finalPath === undefined) return
      await rename(path, finalPath)
      await syncDirectoryOf(finalPath)
    })
    if (finalPath === undefined) return undefined
    return { how: 'file', ...(before !== undefined && { before }), after: this.#records }
  }

  async abort({ leaseLost }: TargetAbort): Promise<void> {
    const { finalPath, path, handle } = this.#file
    await Promise.allSettled([this.#writing])
    await attempt(`clean up \`${path}\``, () => {
      if (leaseLost) return handle.close()
      return finalPath === undefined ? this.#truncate() : this.#leavePartial()
    })
  }

  /** Throws unless the file at the path has all that was written. A checkpoint covers no other. */
  async #check(): Promise<void> {
    try {
      await checkFile(this.#file, this.#size)
    } catch (error) {
      this.#isBroken = true
      throw error
    }
  }

  /**
   * Throws when too few records would be left. Deletes the partial file, so that the next run starts from the
   * beginning. Returns how many there were, if they had to be counted.
   */
  async #checkShrink(finalPath: string): Promise<number | undefined> {
    if (this.#maxShrink === 1) return undefined
    const old = await attempt(`complete \`${finalPath}\``, () => countLines(finalPath))
    if (this.#records >= fewestInPlaceOf(old, this.#maxShrink)) return old
    await attempt(`clean up \`${this.#file.path}\``, () => rm(this.#file.path, { force: true }))
    throw shrinkError(finalPath, old, this.#records, this.#maxShrink)
  }

  /**
   * Truncates an appended file to its checkpoint, so that readers do not see records that a later run will write
   * again. Leaves a file that was cut: growing it again would fill it with NUL bytes.
   */
  async #truncate(): Promise<void> {
    const { handle, start } = this.#file
    const size = this.#isResumable ? this.#flushed : start
    try {
      if ((await handle.stat()).size > size) await handle.truncate(size)
    } finally {
      await handle.close()
    }
  }

  async #leavePartial(): Promise<void> {
    await this.#file.handle.close()
    if (!this.#isResumable) await rm(this.#file.path, { force: true })
  }

  async #append(chunks: Iterable<string>): Promise<void> {
    for (const chunk of chunks) {
      for (const piece of piecesOf(chunk)) {
        if (piece.length * bytesPerUnit > bufferSize - this.#filled) await this.#writeBuffer()
        this.#filled += this.#buffer.write(piece, this.#filled)
      }
    }
  }

  async #writeBuffer(): Promise<void> {
    await this.#startWriting(this.#buffer.subarray(0, this.#filled))
    ;[this.#buffer, this.#otherBuffer] = [this.#otherBuffer, this.#buffer]
    this.#filled = 0
  }

  /** Starts a write when the previous one is done. The next caller waits for it and gets its failure. */
  async #startWriting(bytes: Buffer): Promise<void> {
    await this.#writing
    this.#writing = this.#writeAll(bytes)
    this.#writing.catch(() => {
      this.#isBroken = true
    })
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return
    const start = this.#size
    await checkSize(this.#file, start)
    let done = 0
    while (done < bytes.length) {
      const { bytesWritten } = await this.#file.handle.write(bytes, done, bytes.length - done, this.#size)
      done += bytesWritten
      this.#size += bytesWritten
    }
    await checkNoGap(this.#file, start)
  }
}

/** Splits a text into pieces that fit the buffer, but no surrogate pair. */
function* piecesOf(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    const isSplit = /[\ud800-\udbff]/.test(text[start + pieceLength - 1] ?? '')
    const end = start + pieceLength - (isSplit ? 1 : 0)
    yield start === 0 && end >= text.length ? text : text.slice(start, end)
    start = end
  }
}

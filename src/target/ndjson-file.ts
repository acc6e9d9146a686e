import { rename, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
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
import { attempt, countLines, syncDirectoryOf, unlessMissing } from './_files.js'
import { type BigNumbers, NdjsonEncoder } from './_ndjson.js'
import { type OpenFile, openAppended, openPartial } from './_ndjson-open.js'
import { defaultMaxShrink, fewestInPlaceOf, shrinkError } from './_shrink.js'

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
    isAtomic: true,
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

class NdjsonWriter implements TargetWriter {
  readonly mustRestart: boolean
  readonly #file: OpenFile
  readonly #encoder: NdjsonEncoder
  readonly #isResumable: boolean
  readonly #toleratesFailures: boolean
  #isBroken = false
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
    { isResumable, toleratesFailures = false }: OpenContext,
    maxShrink: number = defaultMaxShrink,
  ) {
    this.mustRestart = file.mustRestart
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
      // A record that cannot be encoded is to leave nothing of its batch.
      await this.#gather(this.#toleratesFailures ? [...chunks] : chunks)
      this.#records += batch.length
    })
  }

  /** Nobody knows what is in the file after a write to it has failed. */
  get isBroken(): boolean {
    return this.#isBroken
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

  async isReset(): Promise<boolean> {
    return this.#file.isReset
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

  async #gather(chunks: Iterable<string>): Promise<void> {
    for (const chunk of chunks) {
      if (!this.#hasRoomFor(chunk)) await this.#writeGathered()
      if (this.#hasRoomFor(chunk)) this.#gathered += this.#buffer.write(chunk, this.#gathered)
      else await this.#startWriting(Buffer.from(chunk))
    }
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
    this.#writing.catch(() => {
      this.#isBroken = true
    })
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

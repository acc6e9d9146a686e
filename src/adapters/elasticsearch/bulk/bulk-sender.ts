import { JobError } from '../../../adapter.js'
import { type Answer, failureOf, isBusy, NoAnswer, Patience, refusal, type SearchServer } from '../client/index.js'
import { type BulkOutcome, bulkFilter, readBulkAnswer } from './bulk-answer.js'
import type { Documents, Refused } from './documents.js'
import { SendWindow } from './send-window.js'

/** How documents are sent. */
export interface SenderOptions {
  /** How many requests may be in flight. */
  readonly concurrency: number
  /** About how large a request may be, in bytes. */
  readonly requestBytes: number
  readonly pipeline?: string | undefined
  /** Whether a document that is sent twice is there once. */
  readonly isRepeatable: boolean
  /** Whether a conflict of a document says that the index has it already, or in a newer version. */
  readonly mayConflict: boolean
}

/** How many documents the index got and lost. */
export interface SentCounts {
  created: number
  deleted: number
  skipped: number
  /** How many documents were sent again after no answer: some of them may be there without being counted. */
  uncertain: number
}

/** Where documents are sent to. */
export interface SendTo {
  readonly index: string
  /** Whether the index must be named by an alias, so that a name that is gone makes no new index. */
  readonly isAlias: boolean
}

/** The documents of one batch, on their way. */
interface Shipment {
  readonly documents: Documents
  readonly batchKey: string
  readonly refused: Refused[]
}

/** Sends documents by `_bulk`. What the server is too busy for is sent again, and nothing else. */
export class BulkSender {
  readonly counts: SentCounts = { created: 0, deleted: 0, skipped: 0, uncertain: 0 }
  /** Whether a failure was no document's fault. */
  isBroken = false
  readonly #server: SearchServer
  readonly #options: SenderOptions
  readonly #window: SendWindow
  readonly #running = new Set<Promise<void>>()
  /** The ids of the documents of each request in flight: two requests with one of them could overtake each other. */
  readonly #ids = new Set<ReadonlySet<string>>()
  #failure: { readonly error: unknown } | undefined
  #spoilt: Shipment[] = []

  constructor(server: SearchServer, options: SenderOptions) {
    this.#server = server
    this.#options = options
    this.#window = new SendWindow(options.concurrency, options.requestBytes)
  }

  /** Starts to send the documents of a batch. Resolves when all of them are on their way. Throws what failed before. */
  async send(documents: Documents, to: SendTo, batchKey: string): Promise<void> {
    this.#throwFailure()
    const shipment: Shipment = { documents, batchKey, refused: [...documents.refused] }
    if (shipment.refused.length > 0) this.#spoilt.push(shipment)
    for (let start = 0; start < documents.sendable.length; ) {
      await this.#window.enter()
      if (this.#failure) {
        this.#window.leave()
        break
      }
      const end = this.#endOf(documents, start)
      const piece = documents.sendable.slice(start, end)
      this.#start(shipment, piece, await this.#untilFree(documents, piece), to)
      start = end
    }
  }

  /** Resolves when the server has all documents. Throws when it refuses some, or fails. */
  async settle(): Promise<void> {
    await this.stopped()
    this.#throwFailure()
  }

  /** Resolves when nothing is in flight. */
  async stopped(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  /** Throws what failed. The documents that the server refuses are named, those of one batch at a time. */
  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error
    const [shipment] = this.#spoilt
    if (!shipment) return
    this.#spoilt = []
    throw refusedError(shipment)
  }

  #endOf({ ends, sendable }: Documents, start: number): number {
    const { size } = this.#window
    const first = startOf(ends, sendable[start] as number)
    let end = start + 1
    while (end < sendable.length && (ends[sendable[end] as number] as number) - first <= size) end++
    return end
  }

  /** Waits while a document of the piece is in flight. Returns its ids, which then are. */
  async #untilFree({ ids }: Documents, piece: readonly number[]): Promise<ReadonlySet<string>> {
    const own = new Set<string>()
    if (!ids) return own
    for (const index of piece) own.add(ids[index] as string)
    if ([...this.#ids].some((others) => intersect(own, others))) await this.stopped()
    return own
  }

  #start(shipment: Shipment, piece: readonly number[], ids: ReadonlySet<string>, to: SendTo): void {
    this.#ids.add(ids)
    const work = this.#deliver(shipment, piece, to)
      .catch((error) => {
        this.isBroken = true
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#running.delete(work)
        this.#ids.delete(ids)
        this.#window.leave()
      })
    this.#running.add(work)
  }

  /** Sends documents until the server has taken or refused each. */
  async #deliver(shipment: Shipment, piece: readonly number[], to: SendTo): Promise<void> {
    const patience = new Patience(this.#server.retryTimeout, this.#server.signal)
    const parts = [piece]
    for (let part = parts.shift(); part; part = parts.shift()) {
      const left = await this.#sendOnce(shipment, part, to, patience)
      parts.unshift(...left)
    }
  }

  /** Sends documents once. Returns those that are left, in the parts to send them in. */
  async #sendOnce(
    shipment: Shipment,
    part: readonly number[],
    to: SendTo,
    patience: Patience,
  ): Promise<readonly (readonly number[])[]> {
    const body = bodyOf(shipment.documents, part)
    const answer = await this.#answerTo(body, to, part.length, patience)
    // Perhaps the request is too large for something between, which ends the connection.
    if (!answer) return halves(part)
    const { status } = answer
    if (status === 413) return this.#tooLarge(shipment, part, body.byteLength, answer)
    if (status < 200 || status >= 300) {
      const error = refusal(answer)
      if (!isBusy(status, failureOf(answer).type)) throw error
      this.#window.shrink()
      await patience.wait(error, answer.retryAfter)
      return [part]
    }
    const outcome = readBulkAnswer(answer, part.length, this.#options.mayConflict)
    return this.#settlePart(shipment, part, outcome, patience, answer.retryAfter)
  }

  /** `undefined` when there is none, and the documents may be sent again. */
  async #answerTo(body: Buffer, to: SendTo, count: number, patience: Patience): Promise<Answer | undefined> {
    const { pipeline, isRepeatable } = this.#options
    const query = {
      filter_path: bulkFilter,
      ...(pipeline !== undefined && { pipeline }),
      ...(to.isAlias && { require_alias: 'true' }),
    }
    const { connection, signal } = this.#server
    const path = `/${encodeURIComponent(to.index)}/_bulk`
    try {
      return await connection.request({ method: 'POST', path, query, body, isBulk: true, signal })
    } catch (error) {
      if (!(error instanceof NoAnswer) || (error.mayBeDone && !isRepeatable)) throw error
      if (error.mayBeDone) this.counts.uncertain += count
      await patience.wait(error)
      return undefined
    }
  }

  #tooLarge(shipment: Shipment, part: readonly number[], size: number, answer: Answer): readonly (readonly number[])[] {
    if (part.length > 1) {
      this.#window.limitTo(size / 2)
      return halves(part)
    }
    const { message } = refusal(answer)
    const reason = new JobError('target', `The document is larger than the server takes. ${message}`, {
      isTransient: false,
    })
    this.#refuse(shipment, [{ index: part[0] as number, reason }])
    return []
  }

  async #settlePart(
    shipment: Shipment,
    part: readonly number[],
    { created, deleted, skipped, busy, refused, fault, reason }: BulkOutcome,
    patience: Patience,
    retryAfter: number | undefined,
  ): Promise<readonly (readonly number[])[]> {
    if (fault) throw fault
    this.counts.created += created
    this.counts.deleted += deleted
    this.counts.skipped += skipped
    this.#refuse(
      shipment,
      refused.map(({ place, reason }) => ({ index: part[place] as number, reason })),
    )
    if (busy.length === 0) {
      this.#window.grow()
      patience.reset()
      return []
    }
    this.#window.shrink()
    if (busy.length < part.length) patience.reset()
    await patience.wait(reason, retryAfter)
    return [againOf(shipment.documents, part, busy)]
  }

  #refuse(shipment: Shipment, refused: readonly Refused[]): void {
    if (refused.length === 0) return
    if (shipment.refused.length === 0) this.#spoilt.push(shipment)
    shipment.refused.push(...refused)
  }
}

/**
 * The documents to send again: those that the server was too busy for, and the later ones of the same `_id`, which would otherwise be
 * overwritten by an older one.
 */
function againOf({ ids }: Documents, part: readonly number[], busy: readonly number[]): readonly number[] {
  const places = new Set(busy)
  const stale = ids && new Set(busy.map((place) => ids[part[place] as number]))
  const first = busy[0] as number
  return part.filter((index, place) => places.has(place) || (place > first && stale?.has(ids?.[index])))
}

/** The body of a request: a part of the bytes, if its documents lie side by side. */
function bodyOf({ bytes, ends }: Documents, part: readonly number[]): Buffer {
  const chunks: Buffer[] = []
  let start = startOf(ends, part[0] as number)
  let end = start
  for (const index of part) {
    const next = startOf(ends, index)
    if (next !== end) {
      chunks.push(bytes.subarray(start, end))
      start = next
    }
    end = ends[index] as number
  }
  chunks.push(bytes.subarray(start, end))
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
}

function startOf(ends: readonly number[], index: number): number {
  return index === 0 ? 0 : (ends[index - 1] as number)
}

function intersect(some: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  for (const id of some) if (others.has(id)) return true
  return false
}

function halves(part: readonly number[]): readonly (readonly number[])[] {
  if (part.length === 1) return [part]
  const middle = part.length >>> 1
  return [part.slice(0, middle), part.slice(middle)]
}

function refusedError({ refused, batchKey }: Shipment): JobError {
  const sorted = [...refused].sort((one, other) => one.index - other.index)
  const [{ reason }] = sorted as [Refused]
  const count = sorted.length === 1 ? '' : `${sorted.length} documents were refused. The first one: `
  const text = reason instanceof Error ? reason.message : String(reason)
  return new JobError('target', `${count}${text}`, {
    ...{ cause: JobError.isInstance(reason) ? reason.cause : reason, isTransient: false, batchKey },
    recordIndexes: sorted.map(({ index }) => index),
  })
}

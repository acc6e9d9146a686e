import type { OpenContext, RecordBatch } from '../../../adapter.js'
import type { SearchServer } from '../client/index.js'
import { BulkSender, type SendTo, type SentCounts } from './bulk-sender.js'
import { DocumentEncoder, type DocumentOptions } from './documents.js'

/** How documents are made and sent. */
export interface DocumentWriterOptions extends DocumentOptions {
  readonly concurrency: number
  readonly requestBytes: number
  readonly pipeline: string | undefined
}

/** Makes documents of batches and sends them. */
export class DocumentWriter {
  readonly #encoder: DocumentEncoder
  readonly #sender: BulkSender
  readonly #toleratesFailures: boolean

  constructor(server: SearchServer, options: DocumentWriterOptions, { toleratesFailures = false }: OpenContext) {
    const { id, operation, version } = options
    this.#encoder = new DocumentEncoder(options)
    this.#sender = new BulkSender(server, {
      ...options,
      isRepeatable: id.length > 0,
      mayConflict: operation === 'create' || version !== undefined,
    })
    this.#toleratesFailures = toleratesFailures
  }

  get counts(): Readonly<SentCounts> {
    return this.#sender.counts
  }

  get isBroken(): boolean {
    return this.#sender.isBroken
  }

  /** Sends a batch. Resolves when it is on its way, or when it is there if failures are tolerated. */
  async write(batch: RecordBatch, to: SendTo, batchKey: string): Promise<void> {
    await this.#sender.send(this.#encoder.documentsOf(batch), to, batchKey)
    if (this.#toleratesFailures) await this.#sender.settle()
  }

  /** Resolves when all documents are there. */
  settle(): Promise<void> {
    return this.#sender.settle()
  }

  /** Resolves when nothing is on its way any more, whatever became of it. */
  async stop(): Promise<void> {
    await this.#sender.stopped()
  }
}

import {
  type Column,
  JobError,
  type OpenContext,
  type RecordBatch,
  type TargetWriter,
  type WriteContext,
} from '../../../adapter.js'
import { DocumentWriter, type DocumentWriterOptions } from '../bulk/index.js'
import type { SearchServer } from '../client/index.js'
import {
  countDocuments,
  createIndex,
  findIndexes,
  type IndexFacts,
  type IndexShape,
  refreshIndex,
} from '../indexes/index.js'

/** How records are added to an index. */
export interface AppendOptions extends DocumentWriterOptions, IndexShape {
  readonly index: string
  readonly createsIndex: boolean
  readonly refreshes: boolean
}

/** Where an appended index stands. */
interface AppendPosition {
  /** Identifies the index. Null for an alias or a data stream, whose index may change, and for an index that is missing. */
  readonly uuid: string | null
}

/** Opens the writer of documents that are added to an index. */
export async function openAppendWriter(
  server: SearchServer,
  options: AppendOptions,
  context: OpenContext,
): Promise<TargetWriter> {
  const found = await findAppended(server, options)
  return new AppendWriter(server, options, context, found)
}

/** The indexes behind the name. Throws when there is none, and none is created. */
export async function findAppended(
  server: SearchServer,
  { index, createsIndex }: Pick<AppendOptions, 'index' | 'createsIndex'>,
): Promise<IndexFacts[]> {
  const found = await findIndexes(server, index)
  if (found.length > 0 || createsIndex) return found
  throw new JobError('target', `Expected an index \`${index}\` to write to, found none.`, { isTransient: false })
}

class AppendWriter implements TargetWriter {
  readonly #server: SearchServer
  readonly #options: AppendOptions
  readonly #context: OpenContext
  readonly #documents: DocumentWriter
  #uuid: string | null
  #isThere: boolean

  constructor(server: SearchServer, options: AppendOptions, context: OpenContext, found: readonly IndexFacts[]) {
    this.#server = server
    this.#options = options
    this.#context = context
    this.#documents = new DocumentWriter(server, options, context)
    this.#isThere = found.length > 0
    this.#uuid = uuidOf(options.index, found)
  }

  get isBroken(): boolean {
    return this.#documents.isBroken
  }

  async write(batch: RecordBatch, { idempotencyKey }: WriteContext): Promise<void> {
    await this.createEmpty(batch.isRaw ? batch.columns : [])
    await this.#documents.write(batch, { index: this.#options.index, isAlias: false }, idempotencyKey)
  }

  async createEmpty(columns: readonly Column[]): Promise<void> {
    if (this.#isThere) return
    const { index } = this.#options
    try {
      await createIndex(this.#server, index, this.#options, columns)
    } catch (error) {
      // The first document creates a data stream by its template.
      if (!String((error as Error).message).includes('data stream')) throw error
    }
    this.#uuid = uuidOf(index, await findIndexes(this.#server, index))
    this.#isThere = true
  }

  async flush(): Promise<AppendPosition> {
    await this.#documents.settle()
    const { ifReset } = this.#context
    if (this.#uuid !== null && ifReset !== undefined && ifReset !== 'continue') await this.#checkSame()
    return { uuid: this.#uuid }
  }

  async isReset(): Promise<boolean> {
    const { index } = this.#options
    if (!this.#isThere) return true
    const { uuid } = Object(this.#context.position) as Partial<AppendPosition>
    if (typeof uuid === 'string' && this.#uuid !== null && uuid !== this.#uuid) return true
    await this.#refresh()
    return ((await countDocuments(this.#server, index)) ?? 0) === 0
  }

  async commit(): Promise<void> {
    await this.#documents.settle()
    if (this.#isThere && this.#options.refreshes) await this.#refresh()
    const { skipped } = this.#documents.counts
    if (skipped > 0)
      this.#context.log?.(`${skipped} documents were there already, or in a newer version, and stay as they are.`)
    this.#server.connection.close()
  }

  async abort(): Promise<void> {
    await this.#documents.stop()
    this.#server.connection.close()
  }

  /** A user who may write may lack the right to refresh: the server then refreshes when it does so by itself. */
  async #refresh(): Promise<void> {
    try {
      await refreshIndex(this.#server, this.#options.index)
    } catch (error) {
      this.#context.warn?.(`The index \`${this.#options.index}\` was not refreshed: ${(error as Error).message}`)
    }
  }

  /** Throws when the index was deleted, or created again, while the job wrote to it. A checkpoint covers no other. */
  async #checkSame(): Promise<void> {
    const { index } = this.#options
    if (uuidOf(index, await findIndexes(this.#server, index)) === this.#uuid) return
    throw new JobError('target', `The index \`${index}\` was deleted or created again while the job wrote to it.`, {
      isTransient: true,
    })
  }
}

/** Identifies an index, if its name is that of an index. */
function uuidOf(index: string, found: readonly IndexFacts[]): string | null {
  return found.find(({ name }) => name === index)?.uuid ?? null
}

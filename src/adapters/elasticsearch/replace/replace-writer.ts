import {
  type Column,
  isTransient,
  JobError,
  type OpenContext,
  type OpenTarget,
  type RecordBatch,
  type Replacement,
  type TargetAbort,
  type TargetWriter,
  type WriteContext,
} from '../../../adapter.js'
import { fewestInPlaceOf, shrinkError } from '../../shared/index.js'
import { DocumentWriter, type DocumentWriterOptions } from '../bulk/index.js'
import type { SearchServer } from '../client/index.js'
import {
  countDocuments,
  deleteIndex,
  findIndexes,
  type IndexFacts,
  type IndexShape,
  refreshIndex,
} from '../indexes/index.js'
import { checkAlias, swapAlias } from './alias.js'
import {
  createGeneration,
  ownGenerations,
  setRefreshInterval,
  takeOver,
  writerAliases,
  writerAliasOf,
} from './generation.js'

/** How the documents of an alias are replaced. */
export interface ReplaceOptions extends DocumentWriterOptions, IndexShape {
  /** The alias. */
  readonly index: string
  readonly maxShrink: number
  /** How many replaced indexes stay. */
  readonly keep: number
}

/** Where a load stands: the index that it fills. */
interface ReplacePosition {
  /** Null when nothing was written. */
  readonly generation: { readonly name: string; readonly uuid: string; readonly refreshInterval: string | null } | null
}

/** The index that a load fills. */
interface Generation {
  readonly facts: IndexFacts
  readonly refreshInterval: string | null
  /** How many documents it had when this execution opened it. */
  readonly before: number
}

/** How long a clean-up may take, in milliseconds. */
const cleanupTimeout = 30_000

/** Opens the writer of documents that replace those of an alias. */
export async function openReplaceWriter(
  server: SearchServer,
  options: ReplaceOptions,
  context: OpenContext,
): Promise<OpenTarget> {
  const replaced = await checkAlias(server, options.index)
  const own = await ownGenerations(server, options.index, context)
  const unfinished = own.filter((generation) => isUnfinished(generation, options.index))
  const resumed = await resumedIn(server, unfinished, options, context)
  for (const { name } of unfinished) if (name !== resumed?.facts.name) await deleteIndex(server, name)
  const writer = new ReplaceWriter(server, options, context, replaced, resumed)
  const isAtStart = Object(context.position).generation === null
  return { writer, resume: resumed || isAtStart || !context.isResumed ? 'position' : 'restart' }
}

/** Whether no execution has completed an index. */
function isUnfinished(generation: IndexFacts, alias: string): boolean {
  return writerAliases(generation).length > 0 && !(alias in generation.aliases)
}

/** The index of the checkpoint, if the load can go on in it: without an `_id`, documents after the checkpoint would be there twice. */
async function resumedIn(
  server: SearchServer,
  unfinished: readonly IndexFacts[],
  { id }: ReplaceOptions,
  context: OpenContext,
): Promise<Generation | undefined> {
  const { generation } = Object(context.position) as Partial<ReplacePosition>
  const { name, uuid, refreshInterval } = Object(generation) as Partial<NonNullable<ReplacePosition['generation']>>
  const facts = unfinished.find((found) => found.name === name && found.uuid === uuid)
  if (!facts || !context.isResumed || id.length === 0) return undefined
  await takeOver(server, facts, context)
  await refreshIndex(server, facts.name)
  const before = (await countDocuments(server, facts.name)) ?? 0
  return { facts, before, refreshInterval: typeof refreshInterval === 'string' ? refreshInterval : null }
}

/** Loads documents into a new index, and lets the alias lead to it when the job commits. */
class ReplaceWriter implements TargetWriter {
  readonly #server: SearchServer
  readonly #options: ReplaceOptions
  readonly #context: OpenContext
  readonly #documents: DocumentWriter
  /** The indexes that the alias led to when the execution began. */
  readonly #replaced: readonly IndexFacts[]
  #generation: Generation | undefined

  constructor(
    server: SearchServer,
    options: ReplaceOptions,
    context: OpenContext,
    replaced: readonly IndexFacts[],
    generation: Generation | undefined,
  ) {
    this.#server = server
    this.#options = options
    this.#context = context
    this.#documents = new DocumentWriter(server, options, context)
    this.#replaced = replaced
    this.#generation = generation
  }

  get isBroken(): boolean {
    return this.#documents.isBroken
  }

  async write(batch: RecordBatch, { idempotencyKey }: WriteContext): Promise<void> {
    await this.createEmpty(batch.isRaw ? batch.columns : [])
    await this.#documents.write(batch, { index: writerAliasOf(this.#context), isAlias: true }, idempotencyKey)
  }

  async createEmpty(columns: readonly Column[]): Promise<void> {
    if (this.#generation) return
    const { index } = this.#options
    const facts = await createGeneration(this.#server, index, this.#options, columns, this.#context)
    this.#generation = { facts, before: 0, refreshInterval: facts.refreshInterval ?? null }
  }

  async flush(): Promise<ReplacePosition> {
    await this.#documents.settle()
    if (!this.#generation) return { generation: null }
    const { facts, refreshInterval } = this.#generation
    return { generation: { name: facts.name, uuid: facts.uuid, refreshInterval } }
  }

  /** The commit counts the documents. */
  async isReset(): Promise<boolean> {
    return false
  }

  async commit(): Promise<Replacement | undefined> {
    await this.#documents.settle()
    await this.createEmpty([])
    const { facts, refreshInterval } = this.#generation as Generation
    try {
      await setRefreshInterval(this.#server, facts.name, refreshInterval)
      await refreshIndex(this.#server, facts.name)
      const counts = await this.#checkCounts(facts.name)
      await swapAlias(this.#server, this.#options.index, this.#replaced, facts, writerAliasOf(this.#context))
      await this.#sweep(facts)
      return { how: 'alias', ...counts }
    } catch (error) {
      // Resuming would fail again. Another execution may go on in the index.
      const isLost = JobError.isInstance(error) && error.code === 'lease_lost'
      if (!isTransient(error) && !isLost && !this.#context.signal.aborted) await this.#discard()
      throw error
    } finally {
      this.#server.connection.close()
    }
  }

  async abort({ leaseLost }: TargetAbort): Promise<void> {
    await this.#documents.stop()
    if (!this.#context.isResumable && !leaseLost) await this.#discard()
    this.#server.connection.close()
  }

  /** Throws unless the index has all documents, and enough of them. */
  async #checkCounts(name: string): Promise<Omit<Replacement, 'how'>> {
    const { index, maxShrink } = this.#options
    const after = (await countDocuments(this.#server, name)) ?? 0
    const { created, deleted, uncertain } = this.#documents.counts
    const fewest = (this.#generation as Generation).before + created - deleted
    if (after < fewest - uncertain || after > fewest + uncertain) {
      const message = `Expected ${fewest} documents in \`${name}\`, found ${after}: \`${index}\` stays as it is.`
      throw new JobError('target', message, { isTransient: false })
    }
    if (maxShrink === 1) return { after }
    const before = this.#replaced.length === 0 ? 0 : ((await countDocuments(this.#server, index)) ?? 0)
    if (after < fewestInPlaceOf(before, maxShrink)) throw shrinkError(index, before, after, maxShrink)
    return { before, after }
  }

  /** Deletes what the job has replaced, but for what is to stay. The alias leads to the new index: nothing here fails the job. */
  async #sweep(current: IndexFacts): Promise<void> {
    try {
      const { index, keep } = this.#options
      const own = await ownGenerations(this.#server, index, this.#context)
      const old = own.filter((found) => found.name !== current.name && !(index in found.aliases))
      const complete = old.filter((found) => writerAliases(found).length === 0)
      for (const { name } of complete.slice(keep)) await deleteIndex(this.#server, name)
    } catch (error) {
      this.#context.warn?.(`Replaced indexes were not deleted, which a later run does: ${(error as Error).message}`)
    }
  }

  /** Deletes the new index. */
  async #discard(): Promise<void> {
    const { facts } = this.#generation ?? {}
    if (!facts) return
    this.#generation = undefined
    const server = this.#server.withSignal(AbortSignal.timeout(cleanupTimeout))
    try {
      const [found] = await findIndexes(server, facts.name)
      if (found?.uuid === facts.uuid && !(this.#options.index in found.aliases)) await deleteIndex(server, facts.name)
    } catch (error) {
      this.#context.warn?.(
        `The index \`${facts.name}\` was not deleted, which the next run does: ${(error as Error).message}`,
      )
    }
  }
}

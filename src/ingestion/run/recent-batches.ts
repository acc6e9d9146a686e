import { chain, type RecordPlace, read } from '../../core/base/index.js'
import type { TransformedBatch } from '../definition/index.js'
import { type NamedBatch, noKeys, type RecordKeys, type RecordPlaces } from './record-place.js'

/** Maximum number of records whose batches are remembered. A target names an earlier record soon after it was written. */
const maxRecords = 200_000

/** Maximum number of batches that are remembered. */
const maxBatches = 10_000

/** Maximum size of the keys that are remembered besides those of the last batch, in bytes. */
const maxKeys = 1 << 22

interface RecentBatch extends Pick<TransformedBatch, 'originOf'>, NamedBatch {
  /** The number of records that were read, and of those that were written. */
  readonly length: number
  readonly written: number
  keys: RecordKeys
}

/** The batches that were written last: a target may refuse a record while it receives a later batch, or in a flush. */
export class RecentBatches {
  readonly #places: RecordPlaces
  readonly #batches = new Map<string, RecentBatch>()
  /** Those whose keys are remembered. */
  readonly #keyed = new Set<RecentBatch>()
  #records = 0
  #keys = 0
  /** The number of the last record. */
  #last = 0

  constructor(places: RecordPlaces) {
    this.#places = places
  }

  /** Call before a batch is written. `length` is the number of its records as they were read. */
  add(key: string, batch: NamedBatch & { readonly length: number }, transformed: TransformedBatch): void {
    const { originOf, batch: result } = transformed
    const recent = { ...batch, originOf, written: result.length }
    this.#last = batch.first + batch.length - 1
    this.#batches.set(key, recent)
    this.#records += recent.written
    this.#addKeys(recent)
    for (const [oldest, { written }] of this.#batches) {
      if (this.#records <= maxRecords && this.#batches.size <= maxBatches) return
      this.#batches.delete(oldest)
      this.#records -= written
    }
  }

  #addKeys(batch: RecentBatch): void {
    this.#keyed.add(batch)
    this.#keys += batch.keys.size
    for (const oldest of this.#keyed) {
      if (this.#keys <= maxKeys || oldest === batch) return
      this.#keyed.delete(oldest)
      this.#keys -= oldest.keys.size
      oldest.keys = noKeys
    }
  }

  /**
   * Where the target failed. An error that names a record names its batch by `batchKey`, and otherwise means the batch that is being
   * `written`. One that names no record means that batch only if the target `keepsNone` for later.
   */
  placeOf(error: unknown, written: string | undefined, keepsNone: boolean): RecordPlace {
    const named = namedIn(error)
    const key = named.key ?? (named.indexes.length > 0 || keepsNone ? written : undefined)
    const batch = key === undefined ? undefined : this.#batches.get(key)
    if (!batch) return this.#places.upTo(this.#last)
    const [index] = sourceIndexes(named.indexes, { length: batch.written, originOf: batch.originOf })
    return this.#places.of(batch, 'target', index ?? { start: 0, end: batch.length })
  }
}

/** The indexes of the source records that an error names, as far as they are in the written batch: a target may name anything. */
export function originsOf(error: unknown, { batch, originOf }: TransformedBatch): number[] {
  return sourceIndexes(namedIn(error).indexes, { length: batch.length, originOf })
}

function sourceIndexes(
  indexes: readonly number[],
  { length, originOf }: Pick<TransformedBatch, 'originOf'> & { readonly length: number },
): number[] {
  const written = indexes.slice(0, length).filter((index) => index >= 0 && index < length)
  return written.map(originOf).filter((origin) => origin !== undefined)
}

/** How many records of an error are looked at. */
const maxNamed = 100_000

/** The records that an error names, and the key of their batch. */
function namedIn(error: unknown): { readonly indexes: readonly number[]; readonly key?: string } {
  for (const link of chain(error)) {
    const several = read(link, 'recordIndexes')
    const named: unknown[] = Array.isArray(several) ? several : [read(link, 'recordIndex')]
    // A longer list than any batch is an error of the target's.
    const indexes = named.slice(0, maxNamed).filter((index): index is number => Number.isSafeInteger(index))
    if (indexes.length === 0) continue
    const key = read(link, 'batchKey')
    return { indexes, ...(typeof key === 'string' && { key }) }
  }
  return { indexes: [] }
}

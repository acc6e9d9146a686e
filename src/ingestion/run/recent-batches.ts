import { chain, type RecordPlace, read } from '../../core/base/index.js'
import type { TransformedBatch } from '../definition/index.js'

/** Maximum number of records whose batches are remembered. A target names an earlier record soon after it was written. */
const maxRecords = 200_000

/** Maximum number of batches that are remembered. */
const maxBatches = 10_000

interface RecentBatch extends Pick<TransformedBatch, 'originOf'> {
  readonly number: number
  readonly length: number
}

/** The batches that were written last: a target may refuse a record while it receives a later batch, or in a flush. */
export class RecentBatches {
  readonly #batches = new Map<string, RecentBatch>()
  #records = 0

  /** Call before a batch is written. */
  add({ key, number }: { readonly key: string; readonly number: number }, { batch, originOf }: TransformedBatch): void {
    this.#batches.set(key, { number, originOf, length: batch.length })
    this.#records += batch.length
    for (const [oldest, { length }] of this.#batches) {
      if (this.#records <= maxRecords && this.#batches.size <= maxBatches) return
      this.#batches.delete(oldest)
      this.#records -= length
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
    if (!batch) return { phase: 'target' }
    const [recordIndex] = sourceIndexes(named.indexes, batch)
    return { batch: batch.number, ...(recordIndex !== undefined && { recordIndex }), phase: 'target' }
  }
}

/** The indexes of the source records that an error names, as far as they are in the written batch: a target may name anything. */
export function originsOf(error: unknown, { batch, originOf }: TransformedBatch): number[] {
  return sourceIndexes(namedIn(error).indexes, { length: batch.length, originOf })
}

function sourceIndexes(
  indexes: readonly number[],
  { length, originOf }: Pick<RecentBatch, 'length' | 'originOf'>,
): number[] {
  const written = indexes.slice(0, length).filter((index) => index >= 0 && index < length)
  return written.map(originOf).filter((origin) => origin !== undefined)
}

/** The records that an error names, and the key of their batch. */
function namedIn(error: unknown): { readonly indexes: readonly number[]; readonly key?: string } {
  for (const link of chain(error)) {
    const several = read(link, 'recordIndexes')
    const named: unknown[] = Array.isArray(several) ? several : [read(link, 'recordIndex')]
    const indexes = named.filter((index): index is number => Number.isSafeInteger(index))
    if (indexes.length === 0) continue
    const key = read(link, 'batchKey')
    return { indexes, ...(typeof key === 'string' && { key }) }
  }
  return { indexes: [] }
}

import { JobError } from '../core/base/index.js'
import type { EncodedRows, ReadBatch, RecordBatch } from '../ingestion/index.js'
import { quotedNames } from './cursor-position.js'

/**
 * The cursor columns of the records.
 *
 * @experimental
 */
export interface CursorColumns {
  readonly names: readonly string[]
  /** For each column, a function that maps equal values to equal text. Default: their text is equal already. */
  readonly canonical?: readonly (((raw: string) => string) | undefined)[]
}

/**
 * Returns the position after a record from the raw values of its cursor columns. It may be called again later, with a record of an earlier batch.
 *
 * @experimental
 */
export type PositionOf = (values: readonly unknown[]) => unknown

/** Encoded rows that can be compared without decoding. */
interface ComparableRows extends EncodedRows {
  /** Whether two consecutive rows may have the same value in a column. */
  repeats(column: number): boolean
  /** The raw text of a column in the first row. */
  firstValue(column: number): string | null
}

function isComparable(rows: EncodedRows | undefined): rows is ComparableRows {
  return rows !== undefined && 'repeats' in rows && 'firstValue' in rows
}

/** The cursor values of the records of a batch. */
class Keys {
  readonly #batch: RecordBatch
  readonly #names: readonly string[]
  readonly #canonical: Required<CursorColumns>['canonical']
  #columns: readonly (readonly unknown[])[] | undefined

  constructor(batch: RecordBatch, { names, canonical = [] }: CursorColumns) {
    this.#batch = batch
    this.#names = names
    this.#canonical = canonical
  }

  at(index: number): readonly unknown[] {
    return this.#values.map((values) => values[index])
  }

  /** The values of the last record. */
  get last(): readonly unknown[] {
    return this.#names.map((name) => this.#batch.lastValueOf(name))
  }

  /**
   * The index of the first record that is tied with the one before it. For the first record, that is `last`, the last
   * record of the previous batch.
   */
  firstTied(last: readonly unknown[] | undefined): number | undefined {
    if (!this.#mayTie(last)) return undefined
    for (let index = 0; index < this.#batch.length; index++) if (this.isTied(index, last)) return index
    return undefined
  }

  isTied(index: number, last: readonly unknown[] | undefined): boolean {
    if (index === 0 && !last) return false
    // The last column differs most often.
    for (let column = this.#names.length - 1; column >= 0; column--) {
      const values = this.#values[column] as readonly unknown[]
      const before = index === 0 ? last?.[column] : values[index - 1]
      if (!this.#isSame(column, before, values[index])) return false
    }
    return true
  }

  get #values(): readonly (readonly unknown[])[] {
    this.#columns ??= this.#names.map((name) => this.#batch.valuesOf(name))
    return this.#columns
  }

  /** Compares bytes to rule out ties in the last column without decoding values. */
  #mayTie(last: readonly unknown[] | undefined): boolean {
    const { encoded } = this.#batch
    const column = this.#names.length - 1
    if (!isComparable(encoded) || this.#canonical[column]) return true
    const index = this.#batch.indexOf(this.#names[column] as string)
    return encoded.repeats(index) || (last !== undefined && encoded.firstValue(index) === last[column])
  }

  #isSame(column: number, a: unknown, b: unknown): boolean {
    if (a === b || a === null || b === null) return a === b
    const canonical = this.#canonical[column]
    return canonical !== undefined && canonical(a as string) === canonical(b as string)
  }
}

/**
 * Sets the position of every batch. Throws at the first two tied records.
 *
 * @experimental
 */
export async function* refuseTies(
  batches: AsyncIterable<RecordBatch>,
  columns: CursorColumns,
  positionOf: PositionOf,
): AsyncGenerator<ReadBatch> {
  let last: readonly unknown[] | undefined
  for await (const batch of batches) {
    const keys = new Keys(batch, columns)
    const tied = keys.firstTied(last)
    if (tied !== undefined) {
      if (tied > 1) {
        yield {
          batch: batch.slice(0, tied - 1),
          position: positionOf(keys.at(tied - 2)),
          positionAfter: after(keys, positionOf),
        }
      }
      throw tieFailure(columns.names, keys.at(tied))
    }
    last = keys.last
    yield { batch, position: positionOf(last), positionAfter: after(keys, positionOf) }
  }
}

/** Finds the position within a batch, unless the next record is tied with the one before it. */
function after(keys: Keys, positionOf: PositionOf): (count: number) => unknown {
  return (count) => (keys.isTied(count, undefined) ? undefined : positionOf(keys.at(count - 1)))
}

/**
 * Splits batches before their last group of tied records and holds that group until the next batch shows whether it
 * is complete. Only a batch that ends with a complete group has a position.
 *
 * @experimental
 */
export async function* drainTies(
  batches: AsyncIterable<RecordBatch>,
  columns: CursorColumns,
  positionOf: PositionOf,
): AsyncGenerator<ReadBatch> {
  let open: RecordBatch | undefined
  let last: readonly unknown[] | undefined
  for await (const batch of batches) {
    const keys = new Keys(batch, columns)
    if (open && last) yield keys.isTied(0, last) ? { batch: open } : { batch: open, position: positionOf(last) }
    let start = batch.length - 1
    while (start > 0 && keys.isTied(start, undefined)) start--
    if (start > 0) {
      yield {
        batch: batch.slice(0, start),
        position: positionOf(keys.at(start - 1)),
        positionAfter: after(keys, positionOf),
      }
    }
    open = start > 0 ? batch.slice(start, batch.length) : batch
    last = keys.last
  }
  if (open && last) yield { batch: open, position: positionOf(last) }
}

/**
 * The error for two tied records, with the remedies.
 *
 * @experimental
 */
export function tieFailure(names: readonly string[], values: readonly unknown[]): JobError {
  const example = [...names, 'id'].map((name) => `'${name}'`).join(', ')
  const shown = names.includes('id') ? '' : `: \`cursor: [${example}]\``
  return new JobError(
    'datasource',
    `Several records have the same ${quotedNames(names)} (${values.join(', ')}), so reading cannot resume between them. Add a unique column to the end of \`cursor\`, such as the primary key${shown}; or read such records together with \`ties: 'drain'\`.`,
  )
}

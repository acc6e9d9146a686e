import { JobError, type RecordBatch } from '../index.js'
import { list } from './_postgres-position.js'
import { Tuples } from './_postgres-tuples.js'

/** The columns of a cursor among those of the records. */
export interface CursorColumns {
  readonly names: readonly string[]
  /** For each column, what makes the same text of values that the server takes for the same, unless their text is the same. */
  readonly canonical: readonly (((raw: string) => string) | undefined)[]
}

/** Makes the position after a record of the raw values of its cursor. */
export type PositionOf = (values: readonly unknown[]) => unknown

/** The values of a cursor in the records of a batch. */
class Keys {
  readonly #batch: RecordBatch
  readonly #names: readonly string[]
  readonly #canonical: CursorColumns['canonical']
  #columns: readonly (readonly unknown[])[] | undefined

  constructor(batch: RecordBatch, { names, canonical }: CursorColumns) {
    this.#batch = batch
    this.#names = names
    this.#canonical = canonical
  }

  at(index: number): readonly unknown[] {
    return this.#values.map((values) => values[index])
  }

  /** Those of the last record. */
  get last(): readonly unknown[] {
    return this.#names.map((name) => this.#batch.lastValueOf(name))
  }

  /** The first record that is tied with the one before it, which for the first one is `last`, the last of the batch before. */
  firstTied(last: readonly unknown[] | undefined): number | undefined {
    if (!this.#mayTie(last)) return undefined
    for (let index = 0; index < this.#batch.length; index++) if (this.isTied(index, last)) return index
    return undefined
  }

  isTied(index: number, last: readonly unknown[] | undefined): boolean {
    if (index === 0 && !last) return false
    // The last column is the one that most often differs.
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

  /** Bytes can tell that the last column always differs, without a value being read. */
  #mayTie(last: readonly unknown[] | undefined): boolean {
    const { encoded } = this.#batch
    const column = this.#names.length - 1
    if (!(encoded instanceof Tuples) || this.#canonical[column]) return true
    const index = this.#batch.indexOf(this.#names[column] as string)
    return encoded.repeats(index) || (last !== undefined && encoded.firstValue(index) === last[column])
  }

  #isSame(column: number, a: unknown, b: unknown): boolean {
    if (a === b || a === null || b === null) return a === b
    const canonical = this.#canonical[column]
    return canonical !== undefined && canonical(a as string) === canonical(b as string)
  }
}

/** Gives every batch its position, and fails at the first two records that are tied. */
export async function* refuseTies(
  batches: AsyncIterable<RecordBatch>,
  columns: CursorColumns,
  positionOf: PositionOf,
): AsyncGenerator<RecordBatch> {
  let last: readonly unknown[] | undefined
  for await (const batch of batches) {
    const keys = new Keys(batch, columns)
    const tied = keys.firstTied(last)
    if (tied !== undefined) {
      if (tied > 1) yield placed(batch.slice(0, tied - 1), positionOf(keys.at(tied - 2)))
      throw tieFailure(columns.names, keys.at(tied))
    }
    last = keys.last
    yield placed(batch, positionOf(last))
  }
}

/**
 * Cuts batches where the last ties in them begin, and keeps those back until the next batch shows whether they are
 * complete: only what ends with all ties of its last record has a position.
 */
export async function* drainTies(
  batches: AsyncIterable<RecordBatch>,
  columns: CursorColumns,
  positionOf: PositionOf,
): AsyncGenerator<RecordBatch> {
  let open: RecordBatch | undefined
  let last: readonly unknown[] | undefined
  for await (const batch of batches) {
    const keys = new Keys(batch, columns)
    if (open && last) yield keys.isTied(0, last) ? open : placed(open, positionOf(last))
    let start = batch.length - 1
    while (start > 0 && keys.isTied(start, undefined)) start--
    if (start > 0) yield placed(batch.slice(0, start), positionOf(keys.at(start - 1)))
    open = start > 0 ? batch.slice(start, batch.length) : batch
    last = keys.last
  }
  if (open && last) yield placed(open, positionOf(last))
}

function placed(batch: RecordBatch, position: unknown): RecordBatch {
  batch.position = position
  return batch
}

/** What is wrong with two records that are tied, and what to do about it. */
export function tieFailure(names: readonly string[], values: readonly unknown[]): JobError {
  const example = [...names, 'id'].map((name) => `'${name}'`).join(', ')
  return new JobError(
    'datasource',
    `Several records have the same ${list(names)} (${values.join(', ')}), so that reading could not go on between them. Add a unique column to the end of \`cursor\`, such as the primary key: \`cursor: [${example}]\`; or read such records as one with \`ties: 'drain'\`.`,
  )
}

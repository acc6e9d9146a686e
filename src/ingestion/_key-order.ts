import { JobError } from '../core/errors.js'
import { compareKeys, type KeyKind, keyKindOf } from './_keys.js'
import type { Plan } from './_plan.js'
import type { Column, RecordBatch } from './batch.js'
import type { KeyComparison } from './query.js'

/** The text of an id, or `null`. */
type Key = string | null

/**
 * Checks that records come in the order in which the query resumes: where it reads only ids behind the last one, records that come
 * later with smaller ids are never read after an error, nor are those with the same one, or with none.
 */
export class KeyOrder {
  readonly comparison: KeyComparison
  readonly #pkField: string
  /** The last id in order, and that of the last record. */
  #last: string | undefined
  #lastKey: Key | undefined
  #isFirst = true
  #isDisordered = false
  #isAmid = false

  constructor(pkField: string, comparison: KeyComparison) {
    this.#pkField = pkField
    this.comparison = comparison
  }

  /** The check of a run that may be resumed; `undefined` where the query compares no id with the last one. */
  static of({ pkField, query, isResumable }: Plan): KeyOrder | undefined {
    const comparison = isResumable && pkField !== undefined ? query.comparisonOf(pkField) : undefined
    return comparison && new KeyOrder(pkField as string, comparison)
  }

  /** Whether a run that resumed from the place that was reached could miss records. */
  get isUnsafe(): boolean {
    return this.#isDisordered || this.#isAmid
  }

  /**
   * Takes in what comes next. Gives whether its ids go on from those before, in order. A query with `order by` is taken at its word
   * inside of a batch: there, the last record tells. Throws `datasource` when nobody can know.
   */
  meet(batch: RecordBatch): boolean {
    const kind = this.#kindIn(batch)
    this.#isAmid = this.#isSame(this.#lastKey, this.#keysIn(batch, 0, 1)[0], kind)
    const isWhole = this.#isFirst || !this.comparison.isOrdered
    const keys = (isWhole ? batch.valuesOf(this.#pkField) : [batch.lastValueOf(this.#pkField)]).map(keyOf)
    this.#isFirst = false
    const texts = keys.filter((key) => key !== null)
    if (kind === 'unknown' && !this.comparison.isOrdered && texts.length > 1) throw unknowable(this.#pkField)
    const follows = texts.every((text) => this.#isNext(text, kind))
    if (!follows || !this.comparison.isOrdered) this.#isDisordered = true
    return follows
  }

  /** Comes behind the first records of a batch. What comes next may be equal to the last one if that is equal to the one before. */
  pass(batch: RecordBatch, count: number): void {
    if (count === 0) return
    const from = Math.max(0, count - 2)
    const keys = this.#keysIn(batch, from, count + 1)
    this.#lastKey = keys[count - 1 - from]
    const other = count < batch.length ? keys.at(-1) : keys[count - 2 - from]
    this.#isAmid = this.#isSame(this.#lastKey, other, this.#kindIn(batch))
  }

  /** Takes in what comes behind the last record that is written: no record, when all were read. */
  end(beyond?: RecordBatch): void {
    if (beyond) this.#isAmid = this.#isSame(this.#lastKey, this.#keysIn(beyond, 0, 1)[0], this.#kindIn(beyond))
    else [this.#isDisordered, this.#isAmid] = [false, false]
  }

  #kindIn(batch: RecordBatch): KeyKind {
    const column = batch.columns[batch.indexOf(this.#pkField)] as Column
    return this.comparison.kind ?? keyKindOf(column, batch.lastValueOf(this.#pkField))
  }

  #keysIn(batch: RecordBatch, start: number, end: number): Key[] {
    if (batch.encoded) return batch.slice(start, end).valuesOf(this.#pkField).map(keyOf)
    const index = batch.indexOf(this.#pkField)
    return batch.rows.slice(start, end).map((row) => keyOf(row[index]))
  }

  /** Whether a query that reads what is behind the one misses the other. */
  #isSame(one: Key | undefined, other: Key | undefined, kind: KeyKind): boolean {
    if (one === undefined) return false
    if (one === null || other === null) return true
    if (other === undefined || this.comparison.isInclusive) return false
    return one === other || compareKeys(one, other, kind) === 0
  }

  #isNext(text: string, kind: KeyKind): boolean {
    const before = this.#last
    this.#last = text
    const order = before === undefined ? 0 : (compareKeys(before, text, kind) ?? 0)
    return this.comparison.direction === 'rising' ? order <= 0 : order >= 0
  }
}

function keyOf(value: unknown): Key {
  if (value === null || value === undefined) return null
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : String(value)
}

/** What is wrong with a query whose ids are out of order. */
export function orderFailure(pkField = 'id', { direction }: KeyComparison): JobError {
  return new JobError(
    'datasource',
    `The ids of \`${pkField}\` are not ${direction}, so that resuming behind the last one would lose records: end the query with \`order by ${pkField}${direction === 'falling' ? ' desc' : ''}\`, or read by \`cursor\`, and run the job once with \`resume: 'restart'\`.`,
  )
}

function unknowable(pkField: string): JobError {
  return new JobError(
    'datasource',
    `Nobody but the server can tell whether the texts of \`${pkField}\` are in order: end the query with \`order by ${pkField}\`, or read by \`cursor\`.`,
  )
}

/** What is wrong with a checkpoint that was made between ids that a query cannot resume between. */
export function unorderedFailure(pkField = 'id'): JobError {
  return new JobError(
    'checkpoint',
    `The run before stopped between ids of \`${pkField}\` that are out of order, equal or null, so that records would be lost: end the query with \`order by ${pkField}\` and choose a \`pkField\` that is unique, or read by \`cursor\`, and run the job once with \`resume: 'restart'\`.`,
  )
}

import { JobError } from '../core/errors.js'
import { compareKeys, type KeyKind, keyKindOf } from './_keys.js'
import type { Plan } from './_plan.js'
import type { Column, RecordBatch } from './batch.js'
import type { KeyComparison } from './query.js'

/**
 * Checks that records come in the order in which the query resumes: where it reads only ids behind the last one, records that come
 * later with smaller ids are never read after an error.
 */
export class KeyOrder {
  readonly comparison: KeyComparison
  readonly #pkField: string
  #last: string | undefined
  #isFirst = true

  constructor(pkField: string, comparison: KeyComparison) {
    this.#pkField = pkField
    this.comparison = comparison
  }

  /** The check of a run that may be resumed; `undefined` where the query compares no id with the last one. */
  static of({ pkField, query, isResumable }: Plan): KeyOrder | undefined {
    const comparison = isResumable && pkField !== undefined ? query.comparisonOf(pkField) : undefined
    return comparison && new KeyOrder(pkField as string, comparison)
  }

  /**
   * Whether the ids of a batch go on from those before, in order. A query with `order by` is taken at its word inside of
   * a batch: there, the last record tells. Throws `datasource` when nobody can know.
   */
  follows(batch: RecordBatch): boolean {
    const column = batch.columns[batch.indexOf(this.#pkField)] as Column
    const isWhole = this.#isFirst || !this.comparison.isOrdered
    const values = isWhole ? batch.valuesOf(this.#pkField) : [batch.lastValueOf(this.#pkField)]
    this.#isFirst = false
    const texts = values.flatMap((value) => (value === null || value === undefined ? [] : textOf(value)))
    const kind = keyKindOf(column, values[0])
    if (kind === 'unknown' && !this.comparison.isOrdered && texts.length > 1) throw unknowable(this.#pkField)
    return texts.every((text) => this.#isNext(text, kind))
  }

  #isNext(text: string, kind: KeyKind): boolean {
    const before = this.#last
    this.#last = text
    const order = before === undefined ? 0 : (compareKeys(before, text, kind) ?? 0)
    return this.comparison.direction === 'rising' ? order <= 0 : order >= 0
  }
}

function textOf(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value)
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

/** What is wrong with a checkpoint that was made between ids that are out of order. */
export function unorderedFailure(pkField = 'id'): JobError {
  return new JobError(
    'checkpoint',
    `The run before stopped between ids of \`${pkField}\` that are out of order, so that records would be lost: end the query with \`order by ${pkField}\`, or read by \`cursor\`, and run the job once with \`resume: 'restart'\`.`,
  )
}

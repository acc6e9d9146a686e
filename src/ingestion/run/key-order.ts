import { JobError } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { Column, RecordBatch } from '../contract/index.js'
import { compareKeys, type IngestionPlan, type KeyComparison, type KeyKind, keyKindOf } from '../definition/index.js'

/** The text of an id, or `null`. */
type Key = string | null

/**
 * Checks that records come in the order in which the query resumes. If the query reads only ids after the last one, an error would
 * lose later records with smaller, equal or null ids.
 */
export class KeyOrder {
  readonly comparison: KeyComparison
  readonly #pkField: string
  /** The last id in order, and the id of the last record. */
  #last: string | undefined
  #lastKey: Key | undefined
  #isFirst = true
  #isDisordered = false
  #isAmid = false

  constructor(pkField: string, comparison: KeyComparison) {
    this.#pkField = pkField
    this.comparison = comparison
  }

  /** The check of a resumable run. `undefined` when the query compares no id with the last one. */
  static of({ pkField, query, isResumable }: IngestionPlan): KeyOrder | undefined {
    const comparison = isResumable && pkField !== undefined ? query.comparisonOf(pkField) : undefined
    return comparison && new KeyOrder(pkField as string, comparison)
  }

  /** Whether a run that resumed from the current position could miss records. */
  get isUnsafe(): boolean {
    return this.#isDisordered || this.#isAmid
  }

  /**
   * Checks the next batch. Returns whether its ids continue in order. Within a batch of a query with `order by`, only the last record is
   * checked. Throws `datasource` when the order cannot be known.
   */
  checkRead(batch: RecordBatch): boolean {
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

  /** Records that the first `count` records of a batch are written. Later ids may equal the last one if that equals the one before. */
  recordWritten(batch: RecordBatch, count: number): void {
    if (count === 0) return
    const from = Math.max(0, count - 2)
    const keys = this.#keysIn(batch, from, count + 1)
    this.#lastKey = keys[count - 1 - from]
    const other = count < batch.length ? keys.at(-1) : keys[count - 2 - from]
    this.#isAmid = this.#isSame(this.#lastKey, other, this.#kindIn(batch))
  }

  /** Records what follows the last written record: nothing, when everything was read. */
  recordEnd(beyond?: RecordBatch): void {
    if (beyond) this.#isAmid = this.#isSame(this.#lastKey, this.#keysIn(beyond, 0, 1)[0], this.#kindIn(beyond))
    else [this.#isDisordered, this.#isAmid] = [false, false]
  }

  #kindIn(batch: RecordBatch): KeyKind {
    const column = batch.columns[batch.indexOf(this.#pkField)] as Column
    return this.comparison.kind ?? keyKindOf(column, batch.lastValueOf(this.#pkField))
  }

  #keysIn(batch: RecordBatch, start: number, end: number): Key[] {
    if (batch.isRaw) return batch.slice(start, end).valuesOf(this.#pkField).map(keyOf)
    return batch.valuesOf(this.#pkField).slice(start, end).map(keyOf)
  }

  /** Whether a query that resumes after `one` misses `other`. */
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

/**
 * Warns when the query compares another column than `pkField` with the last id, and both are not equal: a run that resumes would miss records,
 * or read them again.
 */
export function warnOfOtherKey(
  { pkField, query, isResumable }: IngestionPlan,
  { warnOnce }: Pick<ExecutionContext, 'warnOnce'>,
  batch: RecordBatch,
): void {
  const other = isResumable && pkField !== undefined ? query.otherKeyOf(pkField) : undefined
  if (pkField === undefined || other === undefined || !batch.columns.some(({ name }) => name === other)) return
  if (keyOf(batch.lastValueOf(other)) === keyOf(batch.lastValueOf(pkField))) return
  warnOnce(
    `The query compares \`${other}\` with {{last_id}}, which is the last \`${pkField}\`, and these differ: a run that resumes may miss records or read ` +
      `them again. Set \`pkField: '${other}'\`, or compare \`${pkField}\`.`,
  )
}

/** The error for a query whose ids are out of order. */
export function orderFailure(pkField = 'id', { direction }: KeyComparison): JobError {
  return new JobError(
    'datasource',
    `The ids of \`${pkField}\` are not ${direction}, so resuming after the last one would lose records: end the query with \`order by ${pkField}${direction === 'falling' ? ' desc' : ''}\`, or read by \`cursor\`, and start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), or call \`reset\`.`,
  )
}

function unknowable(pkField: string): JobError {
  return new JobError(
    'datasource',
    `Only the server knows the order of the texts of \`${pkField}\`: end the query with \`order by ${pkField}\`, or read by \`cursor\`.`,
  )
}

/** The error for a checkpoint between ids that a query cannot resume between. */
export function unorderedFailure(pkField = 'id'): JobError {
  return new JobError(
    'checkpoint',
    `The previous run stopped between ids of \`${pkField}\` that are out of order, equal or null, so resuming would lose records: end the query with \`order by ${pkField}\` and choose a \`pkField\` that is unique, or read by \`cursor\`, and start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), or call \`reset\`.`,
  )
}

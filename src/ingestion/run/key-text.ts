import { JobError } from '../../core/base/index.js'
import { type Column, ownValue, type ReadBatch } from '../contract/index.js'

/** Maximum length of a primary key in a checkpoint, in UTF-16 code units. A truncated key would resume elsewhere. */
export const maxKeyLength = 8192

/** The last primary key of a batch that is not null. With parallel ranges: of the last record before which none is missing. */
export function lastKey({ batch, parallel }: ReadBatch, pkField: string): string | undefined {
  const column = batch.columns[batch.indexOf(pkField)] as Column
  if (parallel) return keyOf(ownValue(parallel.reached, pkField), column)
  const last = batch.lastValueOf(pkField) ?? batch.valuesOf(pkField).findLast((value) => value !== null)
  return keyOf(last, column)
}

/**
 * The text of a value, which the datasource reads as the same value. Values that decode to an object, such as bytes, arrays or dates
 * with a loss, keep the datasource's text. Throws `datasource` when there is no such text, or it is too long to store.
 */
export function keyOf(raw: unknown, { name, decode }: Pick<Column, 'name' | 'decode'>): string | undefined {
  if (raw === null || raw === undefined) return undefined
  const value = decode ? decode(raw as string) : raw
  const text = typeof value === 'object' && typeof raw === 'string' ? raw : scalarText(value)
  if (text === undefined) throw keyFailure(name, 'be numbers, texts, booleans or dates', `${kindOf(value)}.`)
  if (text.length <= maxKeyLength) return text
  const remedy = 'choose a shorter key, or a digest of it in the query.'
  throw keyFailure(name, `have up to ${maxKeyLength} characters`, `one of ${text.length}: ${remedy}`)
}

function scalarText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString()
  return ['number', 'bigint', 'boolean'].includes(typeof value) ? String(value) : undefined
}

function kindOf(value: unknown): string {
  if (value instanceof Date) return 'an invalid date'
  return typeof value === 'object' ? `an ${Object.prototype.toString.call(value).slice(8, -1)}` : `a ${typeof value}`
}

function keyFailure(pkField: string, expected: string, got: string): JobError {
  return new JobError('datasource', `Expected the values of \`pkField\` (\`${pkField}\`) to ${expected}, got ${got}`)
}

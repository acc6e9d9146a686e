import { JobError } from '../core/errors.js'
import type { Column, RecordBatch } from './batch.js'

/** The longest value of a primary key that a checkpoint keeps, in UTF-16 code units: none is cut, which would resume elsewhere. */
export const maxKeyLength = 8192

/** The text of the primary key in the last record of a batch that has one; in a read in ranges, in the last that none is missing before. */
export function lastKey(batch: RecordBatch, pkField: string): string | undefined {
  const column = batch.columns[batch.indexOf(pkField)] as Column
  if (batch.split) return keyOf(batch.split.reached[pkField], column)
  const last = batch.lastValueOf(pkField) ?? batch.valuesOf(pkField).findLast((value) => value !== null)
  return keyOf(last, column)
}

/**
 * The text of a value, which the datasource takes for the same value. What is decoded to an object, such as bytes, an array or a
 * date that holds less than its text, stays the text that the datasource wrote. Throws `datasource` when there is none, or it is too
 * long to be kept.
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

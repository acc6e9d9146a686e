import { JobError } from '../../../adapter.js'
import type { StoredValue } from '../client/index.js'

const [lowest, highest] = [-(2n ** 63n), 2n ** 63n - 1n]

/** The values of a query as SQLite stores them. Throws `invalid_options` for one that it cannot store. */
export function boundValues(values: readonly unknown[]): StoredValue[] {
  return values.map((value, index) => boundOf(value) ?? refuse(value, index))
}

function boundOf(value: unknown): StoredValue | undefined {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return numberOf(value)
    case 'bigint':
      return value >= lowest && value <= highest ? value : undefined
    case 'boolean':
      return value ? 1n : 0n
    case 'undefined':
      return null
    default:
      return boundOfObject(value)
  }
}

/** The drivers bind numbers as floating point, and bigints as integers. */
export function numberOf(value: number): StoredValue | undefined {
  if (Number.isNaN(value)) return undefined
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value
}

function boundOfObject(value: unknown): StoredValue | undefined {
  if (value === null) return null
  if (value instanceof Uint8Array) return value
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString()
  const isPlain =
    typeof value === 'object' && [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value))
  return isPlain ? JSON.stringify(value) : undefined
}

function refuse(value: unknown, index: number): StoredValue {
  if (value === null || value === undefined) return null
  throw new JobError(
    'invalid_options',
    `Expected value ${index + 1} of the query to be a text, a number, a 64-bit integer, a boolean, a date, bytes or null, got a value of type ${typeof value}`,
  )
}

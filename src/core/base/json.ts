import { read } from './errors.js'

/** Maximum nesting of a stored JSON value, so that recursive functions never exhaust the stack. */
export const maxJsonDepth = 100

/** Maximum length of the JSON of a checkpoint or a detail, in characters. */
export const maxJsonLength = 1_000_000

/** Maximum number of values in a detail and in parameters, at any depth: checking and copying many takes long. */
export const maxDetailValues = 10_000

/** The same for a checkpoint, which may list what was done. */
export const maxCheckpointValues = 100_000

/** Whether a value is valid JSON within the nesting limit. */
export function isJson(value: unknown, depth = 0): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || depth === maxJsonDepth) return false
  if (Array.isArray(value)) return value.every((inner) => isJson(inner, depth + 1))
  // The list of the values of a large object takes longer to make than to check.
  for (const name in value) if (!isJson((value as Record<string, unknown>)[name], depth + 1)) return false
  return true
}

/**
 * A JSON copy of a value, or `undefined` when it is not JSON, too long, or nested too deep. The time is bounded by the maximum length,
 * even for objects that are shared a million times, or arrays with a billion holes.
 */
export function jsonCopyOf<Value>(value: Value): Value | undefined {
  try {
    const text: string | undefined = JSON.stringify(value, countingDown(maxJsonLength))
    if (text === undefined || text.length > maxJsonLength) return undefined
    const copy = JSON.parse(text)
    return isJson(copy) ? copy : undefined
  } catch {
    return undefined
  }
}

/** A replacer that throws as soon as the JSON certainly exceeds `limit`. */
function countingDown(limit: number): (name: string, value: unknown) => unknown {
  let left = limit
  return function (this: unknown, name, value) {
    left -= typeof value === 'string' ? value.length + 1 : 1
    if (value !== undefined && !Array.isArray(this)) left -= name.length
    // Serializing its indexes would take as long as all of its bytes.
    if (left < 0 || (ArrayBuffer.isView(value) && value.byteLength > left)) throw new RangeError('too long')
    return value
  }
}

/** Whether a value has more values in it than `most`, at any depth. Takes no longer for larger ones, and ends where JSON ends. */
export function hasMoreValues(value: unknown, most: number): boolean {
  try {
    return leftOf(value, most, 0) < 0
  } catch {
    // What cannot be read is no JSON either.
    return false
  }
}

/** How many more values there may be beside those in `value`. Negative when there are too many. */
function leftOf(value: unknown, left: number, depth: number): number {
  if (typeof value !== 'object' || value === null || depth === maxJsonDepth) return left
  // A loop over its names would make a list of all of them first.
  if (ArrayBuffer.isView(value)) return left - value.byteLength
  if (Array.isArray(value)) {
    let rest = left - value.length
    for (let index = 0; index < value.length && rest >= 0; index++)
      rest = leftOf(read(value, String(index)), rest, depth + 1)
    return rest
  }
  let rest = left
  for (const name in value) {
    if (--rest < 0) break
    rest = leftOf(read(value, name), rest, depth + 1)
  }
  return rest
}

/** A value that JSON does not keep, and where it is: `.seen[3]`, or an empty path for the value itself. */
export interface LostInJson {
  readonly path: string
  readonly value: unknown
}

/**
 * The first value that JSON would change or drop without a word: a `Map`, a date, a bigint, a function, a number that is not finite.
 * A property that is `undefined` is left out, which is no loss. Ends at the limits of {@link jsonCopyOf}, which then refuses the value.
 */
export function lostInJson(value: unknown): LostInJson | undefined {
  try {
    return isLost(value) ? { path: '', value } : lostWithin(value, { left: maxJsonLength, depth: 0 })
  } catch {
    // What cannot be read is no JSON either.
    return undefined
  }
}

function lostWithin(holder: unknown, budget: { left: number; depth: number }): LostInJson | undefined {
  if (typeof holder !== 'object' || holder === null || budget.depth === maxJsonDepth) return undefined
  budget.depth++
  const lost = Array.isArray(holder) ? lostInList(holder, budget) : lostInObject(holder, budget)
  budget.depth--
  return lost
}

function lostInList(list: readonly unknown[], budget: { left: number; depth: number }): LostInJson | undefined {
  // What is too long is refused as such.
  if (list.length > budget.left) budget.left = 0
  for (let index = 0; index < list.length && --budget.left >= 0; index++) {
    const lost = lostAt(read(list, String(index)), budget)
    if (lost) return { ...lost, path: `[${index}]${lost.path}` }
  }
  return undefined
}

function lostInObject(holder: object, budget: { left: number; depth: number }): LostInJson | undefined {
  // The list of the keys of a large object takes longer to make than to check.
  for (const name in holder) {
    const value = Object.hasOwn(holder, name) ? read(holder, name) : undefined
    // JSON leaves the name of such a property out.
    budget.left -= value === undefined ? 1 : name.length + 1
    if (budget.left < 0) return undefined
    const lost = value === undefined ? undefined : lostAt(value, budget)
    if (lost) return { ...lost, path: `.${name}${lost.path}` }
  }
  return undefined
}

function lostAt(value: unknown, budget: { left: number; depth: number }): LostInJson | undefined {
  return isLost(value) ? { path: '', value } : lostWithin(value, budget)
}

function isLost(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return false
  if (typeof value === 'number') return !Number.isFinite(value)
  if (typeof value !== 'object') return true
  if (Array.isArray(value)) return false
  return Object.prototype.toString.call(value) !== '[object Object]' || typeof read(value, 'toJSON') === 'function'
}

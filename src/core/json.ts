/** How deep a JSON value may be nested that headgate keeps: what walks through it never runs out of stack. */
export const maxJsonDepth = 100

/** The longest JSON of a checkpoint or a detail, in characters. */
export const maxJsonLength = 1_000_000

/** Whether a value is one of JSON, which is not nested too deep. */
export function isJson(value: unknown, depth = 0): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || depth === maxJsonDepth) return false
  return Object.values(value).every((inner) => isJson(inner, depth + 1))
}

/**
 * A copy of a value as JSON, or `undefined` when headgate could not keep it: no JSON, too long, or nested too deep. It takes no
 * longer than a value of the greatest length does: objects may be shared a million times, or be arrays of a billion holes.
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

/** A replacer that throws as soon as the JSON is longer than `left` for certain. */
function countingDown(limit: number): (name: string, value: unknown) => unknown {
  let left = limit
  return (_, value) => {
    left -= typeof value === 'string' ? value.length + 1 : 1
    // Its names alone would take as long as all of its bytes.
    if (left < 0 || (ArrayBuffer.isView(value) && value.byteLength > left)) throw new RangeError('too long')
    return value
  }
}

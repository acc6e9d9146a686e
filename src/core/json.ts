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

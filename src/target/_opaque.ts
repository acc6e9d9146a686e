/** An object around a number, a text or a truth value: JSON shows what is in it. */
export function isWrapper(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean
}

/**
 * Whether JSON shows nothing of a value although it is no empty object: a `Map`, a `Set`, a promise that nobody waited for, or
 * shows it as something else, as arrays of numbers in memory.
 */
export function isOpaque(value: object): boolean {
  if (ArrayBuffer.isView(value)) return true
  const above = Object.getPrototypeOf(value) as object | null
  if (above === null || Object.getPrototypeOf(above) === null || Array.isArray(value)) return false
  return Object.keys(value).length === 0 && !isWrapper(value)
}

/** What an object is, for messages. */
export function nameOf(value: object): string {
  if (Array.isArray(value)) return 'an array'
  return `an object of the class ${value.constructor?.name || 'Object'}`
}

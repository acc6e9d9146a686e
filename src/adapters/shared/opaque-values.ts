/** Whether an object wraps a number, a text or a boolean, which JSON writes as that value. */
export function isWrapper(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean
}

/**
 * Whether JSON would lose a value: a non-empty object that it writes as `{}`, such as a `Map`, a `Set` or a promise,
 * or a typed array, which it writes as something else.
 */
export function isOpaque(value: object): boolean {
  if (ArrayBuffer.isView(value)) return true
  const above = Object.getPrototypeOf(value) as object | null
  if (above === null || Object.getPrototypeOf(above) === null || Array.isArray(value)) return false
  return Object.keys(value).length === 0 && !isWrapper(value)
}

/** Describes an object for messages. */
export function nameOf(value: object): string {
  if (Array.isArray(value)) return 'an array'
  return `an object of the class ${value.constructor?.name || 'Object'}`
}

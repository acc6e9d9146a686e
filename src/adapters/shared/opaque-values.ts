import { JobError } from '../../adapter.js'

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

/** Describes an object, a function or a symbol for messages. */
export function nameOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`
  if (Array.isArray(value)) return 'an array'
  return `an object of the class ${value.constructor?.name || 'Object'}`
}

/** The error of a value that a target refuses, with the name of its column or property. Other code, such as a getter, may have thrown. */
export function refused(
  place: 'column' | 'property',
  name: string,
  error: unknown,
  record: { recordIndex?: number } = {},
): JobError {
  const text = `The ${place} \`${name.length > 200 ? `${name.slice(0, 200)}…` : name}\` cannot be written.`
  if (!JobError.isInstance(error)) return new JobError('target', text, { ...record, cause: error })
  return new JobError('target', `${text} ${error.message}`, { ...record, cause: error.cause })
}

/** The error of a value that JSON would omit or lose. */
export function notJson(value: unknown): JobError {
  return new JobError('target', `Expected a value that JSON can hold, got ${nameOf(value)}.`)
}

export function invalidDate(): JobError {
  return new JobError('target', 'Expected a date, got one that is invalid.')
}

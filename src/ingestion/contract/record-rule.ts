import { answerOf, ignoreRejections, isGenerator, isResponse, isThenable } from '../../core/base/index.js'

/**
 * The rule of every place that takes a record: an object whose own properties are its columns. Describes a value that is none, for a
 * message after "got": `undefined` for a record.
 *
 * A promise has no columns, and neither have the collections, dates and errors of the language. Targets would write `{}`, or a row of
 * defaults, and count it.
 */
export function nonRecord(value: unknown): string | undefined {
  if (typeof value !== 'object') return value === undefined ? 'nothing' : `a ${typeof value}`
  if (value === null) return 'null'
  try {
    return nonRecordObject(value)
  } catch {
    return 'an object that cannot be read'
  }
}

/** Describes the first value that is no record. The rejections of promises among all values then end nothing. */
export function nonRecordIn(values: readonly unknown[]): string | undefined {
  for (const value of values) {
    const found = nonRecord(value)
    if (found === undefined) continue
    ignoreRejections(values)
    return found
  }
  return undefined
}

function nonRecordObject(value: object): string | undefined {
  if (Array.isArray(value)) return 'an array'
  if (isThenable(value)) return 'a promise. Await it first'
  const prototype: object | null = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return undefined
  if (ArrayBuffer.isView(value)) return 'bytes'
  // The prototype of a plain object of another realm.
  if (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty')) return undefined
  if (isGenerator(value)) return 'a generator'
  if (isResponse(value)) return 'a Response'
  if (!isOfLanguage(value) && hasColumns(value)) return undefined
  const name = answerOf(() => value.constructor?.name)
  return `an object of the class ${typeof name === 'string' && name ? name : 'Object'}, which has no columns`
}

/** Whether the language, not a program, defines the class. Properties that were added to such an object are not its content. */
function isOfLanguage(value: object): boolean {
  const tag = Object.prototype.toString.call(value)
  return /^\[object (Date|Error|RegExp|Number|String|Boolean|Map|Set|WeakMap|WeakSet)\]$/.test(tag)
}

/** A class may keep its values elsewhere, and give them to targets by `toJSON`. */
function hasColumns(value: object): boolean {
  for (const name in value) if (Object.hasOwn(value, name)) return true
  return typeof (value as { toJSON?: unknown }).toJSON === 'function'
}

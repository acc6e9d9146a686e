import { errorMessages } from '../../core/base/index.js'
import type { JobRecord } from '../contract/index.js'

/** The JSON of any record: text replaces values that JSON lacks, and fields that cannot be read. */
export function recordJson(record: JobRecord): string {
  try {
    return JSON.stringify(record, boundedToJson())
  } catch {
    return JSON.stringify(Object.fromEntries(namesOf(record).map((name) => [writable(name), readable(record, name)])))
  }
}

/** Maximum number of members of the JSON of a record, or else of each of its fields. Objects that share others may have more than memory holds. */
const maxMembers = 1_000_000

type Replacer = (this: Record<string, unknown>, key: string, shown: unknown) => unknown

function boundedToJson(): Replacer {
  let left = maxMembers
  return function replace(key, shown) {
    if (--left < 0) throw new RangeError(`It has more than ${maxMembers} members.`)
    return toJson.call(this, key, shown)
  }
}

/** The names of the fields. None when the record cannot be read. */
export function namesOf(record: JobRecord): string[] {
  try {
    return Object.keys(record)
  } catch {
    return []
  }
}

function readable(record: JobRecord, name: string): unknown {
  try {
    return JSON.parse(JSON.stringify(record[name], boundedToJson()) ?? 'null')
  } catch (error) {
    return writable(`Unreadable: ${errorMessages(error)[0]}`)
  }
}

/** Replaces a value that JSON lacks, or that cannot be stored everywhere: for `JSON.stringify`. */
export function toJson(this: Record<string, unknown>, key: string, shown: unknown): unknown {
  const own = this[key]
  if (own instanceof Uint8Array) return `\\x${Array.from(own, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
  if (own instanceof Date && Number.isNaN(own.getTime())) return String(own)
  switch (typeof shown) {
    case 'number':
      return Number.isFinite(shown) ? shown : String(shown)
    case 'string':
      return writable(shown)
    case 'bigint':
    case 'symbol':
      return String(shown)
    case 'function':
      return `[Function: ${shown.name}]`
    default:
      return hasUnwritableName(shown) ? withWritableNames(shown) : shown
  }
}

/** Characters that JSON allows but text and JSON columns of databases do not: NUL and lone surrogates. */
const unwritable = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** The text with escapes, such as `\u0000`, for characters that cannot be stored everywhere. */
function writable(text: string): string {
  return text.replace(unwritable, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function hasUnwritableName(shown: unknown): shown is object {
  if (typeof shown !== 'object' || shown === null || Array.isArray(shown)) return false
  return Object.keys(shown).some((name) => name.search(unwritable) >= 0)
}

function withWritableNames(shown: object): object {
  return Object.fromEntries(Object.entries(shown).map(([name, value]) => [writable(name), value]))
}

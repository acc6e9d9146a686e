import { JobError } from '../../../adapter.js'
import { invalidDate, isOpaque, isWrapper, NdjsonEncoder, nameOf } from '../../shared/index.js'
import type { ColumnKind } from '../table/index.js'
import { checkedText, textOfHex } from './checked-text.js'

/** The text of a JavaScript value, as a column of that kind takes it. `null` stays null. Bytes are hexadecimal digits. */
export function textOf(value: unknown, kind: ColumnKind): string | null {
  switch (typeof value) {
    case 'string':
      return checkedText(value, kind)
    case 'number':
      return textOfNumber(value, kind)
    case 'bigint':
      return checkedText(String(value), kind)
    case 'boolean':
      return textOfBoolean(value, kind)
    case 'object':
      return value === null ? null : textOfObject(value, kind)
    case 'undefined':
      return null
    default:
      throw new JobError('target', `Expected a value that MySQL can hold, got ${nameOf(value)}.`)
  }
}

function textOfNumber(value: number, kind: ColumnKind): string {
  if (Number.isFinite(value)) return checkedText(Object.is(value, -0) ? '-0' : String(value), kind)
  throw new JobError('target', `Expected a finite number for \`${kind.sqlType}\`, got ${value}.`)
}

export function textOfBoolean(value: boolean, kind: ColumnKind): string {
  const { storage } = kind
  if (storage === 'text' || storage === 'json' || storage === 'label') return String(value)
  return checkedText(value ? '1' : '0', kind)
}

function textOfObject(value: object, kind: ColumnKind): string | null {
  if (value instanceof Uint8Array) return hexOf(value, kind)
  if (kind.storage === 'json') return jsonOf(value)
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw invalidDate()
    return checkedText(value.toISOString(), kind)
  }
  const shown = shownBy(value)
  if (typeof shown !== 'object') return textOf(shown, kind)
  if (kind.storage === 'text') return jsonOf(value)
  throw new JobError(
    'target',
    `Expected a value that MySQL reads as \`${kind.sqlType}\`, got ${nameOf(value)}: give its text.`,
  )
}

/** The value that an object converts to, as decimals and times do. */
function shownBy(value: object): unknown {
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return toJSON.call(value, '')
  return isWrapper(value) ? value.valueOf() : value
}

const encoder = new NdjsonEncoder('string')

/** The same JSON as in files. */
export function jsonOf(value: object): string {
  const json = isOpaque(value) ? undefined : encoder.json(value)
  if (json === undefined) throw new JobError('target', `Expected a value that JSON can hold, got ${nameOf(value)}.`)
  return json
}

function hexOf({ buffer, byteOffset, byteLength }: Uint8Array, kind: ColumnKind): string {
  return textOfHex(Buffer.from(buffer, byteOffset, byteLength).toString('hex'), kind)
}

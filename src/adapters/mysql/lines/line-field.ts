import { type Column, JobError } from '../../../adapter.js'
import type { ColumnKind } from '../table/index.js'
import { checkedText, textOfHex } from './checked-text.js'
import { jsonOf, textOf, textOfBoolean } from './value-text.js'

/** A column that is written. */
export interface LineField {
  /** The index of the value in a row. */
  readonly index: number
  /** The name of the table's column. */
  readonly name: string
  readonly kind: ColumnKind
  /** The column of the records. */
  readonly column: Column | undefined
  /** Returns the field of a line for a value that is not null. */
  readonly encode: (raw: unknown) => string
}

/** The field of a line for a null. */
export const nullField = '\\N'

export function lineField(index: number, name: string, kind: ColumnKind, column: Column | undefined): LineField {
  const rawText = rawTextOf(column, kind)
  const isClean = column?.isPlain === true && kind.storage !== 'text' && kind.storage !== 'json'
  const encode = (raw: unknown) => {
    const text = typeof raw === 'string' ? rawText(raw) : textOf(raw, kind)
    if (text === null) return nullField
    return isClean ? text : escaped(text)
  }
  return { index, name, kind, column, encode }
}

/** How the raw text of a column becomes that of a column of the table. */
function rawTextOf(column: Column | undefined, kind: ColumnKind): (raw: string) => string {
  const { type, decode } = column ?? {}
  switch (type) {
    case 'boolean':
      return (raw) => textOfBoolean(raw === 't' || raw === 'true' || raw === '1', kind)
    case 'bytes':
      return (raw) => (raw.startsWith('\\x') ? textOfHex(raw.slice(2), kind) : checkedText(raw, kind))
    case 'array':
      return decode ? (raw) => arrayText(decode(raw), kind) : (raw) => checkedText(raw, kind)
    default:
      return (raw) => checkedText(raw, kind)
  }
}

function arrayText(value: unknown, kind: ColumnKind): string {
  if (typeof value !== 'object' || value === null) return checkedText(String(value), kind)
  if (kind.storage === 'text' || kind.storage === 'json') return jsonOf(value)
  throw new JobError(
    'target',
    `Expected a value for \`${kind.sqlType}\`, got an array, which only columns of JSON or text take.`,
  )
}

/** Tabs and line feeds have a meaning in lines, a backslash begins what replaces them, and a NUL would end a text. */
const needsEscape = /[\0\\\t\n]/

/** Also matches a surrogate, which may be unpaired. */
const needsLook = /[\0\\\t\n\ud800-\udfff]/

const escapes: Readonly<Record<string, string>> = { '\0': '\\0', '\\': '\\\\', '\t': '\\t', '\n': '\\n' }

function escaped(text: string): string {
  if (!needsLook.test(text)) return text
  if (!text.isWellFormed()) throw new JobError('target', 'Expected text, got text with half of a surrogate pair.')
  if (!needsEscape.test(text)) return text
  return text.replace(/[\0\\\t\n]/g, (unit) => escapes[unit] as string)
}

import {
  type ColumnOrder,
  type CursorPosition,
  checkSameCursor,
  givenPosition,
  invalid,
  JobError,
  type ReadCursor,
  recordPositionOf,
} from '../../../adapter.js'
import type { CursorField, FieldKind } from './cursor-fields.js'
import { isoOf, type Key } from './key-order.js'

/** Where a read by a cursor begins. */
export interface Start {
  /** The values of the first fields. */
  readonly values: readonly Key[]
  /** Whether documents with these values are read again, as it is not known which of them were. */
  readonly isIncluded: boolean
}

type Columns = Pick<ReadCursor, 'columns' | 'ties'>

/** The longest text of a value in a position, in UTF-16 code units: the server keeps no longer keyword. */
const maxLength = 32_766

/** The position after a document with these values. */
export function positionAfter(
  cursor: ReadCursor,
  fields: readonly CursorField[],
  values: readonly Key[],
): CursorPosition {
  return { order: ordersOf(fields), after: recordPositionOf(cursor, values.map(keptOf)) }
}

/** Where to begin after a stored position. Throws `checkpoint` for one that no read with this cursor has returned. */
export function startAfter(cursor: ReadCursor, fields: readonly CursorField[]): Start | undefined {
  const { position, columns: current, ties } = cursor
  if (position === undefined) return undefined
  const { after, order } = Object(position) as Partial<CursorPosition>
  const { columns, values, ties: before } = Object(after) as Partial<Record<'columns' | 'values' | 'ties', unknown>>
  if (!Array.isArray(columns) || columns.length === 0 || !columns.every((name) => typeof name === 'string'))
    throw damaged('cursor.after.columns', 'an array of names', columns)
  checkSameCursor(columns, current)
  checkOrder(order, fields)
  if (!Array.isArray(values) || values.length !== columns.length)
    throw damaged('cursor.after.values', `an array of ${columns.length} values`, values)
  const keys = values.map((kept, at) => {
    const key = keyFrom(kept, (fields[at] as CursorField).kind)
    if (key === undefined)
      throw damaged(`cursor.after.values[${at}]`, expectedOf[(fields[at] as CursorField).kind], kept)
    return key
  })
  return { values: keys, isIncluded: columns.length < current.length || (before === 'refuse' && ties === 'drain') }
}

/** The position that a reset gives: a value of each field as a text or a number, or a stored position. */
export function checkGiven(given: unknown, cursor: Columns, fields: readonly CursorField[]): CursorPosition {
  const position = givenPosition(given, cursor)
  const whole = { ...cursor, position } as ReadCursor
  if ('after' in Object(given)) {
    startAfter(whole, fields)
    return position
  }
  const values = (position.after?.values ?? []).map((text, at) => {
    const { name, kind } = fields[at] as CursorField
    const key = keyOfText(String(text), kind)
    if (key === undefined) throw invalid(`checkpoint.cursor.${name}`, expectedOf[kind], text)
    return key
  })
  return positionAfter(whole, fields, values)
}

/** The value of each column, for people. `undefined` for a position that `checkGiven` does not read back from it. */
export function positionShown(position: unknown, { columns, ties }: Columns): Record<string, unknown> | undefined {
  const { after, order } = Object(position) as Partial<CursorPosition>
  const { columns: own, values, ties: before } = Object(after) as Record<string, unknown>
  const isOfCursor = before === ties && JSON.stringify(own) === JSON.stringify(columns)
  if (!isOfCursor || !Array.isArray(values) || !Array.isArray(order)) return undefined
  const shown = columns.map((name, at) => {
    const kind = Object(order[at]).type as FieldKind
    const key = keyFrom(values[at], kind)
    return [name, key === undefined ? undefined : textOf(key, kind)] as const
  })
  return shown.every(([, text]) => text !== undefined) ? Object.fromEntries(shown) : undefined
}

function ordersOf(fields: readonly CursorField[]): ColumnOrder[] {
  return fields.map(({ kind, path }) => ({ type: kind, source: path }))
}

/** Values compare differently under another type. */
function checkOrder(order: unknown, fields: readonly CursorField[]): void {
  if (!Array.isArray(order)) return
  const now = ordersOf(fields)
  for (const [at, before] of (order as Partial<ColumnOrder>[]).slice(0, now.length).entries()) {
    const [then, current] = [Object(before), now[at] as ColumnOrder].map(({ type, source }) => `${source}, ${type}`)
    if (then === current) continue
    throw new JobError(
      'datasource',
      `The cursor column \`${fields[at]?.name}\` has changed from (${then}) to (${current}) since the checkpoint was made, so documents would be read twice or never: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
    )
  }
}

const expectedOf: Readonly<Record<FieldKind, string>> = {
  number: 'a number',
  date: 'a date, such as 2024-01-31T12:30:00.000Z',
  date_nanos: 'a date, such as 2024-01-31T12:30:00.000000000Z',
  text: `a text of up to ${maxLength} characters`,
}

/** A key as JSON keeps it. */
function keptOf(key: Key): unknown {
  return typeof key === 'bigint' ? { integer: String(key) } : key
}

/** The key of its kept form. `undefined` for anything else. */
function keyFrom(kept: unknown, kind: FieldKind): Key | undefined {
  if (kind === 'text') return typeof kept === 'string' && kept.length <= maxLength ? kept : undefined
  if (typeof kept === 'number') return Number.isFinite(kept) ? kept : undefined
  const { integer } = Object(kept) as { integer?: unknown }
  return typeof integer === 'string' && /^-?\d{1,20}$/.test(integer) ? BigInt(integer) : undefined
}

function textOf(key: Key, kind: FieldKind): string | undefined {
  if (kind === 'date') {
    const date = new Date(Number(key))
    return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
  }
  return kind === 'date_nanos' ? isoOf(BigInt(key)) : String(key)
}

const isoNanos = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/

function keyOfText(text: string, kind: FieldKind): Key | undefined {
  if (kind === 'text') return keyFrom(text, kind)
  if (/^-?\d{1,20}$/.test(text)) return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text)
  if (kind === 'number')
    return /^-?\d{1,40}(?:\.\d{1,40})?(?:e[+-]?\d{1,3})?$/i.test(text) ? keyFrom(Number(text), kind) : undefined
  const [, seconds, digits = ''] = isoNanos.exec(text) ?? []
  const time = Date.parse(kind === 'date' || seconds === undefined ? text : `${seconds}Z`)
  if (Number.isNaN(time)) return undefined
  return kind === 'date' ? time : BigInt(time) * 1_000_000n + BigInt(seconds === undefined ? 0 : digits.padEnd(9, '0'))
}

function damaged(field: string, expected: string, got: unknown): JobError {
  const { message } = invalid(field, expected, got)
  return new JobError(
    'checkpoint',
    `The checkpoint was damaged. ${message}: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
  )
}

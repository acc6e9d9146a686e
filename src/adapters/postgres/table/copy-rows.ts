import { type Column, JobError, type JobRecord, RecordBatch, type Row } from '../../../adapter.js'
import { refused } from '../../shared/index.js'
import type { Check } from './column-kind.js'
import { holdsForm, neededCheck } from './column-limits.js'
import type { Table } from './table.js'
import { textOf } from './value-text.js'

/** More columns than a table can have: most of them are in none, and rows with all of them would take too much memory. */
const tooManyColumns = 1601

/** The length at which a piece is sent, in UTF-16 code units or bytes. */
const pieceLength = 1 << 16

/** A column that is written. */
interface Field {
  /** The index of the value in a row. */
  readonly index: number
  /** The name of the target's column. */
  readonly name: string
  /** Returns the COPY text of a value that is not null. */
  readonly encode: (raw: unknown) => string
}

/** Records of a batch with the same columns. */
export interface RowGroup {
  /** The names of the columns of the table. */
  readonly names: readonly string[]
  /** Whether the rows are in the binary format of COPY, or in its text format. */
  readonly isBinary: boolean
  /** Whether each row has an additional value that marks its columns, one digit each, `1` or `0`. */
  readonly isMarked: boolean
  /** The rows, in pieces of complete rows. */
  pieces(): Iterable<string | Uint8Array>
  /** The number of rows. */
  readonly length: number
  /** The indexes of the records in the batch, when other records are in other groups. */
  readonly origins?: readonly number[]
}

/** The format name of rows in the binary form of Postgres. COPY reads them unchanged. */
const binary = 'postgres-binary'

/** Encodes batches for `COPY … FROM STDIN`. Text of raw rows and encoded rows pass unchanged. */
export class CopyRows {
  readonly #table: Table
  readonly #mapping: Readonly<Record<string, string>> | undefined
  readonly #key: readonly string[]
  /** The fields of the last columns. Raw batches share their columns. */
  #last: { columns: readonly Column[]; fields: readonly Field[] } | undefined

  /** `key` holds the columns that every record must have. */
  constructor(table: Table, mapping: Readonly<Record<string, string>> | undefined, key: readonly string[] = []) {
    this.#table = table
    this.#mapping = mapping
    this.#key = key
  }

  /** Whether COPY can read encoded rows unchanged: every column, in order, maps to a column with its own form that changes none of its values. */
  acceptsEncoded(format: string, columns: readonly Column[]): boolean {
    const positions = Object.entries(this.#mapping ?? Object.fromEntries(columns.map(({ name }) => [name, name])))
    return (
      format === binary &&
      positions.length === columns.length &&
      columns.every((column, index) => {
        const [source, own = ''] = positions[index] ?? []
        const { form = column.sqlType } = column
        const kind = this.#table.columns.get(own)
        return source === column.name && form !== undefined && kind?.form === form && holdsForm(kind, column)
      })
    )
  }

  /** Groups the records of a batch by their columns. With `marks`, returns one group whose rows mark their columns. */
  groupsOf(given: RecordBatch, marks: boolean): RowGroup[] {
    const batch = this.#mapping && !given.isRaw ? withinTable(given, this.#mapping) : given
    const { columns, encoded } = batch
    if (this.#last?.columns !== columns) this.#last = { columns, fields: this.#fieldsOf(columns, batch.isRaw) }
    const { fields } = this.#last
    this.#checkKey(fields)
    if (encoded?.format === binary)
      return [{ ...groupOf(fields, encoded.length), isBinary: true, pieces: () => joined(encoded.chunks) }]
    const { rows } = batch
    const masks = batch.isSparse ? rows.map((row) => maskOf(fields, row)) : []
    if (!masks.some((mask) => mask.includes('0')))
      return [{ ...groupOf(fields, rows.length), pieces: () => pieces(fields, rows) }]
    for (const [position, mask] of masks.entries()) {
      if (mask.includes('0')) this.#checkKey(fieldsIn(mask, fields), position)
    }
    return marks ? [markedGroup(fields, rows, masks)] : splitGroups(fields, rows, masks)
  }

  #checkKey(fields: readonly Field[], recordIndex?: number): void {
    const missing = this.#key.find((name) => !fields.some((field) => field.name === name))
    if (missing === undefined) return
    const names = fields.map(({ name }) => name).join(', ')
    throw new JobError(
      'target',
      `Expected records with the column \`${missing}\` of the key, got ${names || 'none'}.`,
      {
        ...(recordIndex !== undefined && { recordIndex }),
      },
    )
  }

  #fieldsOf(columns: readonly Column[], isRaw: boolean): Field[] {
    return this.#mapping ? this.#mapped(this.#mapping, columns, isRaw) : this.#unmapped(columns)
  }

  #unmapped(columns: readonly Column[]): Field[] {
    return columns.map((column, index) => this.#field(column.name, index, column))
  }

  #mapped(mapping: Readonly<Record<string, string>>, columns: readonly Column[], isRaw: boolean): Field[] {
    return Object.entries(mapping).flatMap(([source, name]) => {
      const index = columns.findIndex((column) => column.name === source)
      if (index < 0 && isRaw) throw missingSource(source, columns)
      const field = this.#field(name, index, columns[index])
      // Objects may lack a column.
      return index < 0 ? [] : [field]
    })
  }

  #field(name: string, index: number, column: Column | undefined): Field {
    const kind = this.#table.columns.get(name)
    if (!kind) throw missingColumn(name, this.#table)
    const isClean = column?.isPlain || column?.decode === Number
    const encodeText = isClean ? (text: string) => text : escaped
    const check = neededCheck(kind, column)
    const encodeString = check ? (text: string) => encodeText(checked(check, text)) : encodeText
    const encodeOther = (value: unknown) => {
      const text = textOf(value, kind)
      return text === null ? '\\N' : escaped(text)
    }
    return { index, name, encode: (raw) => (typeof raw === 'string' ? encodeString(raw) : encodeOther(raw)) }
  }
}

function checked(check: Check, text: string): string {
  check(text)
  return text
}

function groupOf(fields: readonly Field[], length: number): Omit<RowGroup, 'pieces'> {
  if (fields.length === 0) throw withoutColumns()
  return { names: fields.map(({ name }) => name), isBinary: false, isMarked: false, length }
}

/** A batch of objects without the columns that are not mapped, if it has more columns than a table. */
function withinTable(batch: RecordBatch, mapping: Readonly<Record<string, string>>): RecordBatch {
  if (batch.columns.length < tooManyColumns) return batch
  const picked = (record: JobRecord) =>
    Object.fromEntries(
      Object.keys(mapping).flatMap((name) => (Object.hasOwn(record, name) ? [[name, record[name]]] : [])),
    )
  return RecordBatch.fromRecords(batch.records().map(picked))
}

/** Marks which of the fields a row has. */
function maskOf(fields: readonly Field[], row: Row): string {
  return fields.map(({ index }) => (row[index] === undefined ? '0' : '1')).join('')
}

function fieldsIn(mask: string, fields: readonly Field[]): Field[] {
  return fields.filter((_, position) => mask[position] === '1')
}

function splitGroups(fields: readonly Field[], rows: readonly Row[], masks: readonly string[]): RowGroup[] {
  const positions = new Map<string, number[]>()
  for (const [position, mask] of masks.entries()) {
    const known = positions.get(mask)
    if (known) known.push(position)
    else positions.set(mask, [position])
  }
  return [...positions].map(([mask, origins]) => {
    const own = fieldsIn(mask, fields)
    if (own.length === 0) throw withoutColumns(origins[0])
    const ownRows = origins.map((position) => rows[position] as Row)
    return { ...groupOf(own, ownRows.length), pieces: () => pieces(own, ownRows, origins), origins }
  })
}

function markedGroup(fields: readonly Field[], rows: readonly Row[], masks: readonly string[]): RowGroup {
  const mark = { index: fields.length, name: '', encode: String }
  const marked = [...fields.map((field, index) => ({ ...field, index })), mark]
  const markedRows = rows.map((row, position) => [...fields.map(({ index }) => row[index]), masks[position]])
  return { ...groupOf(fields, rows.length), isMarked: true, pieces: () => pieces(marked, markedRows) }
}

/** `origins` are the indexes of the rows in the batch, when other rows are in other groups. */
function* pieces(fields: readonly Field[], rows: readonly Row[], origins?: readonly number[]): Generator<string> {
  let piece = ''
  for (let position = 0; position < rows.length; position++) {
    piece += lineOf(fields, rows[position] as Row, origins?.[position] ?? position)
    if (piece.length < pieceLength) continue
    yield piece
    piece = ''
  }
  if (piece !== '') yield piece
}

/** The server sends chunks of a few kilobytes. Joining them costs less than sending each one. */
function* joined(chunks: readonly Uint8Array[]): Generator<Uint8Array> {
  let waiting: Uint8Array[] = []
  let length = 0
  for (const chunk of chunks) {
    waiting.push(chunk)
    length += chunk.length
    if (length < pieceLength) continue
    yield join(waiting)
    waiting = []
    length = 0
  }
  if (length > 0) yield join(waiting)
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks
  return only && chunks.length === 1 ? only : Buffer.concat(chunks)
}

function lineOf(fields: readonly Field[], row: Row, recordIndex: number): string {
  let line = ''
  for (let position = 0; position < fields.length; position++) {
    const { index, name, encode } = fields[position] as Field
    const raw = row[index]
    if (position > 0) line += '\t'
    try {
      line += raw === null || raw === undefined ? '\\N' : encode(raw)
    } catch (error) {
      throw refused('column', name, error, { recordIndex })
    }
  }
  return `${line}\n`
}

const backslash = 92

const needsEscape = /[\\\t\n\r]/

/** Also matches NUL, and a surrogate, which may be unpaired. */
const needsLook = /[\0\\\t\n\r\ud800-\udfff]/

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

function escaped(text: string): string {
  if (!needsLook.test(text)) return text
  // An unpaired surrogate has no UTF-8 form and would become another character.
  if (/\p{Surrogate}/u.test(text))
    throw new JobError('target', 'Expected text, got text with half of a surrogate pair.')
  if (text.includes('\0')) throw new JobError('target', 'Expected text without NUL characters, got one that has some.')
  if (!needsEscape.test(text)) return text
  if (text.length > pieceLength) return escapedByBytes(text)
  return text.replace(/[\\\t\n\r]/g, (unit) => escapes[unit] as string)
}

/** The letters that follow the backslash, by the character code. */
const letters = new Uint8Array(256)
for (const [unit, [, letter = '']] of Object.entries(escapes)) letters[unit.charCodeAt(0)] = letter.charCodeAt(0)

/** Takes a twentieth of the time of `replace` where every character is escaped. */
function escapedByBytes(text: string): string {
  // Otherwise, a byte order mark at the beginning would be lost.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const bytes = Buffer.from(text)
  let result = ''
  for (let at = 0; at < bytes.length; at += pieceLength) {
    result += decoder.decode(escapedBytes(bytes.subarray(at, at + pieceLength)), { stream: true })
  }
  return result
}

function escapedBytes(bytes: Uint8Array): Uint8Array {
  const result = Buffer.allocUnsafe(2 * bytes.length)
  let length = 0
  for (const byte of bytes) {
    const letter = letters[byte] as number
    if (letter !== 0) result[length++] = backslash
    result[length++] = letter || byte
  }
  return result.subarray(0, length)
}

function withoutColumns(recordIndex?: number): JobError {
  const options = recordIndex === undefined ? {} : { recordIndex }
  return new JobError('target', 'Expected records with at least one column, got none.', options)
}

function missingColumn(name: string, { title, columns }: Table): JobError {
  const known = [...columns.keys()].join(', ') || 'none'
  return new JobError(
    'target',
    `Expected \`${title}\` to have a column \`${name}\` that can be written, got ${known}: map the columns with \`columns\`.`,
  )
}

function missingSource(name: string, columns: readonly Column[]): JobError {
  const known = columns.map((column) => column.name).join(', ') || 'none'
  return new JobError('target', `Expected a column \`${name}\` among the records' columns, got ${known}.`)
}

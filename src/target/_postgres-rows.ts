import { type Column, JobError, type RecordBatch, type Row } from '../index.js'
import type { Table } from './_postgres-table.js'
import { textOf } from './_postgres-values.js'

/** How long a piece grows before it is given away, in UTF-16 code units or bytes. */
const pieceLength = 1 << 16

/** A column that is written. */
interface Field {
  /** The place of the value in a row. */
  readonly index: number
  /** The name of the target's column. */
  readonly name: string
  /** The text of COPY for a value that is not null. */
  readonly encode: (raw: unknown) => string
}

/** Records of a batch that are written to the same columns. */
export interface Part {
  /** The names of the target's columns. */
  readonly names: readonly string[]
  /** Whether the rows are in COPY's binary format, or lines of its text format. */
  readonly isBinary: boolean
  /** Whether one more value of each row tells which of the columns the record has: one digit each, `1` or `0`. */
  readonly isMarked: boolean
  /** The rows, in pieces of whole rows. */
  pieces(): Iterable<string | Uint8Array>
  /** How many rows there are. */
  readonly length: number
  /** The places of the records in the batch, when others of it are in other parts. */
  readonly origins?: readonly number[]
}

/** How a datasource calls rows in the binary form of Postgres' types: COPY reads them as they are. */
const binary = 'postgres-binary'

/** Turns batches into what `COPY … FROM STDIN` reads. Text of raw rows travels as it is, and so do encoded rows. */
export class CopyRows {
  readonly #table: Table
  readonly #mapping: Readonly<Record<string, string>> | undefined
  readonly #key: readonly string[]
  /** The fields of the columns that came last: raw batches share their columns. */
  #last: { columns: readonly Column[]; fields: readonly Field[] } | undefined

  /** `key`: the columns that every record must have. */
  constructor(table: Table, mapping: Readonly<Record<string, string>> | undefined, key: readonly string[] = []) {
    this.#table = table
    this.#mapping = mapping
    this.#key = key
  }

  /** Whether encoded rows are just what COPY reads: every column, in its place, goes to a column of its own type. */
  takesEncoded(format: string, columns: readonly Column[]): boolean {
    const places = Object.entries(this.#mapping ?? Object.fromEntries(columns.map(({ name }) => [name, name])))
    return (
      format === binary &&
      places.length === columns.length &&
      columns.every(({ name, sqlType }, index) => {
        const [source, own = ''] = places[index] ?? []
        return source === name && this.#table.columns.get(own)?.sqlType === sqlType
      })
    )
  }

  /**
   * The batch as it is written. When some records lack columns that others have, each part has the records with the same ones;
   * with `marks`, there is one part, whose rows tell which they have.
   */
  partsOf(batch: RecordBatch, marks: boolean): Part[] {
    const { columns, encoded } = batch
    if (this.#last?.columns !== columns) this.#last = { columns, fields: this.#fieldsOf(columns, batch.isRaw) }
    const { fields } = this.#last
    this.#checkKey(fields)
    if (encoded?.format === binary)
      return [{ ...partOf(fields, encoded.length), isBinary: true, pieces: () => joined(encoded.chunks) }]
    const { rows } = batch
    const masks = batch.isSparse ? rows.map((row) => maskOf(fields, row)) : []
    if (!masks.some((mask) => mask.includes('0')))
      return [{ ...partOf(fields, rows.length), pieces: () => pieces(fields, rows) }]
    for (const [place, mask] of masks.entries()) {
      if (mask.includes('0')) this.#checkKey(fieldsIn(mask, fields), place)
    }
    return marks ? [markedPart(fields, rows, masks)] : splitParts(fields, rows, masks)
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
    const encodeOther = (value: unknown) => {
      const text = textOf(value, kind)
      return text === null ? '\\N' : escaped(text)
    }
    return { index, name, encode: (raw) => (typeof raw === 'string' ? encodeText(raw) : encodeOther(raw)) }
  }
}

function partOf(fields: readonly Field[], length: number): Omit<Part, 'pieces'> {
  if (fields.length === 0) throw withoutColumns()
  return { names: fields.map(({ name }) => name), isBinary: false, isMarked: false, length }
}

/** Which of the fields a row has. */
function maskOf(fields: readonly Field[], row: Row): string {
  return fields.map(({ index }) => (row[index] === undefined ? '0' : '1')).join('')
}

function fieldsIn(mask: string, fields: readonly Field[]): Field[] {
  return fields.filter((_, place) => mask[place] === '1')
}

function splitParts(fields: readonly Field[], rows: readonly Row[], masks: readonly string[]): Part[] {
  const places = new Map<string, number[]>()
  for (const [place, mask] of masks.entries()) {
    const known = places.get(mask)
    if (known) known.push(place)
    else places.set(mask, [place])
  }
  return [...places].map(([mask, origins]) => {
    const own = fieldsIn(mask, fields)
    if (own.length === 0) throw withoutColumns(origins[0])
    const ownRows = origins.map((place) => rows[place] as Row)
    return { ...partOf(own, ownRows.length), pieces: () => pieces(own, ownRows), origins }
  })
}

function markedPart(fields: readonly Field[], rows: readonly Row[], masks: readonly string[]): Part {
  const mark = { index: fields.length, name: '', encode: String }
  const marked = [...fields.map((field, index) => ({ ...field, index })), mark]
  const markedRows = rows.map((row, place) => [...fields.map(({ index }) => row[index]), masks[place]])
  return { ...partOf(fields, rows.length), isMarked: true, pieces: () => pieces(marked, markedRows) }
}

function* pieces(fields: readonly Field[], rows: readonly Row[]): Generator<string> {
  let piece = ''
  for (const row of rows) {
    piece += lineOf(fields, row)
    if (piece.length < pieceLength) continue
    yield piece
    piece = ''
  }
  if (piece !== '') yield piece
}

/** A server sends a few kilobytes at a time: a copy of them costs less than to send each on its own. */
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

function lineOf(fields: readonly Field[], row: Row): string {
  let line = ''
  for (let place = 0; place < fields.length; place++) {
    const { index, encode } = fields[place] as Field
    const raw = row[index]
    if (place > 0) line += '\t'
    line += raw === null || raw === undefined ? '\\N' : encode(raw)
  }
  return `${line}\n`
}

const needsEscape = /[\\\t\n\r]/

/** Also a surrogate, which may stand alone. */
const needsLook = /[\\\t\n\r\ud800-\udfff]/

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

/** Piece by piece: of a long text, V8 could not hold all that is to be replaced, and would end the process. */
function escaped(text: string): string {
  if (!needsLook.test(text)) return text
  // It has no UTF-8, and would become another character.
  if (/\p{Surrogate}/u.test(text)) throw new JobError('target', 'Expected text, got half of a surrogate pair in it.')
  if (!needsEscape.test(text)) return text
  let result = ''
  for (let at = 0; at < text.length; at += pieceLength) {
    result += text.slice(at, at + pieceLength).replace(/[\\\t\n\r]/g, (unit) => escapes[unit] as string)
  }
  return result
}

function withoutColumns(recordIndex?: number): JobError {
  const options = recordIndex === undefined ? {} : { recordIndex }
  return new JobError('target', 'Expected records with at least one column, got none.', options)
}

function missingColumn(name: string, { title, columns }: Table): JobError {
  const known = [...columns.keys()].join(', ') || 'none'
  return new JobError(
    'target',
    `Expected \`${title}\` to have a column \`${name}\` that can be written, got ${known}: say in \`columns\` what goes where.`,
  )
}

function missingSource(name: string, columns: readonly Column[]): JobError {
  const known = columns.map((column) => column.name).join(', ') || 'none'
  return new JobError('target', `Expected a column \`${name}\` among the records' columns, got ${known}.`)
}

import { type Column, JobError, type RecordBatch, type Row } from '../index.js'
import type { Table } from './_postgres-table.js'
import { textOf } from './_postgres-values.js'

/** How long a piece grows before it is given away, in UTF-16 code units. */
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

/** The columns that a batch is written to, and how. */
export interface Layout {
  /** The names of the target's columns. */
  readonly names: readonly string[]
  /** The rows of the batch as lines of COPY's text format, in pieces of whole lines. */
  pieces(batch: RecordBatch): Generator<string>
}

/** Turns batches into the text that `COPY … FROM STDIN` reads. Text of raw rows travels as it is. */
export class CopyRows {
  readonly #table: Table
  readonly #mapping: Readonly<Record<string, string>> | undefined
  readonly #isNumbered: boolean
  #lines = 0
  /** The layout of the columns that came last: raw batches share their columns. */
  #last: { columns: readonly Column[]; layout: Layout } | undefined

  /** With `isNumbered`, every line ends with its number. */
  constructor(table: Table, mapping: Readonly<Record<string, string>> | undefined, isNumbered: boolean) {
    this.#table = table
    this.#mapping = mapping
    this.#isNumbered = isNumbered
  }

  layoutOf({ columns, isRaw }: RecordBatch): Layout {
    if (this.#last?.columns !== columns) this.#last = { columns, layout: this.#makeLayout(columns, isRaw) }
    return this.#last.layout
  }

  #makeLayout(columns: readonly Column[], isRaw: boolean): Layout {
    const fields = this.#mapping ? this.#mapped(this.#mapping, columns, isRaw) : this.#unmapped(columns)
    if (fields.length === 0) throw new JobError('target', 'Expected records with at least one column, got none.')
    return { names: fields.map(({ name }) => name), pieces: ({ rows }) => this.#pieces(fields, rows) }
  }

  #unmapped(columns: readonly Column[]): Field[] {
    return columns.map((column, index) => this.#field(column.name, index, column))
  }

  #mapped(mapping: Readonly<Record<string, string>>, columns: readonly Column[], isRaw: boolean): Field[] {
    return Object.entries(mapping).map(([source, name]) => {
      const index = columns.findIndex((column) => column.name === source)
      // Objects may leave out what is null.
      if (index < 0 && isRaw) throw missingSource(source, columns)
      return this.#field(name, index, columns[index])
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

  *#pieces(fields: readonly Field[], rows: readonly Row[]): Generator<string> {
    let piece = ''
    for (const row of rows) {
      piece += lineOf(fields, row)
      piece += this.#isNumbered ? `\t${++this.#lines}\n` : '\n'
      if (piece.length < pieceLength) continue
      yield piece
      piece = ''
    }
    if (piece !== '') yield piece
  }
}

function lineOf(fields: readonly Field[], row: Row): string {
  let line = ''
  for (let place = 0; place < fields.length; place++) {
    const { index, encode } = fields[place] as Field
    const raw = row[index]
    if (place > 0) line += '\t'
    line += raw === null || raw === undefined ? '\\N' : encode(raw)
  }
  return line
}

const needsEscape = /[\\\t\n\r]/

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

function escaped(text: string): string {
  return needsEscape.test(text) ? text.replace(/[\\\t\n\r]/g, (unit) => escapes[unit] as string) : text
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

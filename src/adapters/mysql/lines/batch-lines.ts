import { type Column, JobError, type JobRecord, RecordBatch, type Row } from '../../../adapter.js'
import { refused } from '../../shared/index.js'
import type { Table } from '../table/index.js'
import { type LineField, lineField, nullField } from './line-field.js'
import { checkNull } from './line-limits.js'
import { PostgresLines } from './postgres-lines.js'

/** More columns than a table can have: most of them are in none, and rows with all of them would take too much memory. */
const tooManyColumns = 4097

/** The length at which a piece ends, in UTF-16 code units. */
const pieceLength = 1 << 16

/** Records of a batch with the same columns, as lines of `load data`: fields with tabs between them, and line feeds behind them. */
export interface LineGroup {
  readonly fields: readonly LineField[]
  /** The lines, in pieces of complete ones. */
  readonly pieces: readonly Buffer[]
  /** The number of lines. */
  readonly length: number
  /** The indexes of the records in the batch, when other records are in other groups. */
  readonly origins?: readonly number[]
}

/** How records become lines. */
export interface LineOptions {
  /** Maps columns of the records to columns of the table. */
  readonly mapping: Readonly<Record<string, string>> | undefined
  /** The columns that every record must have, with a value that is not null. */
  readonly key: readonly string[]
  /** Whether the order of records with different columns matters. */
  readonly keepsOrder: boolean
}

/** How the records of some columns become lines. */
interface Prepared {
  readonly columns: readonly Column[]
  readonly fields: readonly LineField[]
  /** For rows that Postgres sends as text, if they need nothing else. */
  readonly bytes: PostgresLines | undefined
}

/** Encodes batches as lines. */
export class BatchLines {
  readonly #table: Table
  readonly #options: LineOptions
  /** The fields of the last columns. Raw batches share their columns. */
  #last: Prepared | undefined

  constructor(table: Table, options: LineOptions) {
    this.#table = table
    this.#options = options
  }

  /** Groups the records of a batch by their columns. */
  groupsOf(given: RecordBatch): LineGroup[] {
    const { mapping } = this.#options
    const batch = mapping && !given.isRaw ? withinTable(given, mapping) : given
    const { fields, bytes } = this.#prepared(batch)
    this.#checkKey(fields)
    if (bytes && batch.encoded?.format === 'postgres-text') return [this.#ofBytes(fields, bytes, batch)]
    const { rows } = batch
    const masks = batch.isSparse ? rows.map((row) => maskOf(fields, row)) : []
    if (!masks.some((mask) => mask.includes('0'))) return [this.#groupOf(fields, rows)]
    return this.#runsOf(masks).map(({ mask, origins }) => {
      const own = fields.filter((_, position) => mask[position] === '1')
      this.#checkKey(own, origins[0])
      const ownRows = origins.map((position) => rows[position] as Row)
      return this.#groupOf(own, ownRows, origins)
    })
  }

  #prepared({ columns, isRaw }: RecordBatch): Prepared {
    if (this.#last?.columns !== columns) {
      const fields = this.#fieldsOf(columns, isRaw)
      this.#last = { columns, fields, bytes: PostgresLines.of(fields, columns.length, this.#options) }
    }
    return this.#last
  }

  #ofBytes(fields: readonly LineField[], bytes: PostgresLines, { encoded }: RecordBatch): LineGroup {
    const { length = 0, chunks = [] } = encoded ?? {}
    return { fields, length, pieces: bytes.piecesOf(chunks as readonly Buffer[]) }
  }

  /** Records with the same columns. Where the order matters, only those that follow each other. */
  #runsOf(masks: readonly string[]): { mask: string; origins: number[] }[] {
    const runs: { mask: string; origins: number[] }[] = []
    const known = new Map<string, { mask: string; origins: number[] }>()
    for (const [position, mask] of masks.entries()) {
      const run = this.#options.keepsOrder ? runs.at(-1) : known.get(mask)
      if (run?.mask === mask) run.origins.push(position)
      else {
        const next = { mask, origins: [position] }
        runs.push(next)
        known.set(mask, next)
      }
    }
    return runs
  }

  #checkKey(fields: readonly LineField[], recordIndex?: number): void {
    const missing = this.#options.key.find((name) => !fields.some((field) => field.name === name))
    if (missing === undefined) return
    const names = fields.map(({ name }) => name).join(', ')
    throw new JobError(
      'target',
      `Expected records with the column \`${missing}\` of the key, got ${names || 'none'}.`,
      recordIndex === undefined ? {} : { recordIndex },
    )
  }

  #fieldsOf(columns: readonly Column[], isRaw: boolean): LineField[] {
    const { mapping } = this.#options
    if (!mapping) return columns.map((column, index) => this.#field(column.name, index, column))
    return Object.entries(mapping).flatMap(([source, name]) => {
      const index = columns.findIndex((column) => column.name === source)
      if (index < 0 && isRaw) throw missingSource(source, columns)
      const field = this.#field(name, index, columns[index])
      // Objects may lack a column.
      return index < 0 ? [] : [field]
    })
  }

  /** The server finds columns whatever the case of their names. */
  #field(wanted: string, index: number, column: Column | undefined): LineField {
    const { columns } = this.#table
    const name = columns.has(wanted) ? wanted : [...columns.keys()].find((known) => isSameName(known, wanted))
    if (name === undefined) throw missingColumn(wanted, this.#table)
    return lineField(index, name, columns.get(name) as LineField['kind'], column)
  }

  #groupOf(fields: readonly LineField[], rows: readonly Row[], origins?: readonly number[]): LineGroup {
    if (fields.length === 0) throw withoutColumns(origins?.[0])
    const pieces: Buffer[] = []
    let piece = ''
    for (let position = 0; position < rows.length; position++) {
      piece += this.#lineOf(fields, rows[position] as Row, origins?.[position] ?? position)
      if (piece.length < pieceLength) continue
      pieces.push(Buffer.from(piece))
      piece = ''
    }
    if (piece !== '') pieces.push(Buffer.from(piece))
    return { fields, pieces, length: rows.length, ...(origins && { origins }) }
  }

  #lineOf(fields: readonly LineField[], row: Row, recordIndex: number): string {
    let line = ''
    for (let position = 0; position < fields.length; position++) {
      const field = fields[position] as LineField
      const raw = row[field.index]
      if (position > 0) line += '\t'
      try {
        line += raw === null || raw === undefined ? this.#null(field) : field.encode(raw)
      } catch (error) {
        throw refused('column', field.name, error, { recordIndex })
      }
    }
    return `${line}\n`
  }

  #null({ name, kind }: LineField): string {
    checkNull(name, kind, this.#options.key)
    return nullField
  }
}

function isSameName(known: string, wanted: string): boolean {
  return known.toLowerCase() === wanted.toLowerCase()
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
function maskOf(fields: readonly LineField[], row: Row): string {
  return fields.map(({ index }) => (row[index] === undefined ? '0' : '1')).join('')
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

import { JobError } from '../core/errors.js'

/**
 * What a column holds, whatever the database calls it. It tells how a raw value reads as text:
 *
 * - `boolean`: decoded to true or false. `integer`, `float`: decoded to numbers that lose nothing.
 * - `bigint`, `decimal`: numbers that a JavaScript number may not hold; decoded text.
 * - `date`, `time`, `timestamp` (without a zone), `timestamptz`, `interval`: ISO 8601 text.
 * - `json`: JSON text. `bytes`: decoded to a Uint8Array. `array`: decoded to an array.
 * - `text`, and all else: text as it is.
 * - `value`: not raw at all, but a JavaScript value.
 */
export type ColumnType =
  | 'boolean'
  | 'integer'
  | 'float'
  | 'bigint'
  | 'decimal'
  | 'date'
  | 'time'
  | 'timestamp'
  | 'timestamptz'
  | 'interval'
  | 'json'
  | 'bytes'
  | 'array'
  | 'text'
  | 'value'

/** A column of a {@link RecordBatch}. */
export interface Column {
  /** The name, as the query gives it. */
  readonly name: string
  /** What it holds. */
  readonly type: ColumnType
  /**
   * Whether the datasource promises that its text, raw and decoded, holds nothing that JSON escapes: no quote, backslash,
   * control character or surrogate. Targets then need not look. Default `false`.
   */
  readonly isPlain?: boolean
  /**
   * The type in the SQL of the datasource, with its precision, such as `numeric(12,2)`: what a target can make a column of.
   * It is SQL text, and as trusted as the datasource.
   */
  readonly sqlType?: string
  /** Of an array of the datasource's own: what its elements hold, decoded as a column of that type would be. */
  readonly element?: ColumnType | undefined
  /** Turns a raw value into the value that a record shows. Without it, the raw value is that value. Nulls never come here. */
  readonly decode?: (raw: string) => unknown
}

/**
 * The raw values of one record, in the order of the columns: `null` for SQL's NULL, and `undefined` for a column that the record does
 * not have, which only records that were given as objects can lack.
 */
export type Row = readonly unknown[]

/** Rows as the bytes that a server wrote: read when somebody asks for them, or passed on as they are. */
export interface EncodedRows {
  /** How the bytes are laid out, in a word that datasource and target agree on. */
  readonly format: string
  /** How many rows there are: at least one. */
  readonly length: number
  /** The bytes: together all rows, each chunk whole rows. */
  readonly chunks: readonly Uint8Array[]
  /** The raw values of every row. */
  rows(): Row[]
  /** The raw values of one column. */
  values(column: number): unknown[]
  /** The raw value of one column in the last row. */
  lastValue(column: number): unknown
  /** The rows from `start` up to, not including, `end`. */
  slice(start: number, end: number): EncodedRows
}

/** A record: its values by the names of its columns. */
export type JobRecord = Record<string, unknown>

/**
 * Records on their way from a datasource to a target. Rows stay as the driver gave them until somebody asks for
 * `records()`, so that a target that needs no objects never pays for them.
 */
export class RecordBatch<Item extends object = JobRecord> {
  /** How many records there are. */
  readonly length: number
  /** The rows as their server wrote them, for a target that takes them so; `undefined` when they came in another way. */
  readonly encoded: EncodedRows | undefined
  /**
   * Where a read by a cursor goes on after this batch: a JSON value of the datasource's own, which comes back as
   * `ReadOptions.cursor.position`. A batch that repeats what was read before has the very position that the read goes on from
   * by then. `undefined` where none may go on, as between ties, and in reads without a cursor. A slice has none.
   */
  position: unknown
  /**
   * Set where ranges are read side by side and their batches come in any order: what tells the batch from all others, and the
   * values of the cursor's columns in the last record that has none missing before it, if there is one.
   */
  split?: { readonly name: string; readonly reached: Readonly<Record<string, unknown>> }
  #columns: readonly Column[] | undefined
  #rows: readonly Row[] | undefined
  #records: Item[] | undefined

  private constructor(columns?: readonly Column[], rows?: readonly Row[], records?: Item[], encoded?: EncodedRows) {
    this.encoded = encoded
    this.#columns = columns
    this.#rows = rows
    this.#records = records
    this.length = (encoded ?? rows ?? records ?? []).length
  }

  /** A batch of raw rows: what a datasource with a driver makes. */
  static fromRows<Item extends object = JobRecord>(
    columns: readonly Column[],
    rows: readonly Row[],
  ): RecordBatch<Item> {
    return new RecordBatch<Item>(columns, rows)
  }

  /** A batch of rows that are still bytes. */
  static fromEncoded<Item extends object = JobRecord>(
    columns: readonly Column[],
    encoded: EncodedRows,
  ): RecordBatch<Item> {
    return new RecordBatch<Item>(columns, undefined, undefined, encoded)
  }

  /** A batch of objects: what a transform makes. Its columns have the type `value`. */
  static fromRecords<Item extends object = JobRecord>(records: Item[]): RecordBatch<Item> {
    return new RecordBatch<Item>(undefined, undefined, records)
  }

  /** Whether the batch was made of raw rows: then `rows` and `columns` cost nothing. */
  get isRaw(): boolean {
    return this.encoded !== undefined || (this.#rows !== undefined && this.#columns?.[0]?.type !== 'value')
  }

  /** The columns of `rows`: for a batch of objects, every name that one of them has, in the order of first sight. */
  get columns(): readonly Column[] {
    this.#columns ??= [...new Set(this.records().flatMap(Object.keys))].map((name) => ({ name, type: 'value' }))
    return this.#columns
  }

  /** The raw values of every record. */
  get rows(): readonly Row[] {
    this.#rows ??= this.encoded?.rows()
    this.#rows ??= this.records().map((record) => this.columns.map(({ name }) => ownValue(record, name)))
    return this.#rows
  }

  /** Whether some records lack columns that others have. Rows of a database never do. */
  get isSparse(): boolean {
    return !this.isRaw && this.rows.some((row) => row.includes(undefined))
  }

  /** The records as objects, decoded when this is first called. */
  records(): Item[] {
    this.#records ??= decode(this.columns, this.rows) as Item[]
    return this.#records
  }

  /** How many bytes the rows have: exactly when they are encoded, else about as many as their text. */
  get byteLength(): number {
    if (this.encoded) return this.encoded.chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)
    return this.rows.reduce((sum, row) => sum + row.reduce<number>((length, value) => length + lengthOf(value), 0), 0)
  }

  /** The raw values of one column. Throws `datasource` when there is none of that name. */
  valuesOf(name: string): unknown[] {
    const index = this.indexOf(name)
    if (!this.#rows && this.encoded) return this.encoded.values(index)
    return this.rows.map((row) => row[index] ?? null)
  }

  /** The raw value of one column in the last record. Throws `datasource` when there is none of that name. */
  lastValueOf(name: string): unknown {
    const index = this.indexOf(name)
    return (this.#rows || !this.encoded ? this.rows.at(-1)?.[index] : this.encoded.lastValue(index)) ?? null
  }

  /** The place of a column. Throws `datasource` when there is none of that name. */
  indexOf(name: string): number {
    const index = this.columns.findIndex((column) => column.name === name)
    if (index >= 0) return index
    const names = this.columns.map((column) => column.name).join(', ')
    throw new JobError(
      'datasource',
      `Expected a column \`${name}\` among the records' columns, got ${names || 'none'}.`,
    )
  }

  /** The records from `start` up to, not including, `end`. */
  slice(start: number, end: number): RecordBatch<Item> {
    // What only others of the objects have is no column of the part.
    if (this.#records && !this.isRaw) return RecordBatch.fromRecords(this.#records.slice(start, end))
    const [rows, records] = [this.#rows?.slice(start, end), this.#records?.slice(start, end)]
    return new RecordBatch(this.#columns, rows, records, this.encoded?.slice(start, end))
  }
}

/** Names of columns may be names of what every object inherits, such as `constructor`. */
function ownValue(record: object, name: string): unknown {
  return Object.hasOwn(record, name) ? ((record as JobRecord)[name] ?? null) : undefined
}

function lengthOf(value: unknown): number {
  if (value === null || value === undefined) return 0
  if (value instanceof Uint8Array) return value.byteLength
  if (typeof value !== 'object') return String(value).length
  try {
    return (JSON.stringify(value) ?? '').length
  } catch {
    return lengthOfParts(value)
  }
}

/** About how long the text of a value is that JSON cannot hold: one that is nested too deep, holds itself, or has big integers. */
function lengthOfParts(value: object): number {
  const seen = new Set<object>()
  const left: unknown[] = [value]
  let length = 0
  while (left.length > 0) {
    const item = left.pop()
    if (typeof item !== 'object' || item === null) length += String(item).length
    else if (!seen.has(item)) {
      seen.add(item)
      for (const [name, inner] of Object.entries(item)) {
        length += name.length
        left.push(inner)
      }
    }
  }
  return length
}

function decode(columns: readonly Column[], rows: readonly Row[]): JobRecord[] {
  // Copying one empty record per row gives all records one hidden class, which is several times as fast as building it.
  const empty: JobRecord = Object.fromEntries(columns.map(({ name }) => [name, null]))
  return rows.map((row) => {
    const record = { ...empty }
    for (let index = 0; index < columns.length; index++) {
      const { name, decode } = columns[index] as Column
      const raw = row[index]
      record[name] = decode && raw !== null ? decode(raw as string) : raw
    }
    return record
  })
}

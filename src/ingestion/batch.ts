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
  /** Turns a raw value into the value that a record shows. Without it, the raw value is that value. Nulls never come here. */
  readonly decode?: (raw: string) => unknown
}

/** The raw values of one record, in the order of the columns; `null` for SQL's NULL. */
export type Row = readonly unknown[]

/** A record: its values by the names of its columns. */
export type JobRecord = Record<string, unknown>

/**
 * Records on their way from a datasource to a target. Rows stay as the driver gave them until somebody asks for
 * `records()`, so that a target that needs no objects never pays for them.
 */
export class RecordBatch<Item extends object = JobRecord> {
  /** How many records there are. */
  readonly length: number
  #columns: readonly Column[] | undefined
  #rows: readonly Row[] | undefined
  #records: Item[] | undefined

  private constructor(columns?: readonly Column[], rows?: readonly Row[], records?: Item[]) {
    this.#columns = columns
    this.#rows = rows
    this.#records = records
    this.length = (rows ?? records ?? []).length
  }

  /** A batch of raw rows: what a datasource with a driver makes. */
  static fromRows<Item extends object = JobRecord>(
    columns: readonly Column[],
    rows: readonly Row[],
  ): RecordBatch<Item> {
    return new RecordBatch<Item>(columns, rows)
  }

  /** A batch of objects: what a transform makes. Its columns have the type `value`. */
  static fromRecords<Item extends object = JobRecord>(records: Item[]): RecordBatch<Item> {
    return new RecordBatch<Item>(undefined, undefined, records)
  }

  /** Whether the batch was made of raw rows: then `rows` and `columns` cost nothing. */
  get isRaw(): boolean {
    return this.#rows !== undefined && this.#columns?.[0]?.type !== 'value'
  }

  /** The columns of `rows`: for a batch of objects, every name that one of them has, in the order of first sight. */
  get columns(): readonly Column[] {
    this.#columns ??= [...new Set(this.records().flatMap(Object.keys))].map((name) => ({ name, type: 'value' }))
    return this.#columns
  }

  /** The raw values of every record. */
  get rows(): readonly Row[] {
    this.#rows ??= this.records().map((record) => this.columns.map(({ name }) => (record as JobRecord)[name] ?? null))
    return this.#rows
  }

  /** The records as objects, decoded when this is first called. */
  records(): Item[] {
    this.#records ??= decode(this.columns, this.rows) as Item[]
    return this.#records
  }

  /** The raw values of one column. Throws `datasource` when there is none of that name. */
  valuesOf(name: string): unknown[] {
    const index = this.indexOf(name)
    return this.rows.map((row) => row[index] ?? null)
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
    return new RecordBatch(this.#columns, this.#rows?.slice(start, end), this.#records?.slice(start, end))
  }
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

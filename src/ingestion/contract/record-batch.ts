import { checkValue, invalid, JobError, type Rule, rule } from '../../core/base/index.js'
import { nonRecordIn } from './record-rule.js'

/**
 * The type of a column, independent of the database. It defines the decoded form of a raw value:
 *
 * - `boolean`: decoded to true or false. `integer`, `float`: decoded to numbers without loss.
 * - `bigint`, `decimal`: numbers that may not fit a JavaScript number; decoded text.
 * - `date`, `time`, `timestamp` (without a zone), `timestamptz`, `interval`: ISO 8601 text.
 * - `json`: JSON text. `bytes`: decoded to a Uint8Array. `array`: decoded to an array.
 * - `text`, and all other types: unchanged text.
 * - `value`: not a raw value, but a JavaScript value.
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

/**
 * A type that users have created, such as an enum or a domain.
 *
 * @experimental
 */
export interface CustomType {
  /** Its name in SQL, with its schema. */
  readonly sqlType: string
  /** The types that must exist for it, each after those that it needs itself. */
  readonly definitions: readonly TypeDefinition[]
}

/**
 * How to create a type. It is SQL text, trusted like the datasource.
 *
 * @experimental
 */
export interface TypeDefinition {
  /** The name in SQL, with its schema. */
  readonly name: string
  readonly kind: 'enum' | 'domain' | 'composite'
  /** The labels of an enum, the base type of a domain, or the attributes of a composite type. They show whether another type is the same. */
  readonly parts: readonly string[]
  /** The statement that creates the type. */
  readonly create: string
}

/** A column of a {@link RecordBatch}. */
export interface Column {
  /** The name in the query's result. */
  readonly name: string
  /** The type. */
  readonly type: ColumnType
  /**
   * Whether the datasource promises that the text, raw and decoded, contains nothing that JSON escapes: no quote, backslash, control
   * character or surrogate. Targets can then skip the check. Default `false`.
   */
  readonly isPlain?: boolean
  /**
   * The type in the SQL of the datasource, with its precision, such as `numeric(12,2)`. A target can create a column of this type.
   * It is SQL text, trusted like the datasource.
   */
  readonly sqlType?: string
  /**
   * For a type that a database of the same system may lack: its name, and how to create it. A target uses it in place of `sqlType`.
   *
   * @experimental
   */
  readonly customType?: CustomType | undefined
  /**
   * The name of the form of its values in encoded rows, where a target is asked whether it accepts them. Default: `sqlType`.
   *
   * @experimental
   */
  readonly form?: string
  /** The system whose SQL `sqlType` is, such as `mysql`. Default: that of the target. */
  readonly system?: string
  /** The number of digits of a number, or `undefined` for no limit of its own. */
  readonly precision?: number | undefined
  /** How many of the digits are behind the point. For a time, the digits of a second. */
  readonly scale?: number | undefined
  /** The number of characters of a text or of bytes, or `undefined` for no limit of its own. */
  readonly length?: number | undefined
  /** Whether a value may be null. Default: not known. */
  readonly isNullable?: boolean
  /** The type of the elements of an array, for arrays that the datasource decodes itself. */
  readonly element?: ColumnType | undefined
  /** Decodes a raw value for `records()`. Without it, the raw value is used. Never receives null. */
  readonly decode?: (raw: string) => unknown
}

/**
 * The raw values of one record, in the order of the columns. `null` is SQL's NULL. `undefined` marks a column that the record
 * lacks, which happens only with records that were given as objects.
 */
export type Row = readonly unknown[]

/** Rows as the bytes of the server's protocol: decoded on demand, or passed on unchanged. */
export interface EncodedRows {
  /** The layout of the bytes, as a name that datasource and target agree on. */
  readonly format: string
  /** The number of rows, at least one. */
  readonly length: number
  /** The bytes of all rows. Each chunk holds whole rows. */
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

const brand = Symbol.for('headgate.RecordBatch')

const columnsRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.every((column) => typeof Object(column).name === 'string'),
  expected: 'an array of columns, each with a `name`',
}
const rowsRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.every(Array.isArray),
  expected: 'an array of arrays of values',
}
const encodedRule = rule.having('rows', 'values', 'lastValue', 'slice')

/** The same properties. Unlike an interface, it is a {@link JobRecord} to the compiler, so that every target takes it. */
export type RecordOf<Item extends object> = { [Name in keyof Item]: Item[Name] }

/**
 * Records on their way from a datasource to a target. Rows stay as the driver returned them until `records()` is called, so a
 * target that needs no objects avoids their cost.
 */
export class RecordBatch<Item extends object = JobRecord> {
  /** The number of records. */
  readonly length: number
  /** The rows as bytes of the server's protocol, for a target that accepts them. `undefined` for other batches. */
  readonly encoded: EncodedRows | undefined
  #columns: readonly Column[] | undefined
  #rows: readonly Row[] | undefined
  #records: object[] | undefined

  /** Identifies the class across copies of the package. */
  readonly [brand] = true

  private constructor(columns?: readonly Column[], rows?: readonly Row[], records?: object[], encoded?: EncodedRows) {
    this.encoded = encoded
    this.#columns = columns
    this.#rows = rows
    this.#records = records
    this.length = (encoded ?? rows ?? records ?? []).length
  }

  /** Whether `value` is a batch, including one from another copy of headgate. */
  static isInstance(value: unknown): value is RecordBatch {
    return typeof value === 'object' && value !== null && (value as { [brand]?: unknown })[brand] === true
  }

  /** A batch of raw rows, for datasources with a driver. */
  static fromRows<Item extends object = JobRecord>(
    columns: readonly Column[],
    rows: readonly Row[],
  ): RecordBatch<Item> {
    checkValue('columns', columns, columnsRule)
    checkValue('rows', rows, rowsRule)
    return new RecordBatch<Item>(columns, rows)
  }

  /** A batch of encoded rows. */
  static fromEncoded<Item extends object = JobRecord>(
    columns: readonly Column[],
    encoded: EncodedRows,
  ): RecordBatch<Item> {
    checkValue('columns', columns, columnsRule)
    checkValue('encoded', encoded, encodedRule)
    return new RecordBatch<Item>(columns, undefined, undefined, encoded)
  }

  /** A batch of objects, for transforms. Its columns have the type `value`. */
  static fromRecords<Item extends object = JobRecord>(records: Item[]): RecordBatch<Item> {
    checkRecords(records)
    return new RecordBatch<Item>(undefined, undefined, records)
  }

  /** Whether the batch was made of raw rows, so that `rows` and `columns` need no conversion. */
  get isRaw(): boolean {
    return this.encoded !== undefined || (this.#rows !== undefined && this.#columns?.[0]?.type !== 'value')
  }

  /** The columns of `rows`. For a batch of objects, all names of their properties, in order of appearance. */
  get columns(): readonly Column[] {
    this.#columns ??= namesOf(this.records()).map((name) => ({ name, type: 'value' }))
    return this.#columns
  }

  /** The raw values of every record. Objects that share few names make far more values than they have. */
  get rows(): readonly Row[] {
    this.#rows ??= this.encoded?.rows()
    this.#rows ??= this.records().map((record) => this.columns.map(({ name }) => ownValue(record, name)))
    return this.#rows
  }

  /** Whether some records lack columns that others have. Never for rows of a database. */
  get isSparse(): boolean {
    return !this.isRaw && this.rows.some((row) => row.includes(undefined))
  }

  /** The records as objects, decoded on the first call. */
  records(): RecordOf<Item>[] {
    this.#records ??= decode(this.columns, this.rows)
    return this.#records as RecordOf<Item>[]
  }

  /** The records, for `JSON.stringify`. */
  toJSON(): RecordOf<Item>[] {
    return this.records()
  }

  /** The raw values of the last record. */
  get lastRow(): Row {
    const last = this.#objects?.at(-1)
    return last ? this.columns.map(({ name }) => ownValue(last, name)) : (this.rows.at(-1) ?? [])
  }

  /** The size of the rows in bytes: exact for encoded rows, else approximately the length of their text. */
  get byteLength(): number {
    if (this.encoded) return this.encoded.chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)
    const rows: readonly Row[] = this.#objects?.map(Object.values) ?? this.rows
    return rows.reduce((sum, row) => sum + row.reduce<number>((length, value) => length + lengthOf(value), 0), 0)
  }

  /** The raw values of one column. Throws `datasource` when the column does not exist. */
  valuesOf(name: string): unknown[] {
    const index = this.indexOf(name)
    if (!this.#rows && this.encoded) return this.encoded.values(index)
    if (this.#objects) return this.#objects.map((record) => ownValue(record, name) ?? null)
    return this.rows.map((row) => row[index] ?? null)
  }

  /** The raw value of one column in the last record. Throws `datasource` when the column does not exist. */
  lastValueOf(name: string): unknown {
    const index = this.indexOf(name)
    if (!this.#rows && this.encoded) return this.encoded.lastValue(index) ?? null
    const last = this.#objects?.at(-1)
    return (last ? ownValue(last, name) : this.rows.at(-1)?.[index]) ?? null
  }

  /** The index of a column. Throws `datasource` when the column does not exist. */
  indexOf(name: string): number {
    const index = this.columns.findIndex((column) => column.name === name)
    if (index >= 0) return index
    const names = this.columns.map((column) => column.name).join(', ')
    const got = names || 'records without columns: check the `select` of the query, or what the source returns'
    throw new JobError('datasource', `Expected a column \`${name}\` among the records' columns, got ${got}.`)
  }

  /** The records, if the batch was made of objects. */
  get #objects(): readonly object[] | undefined {
    return this.#rows || this.encoded ? undefined : this.#records
  }

  /** The records from `start` up to, not including, `end`. */
  slice(start: number, end: number): RecordBatch<Item> {
    // A slice has only the columns of its own objects.
    if (this.#records && !this.isRaw) return new RecordBatch(undefined, undefined, this.#records.slice(start, end))
    const [rows, records] = [this.#rows?.slice(start, end), this.#records?.slice(start, end)]
    return new RecordBatch(this.#columns, rows, records, this.encoded?.slice(start, end))
  }
}

function checkRecords(records: unknown): void {
  if (!Array.isArray(records)) throw invalid('records', 'an array of objects', records)
  const found = nonRecordIn(records)
  if (found === undefined) return
  throw new JobError('invalid_options', `Expected \`records\` to be an array of objects with columns, got ${found}.`)
}

/** All names of properties, in order of appearance. */
function namesOf(records: readonly object[]): string[] {
  const names = new Set<string>()
  for (const record of records) for (const name of Object.keys(record)) names.add(name)
  return [...names]
}

/** The value of a property, and null in place of an undefined one. Column names may equal inherited names, such as `constructor`. */
export function ownValue(record: object, name: string): unknown {
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

/** The approximate text length of a value that JSON cannot represent: nested too deep, circular, or with big integers. */
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

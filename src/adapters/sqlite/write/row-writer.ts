import { type Column, JobError, type RecordBatch, type Row } from '../../../adapter.js'
import { refused } from '../../shared/index.js'
import { isOfRow, type PreparedStatement, quotedList, type StoredValue } from '../client/index.js'
import { lowerCase, storedValue, type Table, type TableColumn } from '../table/index.js'
import type { WriteSession } from './write-session.js'

/** How many rows are written between two looks at the clock. */
const rowsPerLook = 16

/** The most statements that are kept, for records that lack columns. */
const maxStatements = 100

/** A column that is written. */
interface Field {
  /** The index of the value in a row. */
  readonly index: number
  readonly column: TableColumn
  readonly convert: (raw: unknown) => StoredValue
}

/** How records are written. */
export interface RowPlan {
  /** Maps columns of the records to columns of the table. */
  readonly columns: Readonly<Record<string, string>> | undefined
  /** The key columns of an upsert. */
  readonly key: readonly string[] | undefined
  /** Whether an upsert leaves rows as they are that have the values already. */
  readonly skipsUnchanged?: boolean
  /** Called when the table did not store a row that it was given. */
  onRowDropped(): void
}

/** Inserts or merges the records of batches, row by row. */
export class RowWriter {
  readonly #session: WriteSession
  readonly #table: Table
  readonly #plan: RowPlan
  readonly #statements = new Map<string, PreparedStatement>()
  /** The fields of the last columns. Raw batches share their columns. */
  #last: { readonly columns: readonly Column[]; readonly fields: readonly Field[] } | undefined

  /** Throws `target` when the table has no unique index of exactly the key columns. */
  constructor(session: WriteSession, table: Table, plan: RowPlan) {
    this.#session = session
    this.#table = table
    this.#plan = plan
    if (plan.key) this.#statementFor(plan.key.map((name) => this.#columnOf(name)))
  }

  /**
   * Writes a batch in the open transaction. The error of a row that is refused has its index. With `isWhole`, it leaves nothing of the batch
   * then.
   */
  async write(batch: RecordBatch, isWhole: boolean): Promise<void> {
    const { connection } = this.#session
    const fields = this.#fieldsOf(batch)
    if (isWhole) connection.exec('savepoint headgate_batch')
    try {
      await this.#writeRows(batch.rows, fields, batch.isSparse)
    } catch (error) {
      if (isWhole && this.#session.isSound) connection.exec('rollback to headgate_batch; release headgate_batch')
      throw error
    }
    if (isWhole) connection.exec('release headgate_batch')
  }

  async #writeRows(rows: readonly Row[], fields: readonly Field[], isSparse: boolean): Promise<void> {
    const whole = isSparse ? undefined : this.#statementFor(fields.map(({ column }) => column))
    for (let position = 0; position < rows.length; position++) {
      const row = rows[position] as Row
      const own = isSparse ? fields.filter(({ index }) => row[index] !== undefined) : fields
      this.#writeRow(whole, row, own, position)
      if (position % rowsPerLook === rowsPerLook - 1) await this.#session.turn()
    }
  }

  #writeRow(whole: PreparedStatement | undefined, row: Row, fields: readonly Field[], recordIndex: number): void {
    this.#checkKey(fields, row, recordIndex)
    const values = fields.map(({ index, column, convert }) => {
      const raw = row[index]
      if (raw === null || raw === undefined) return null
      try {
        return convert(raw)
      } catch (error) {
        throw refused('column', column.name, error, { recordIndex })
      }
    })
    const statement = whole ?? this.#statementFor(fields.map(({ column }) => column))
    try {
      const isStored = statement.run(values) > 0
      const { key, skipsUnchanged } = this.#plan
      const mayStay = key && (skipsUnchanged || fields.length === key.length)
      if (!isStored && !mayStay) this.#plan.onRowDropped()
    } catch (cause) {
      if (!isOfRow(cause)) throw cause
      throw new JobError('target', 'SQLite refuses the record.', { cause, recordIndex })
    }
  }

  /** Null is no key: such a record would come again with every run. */
  #checkKey(fields: readonly Field[], row: Row, recordIndex: number): void {
    for (const name of this.#plan.key ?? []) {
      const field = fields.find(({ column }) => lowerCase(column.name) === lowerCase(name))
      if (field && row[field.index] !== null && row[field.index] !== undefined) continue
      const got = field ? 'null' : 'none'
      throw new JobError('target', `Expected a record with a value in the column \`${name}\` of the key, got ${got}.`, {
        recordIndex,
      })
    }
  }

  #fieldsOf({ columns, isRaw }: RecordBatch): readonly Field[] {
    if (this.#last?.columns === columns) return this.#last.fields
    const { columns: mapping } = this.#plan
    const pairs = mapping ? Object.entries(mapping) : columns.map(({ name }) => [name, name] as const)
    const fields = pairs.flatMap(([source, name]): Field[] => {
      const index = columns.findIndex((column) => column.name === source)
      if (index < 0 && isRaw) throw missingSource(source, columns)
      const column = this.#columnOf(name)
      return index < 0 ? [] : [{ index, column, convert: converterOf(columns[index] as Column, column, isRaw) }]
    })
    if (fields.length === 0) throw new JobError('target', 'Expected records with at least one column, got none.')
    this.#last = { columns, fields }
    return fields
  }

  #columnOf(name: string): TableColumn {
    const column = this.#table.columns.get(lowerCase(name))
    if (column) return column
    const known = [...this.#table.columns.values()].map((it) => it.name).join(', ') || 'none'
    throw new JobError(
      'target',
      `Expected \`${this.#table.name}\` to have a column \`${name}\` that can be written, got ${known}: map the columns with \`columns\`.`,
    )
  }

  #statementFor(columns: readonly TableColumn[]): PreparedStatement {
    const names = columns.map(({ name }) => name)
    const id = names.join('\0')
    const known = this.#statements.get(id)
    if (known) return known
    if (this.#statements.size >= maxStatements) this.#statements.clear()
    const places = names.map(() => '?').join(', ')
    const text = `insert into ${this.#table.sql} as headgate_target (${quotedList(names)}) values (${places})${this.#conflict(names)}`
    const statement = this.#session.connection.prepare(text)
    this.#statements.set(id, statement)
    return statement
  }

  /** Columns that the records lack stay as they are. */
  #conflict(names: readonly string[]): string {
    const { key, skipsUnchanged } = this.#plan
    if (!key) return ''
    const keys = key.map(lowerCase)
    const others = names.filter((name) => !keys.includes(lowerCase(name)))
    const sets = others.map((name) => `${quotedList([name])} = excluded.${quotedList([name])}`)
    const where = skipsUnchanged ? ` where ${others.map(isOther).join(' or ')}` : ''
    return ` on conflict (${quotedList(key)}) do ${sets.length > 0 ? `update set ${sets.join(', ')}${where}` : 'nothing'}`
  }
}

/** Whether a column has another value by now, whatever its collation finds equal, and also when 1 becomes 1.0. */
function isOther(name: string): string {
  const [before, after] = [`headgate_target.${quotedList([name])}`, `excluded.${quotedList([name])}`]
  return `${before} collate binary is not ${after} or typeof(${before}) <> typeof(${after})`
}

/** Raw values of other systems are decoded, apart from JSON, which stays the text that it is. */
function converterOf({ type, decode, system }: Column, { kind }: TableColumn, isRaw: boolean): Field['convert'] {
  const keeps = !isRaw || !decode || type === 'json' || system === 'sqlite'
  return keeps
    ? (raw) => storedValue(raw, kind, type)
    : (raw) => storedValue(typeof raw === 'string' ? decode(raw) : raw, kind, type)
}

function missingSource(name: string, columns: readonly Column[]): JobError {
  const known = columns.map((column) => column.name).join(', ') || 'none'
  return new JobError('target', `Expected a column \`${name}\` among the records' columns, got ${known}.`)
}

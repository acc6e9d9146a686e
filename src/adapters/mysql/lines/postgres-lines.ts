import { refused } from '../../shared/index.js'
import { type LineField, nullField } from './line-field.js'
import { checkNull } from './line-limits.js'

/** What becomes of the bytes of a field. */
const steps = { skip: 0, copy: 1, escape: 2, boolean: 3, hex: 4, timestamp: 5, date: 6, time: 7, text: 8 } as const

type Step = (typeof steps)[keyof typeof steps]

/** A column of the rows. */
interface ByteField {
  readonly step: Step
  /** Undefined for a column that is not written. */
  readonly field: LineField | undefined
  /** Whether a null must be checked. */
  readonly checksNull: boolean
}

/** The size of a buffer for lines. */
const bufferLength = 1 << 18

const tab = 9
const lineFeed = 10
const dot = 46
const dash = 45
const colon = 58
const plus = 43
const backslash = 92
const nullBytes = Buffer.from(nullField)

/** The letters that follow the backslash, by the byte that they stand for. */
const letters = new Uint8Array(256)
letters[0] = 48
letters[tab] = 116
letters[lineFeed] = 110
letters[backslash] = backslash

/**
 * Makes lines of the rows that Postgres sends as text, byte by byte: no value becomes a text of JavaScript, unless its form is unusual. Per
 * row, the bytes have the number of fields in two bytes, then each field after its length in four bytes, -1 for null.
 */
export class PostgresLines {
  readonly #columns: readonly ByteField[]
  readonly #key: readonly string[]
  #out = Buffer.alloc(0)
  #at = 0

  private constructor(columns: readonly ByteField[], { key }: { readonly key: readonly string[] }) {
    this.#columns = columns
    this.#key = key
  }

  /** Undefined where a column needs its text, or where the fields are in another order than the columns. */
  static of(
    fields: readonly LineField[],
    width: number,
    options: { readonly key: readonly string[] },
  ): PostgresLines | undefined {
    const columns: ByteField[] = Array.from({ length: width }, () => ({ step: 0, field: undefined, checksNull: false }))
    let last = -1
    for (const field of fields) {
      const step = stepOf(field)
      if (step === undefined || field.index <= last) return undefined
      last = field.index
      columns[last] = { step, field, checksNull: field.kind.refusesNull || options.key.includes(field.name) }
    }
    return fields.length === 0 ? undefined : new PostgresLines(columns, options)
  }

  /** The lines of the rows, in pieces of complete lines. */
  piecesOf(chunks: readonly Buffer[]): Buffer[] {
    const pieces: Buffer[] = []
    let start = this.#at
    let row = 0
    for (const chunk of chunks) {
      // Every byte becomes two at most.
      if (this.#out.length - this.#at < 2 * chunk.length) {
        if (this.#at > start) pieces.push(this.#out.subarray(start, this.#at))
        this.#out = Buffer.allocUnsafe(Math.max(bufferLength, 2 * chunk.length))
        start = 0
        this.#at = 0
      }
      row = this.#addRows(chunk, row)
    }
    if (this.#at > start) pieces.push(this.#out.subarray(start, this.#at))
    return pieces
  }

  #addRows(chunk: Buffer, firstRow: number): number {
    const columns = this.#columns
    let row = firstRow
    for (let at = 0; at < chunk.length; row++) {
      at += 2
      for (let column = 0; column < columns.length; column++) {
        const length = int32(chunk, at)
        at += 4
        const next = length < 0 ? at : at + length
        const { step, field, checksNull } = columns[column] as ByteField
        if (field !== undefined) {
          if (length < 0) this.#addNull(field, checksNull, row)
          else this.#addField(step, field, chunk, at, next, row)
          this.#out[this.#at++] = tab
        }
        at = next
      }
      this.#out[this.#at - 1] = lineFeed
    }
    return row
  }

  #addNull(field: LineField, checksNull: boolean, recordIndex: number): void {
    if (checksNull) {
      try {
        checkNull(field.name, field.kind, this.#key)
      } catch (error) {
        throw refused('column', field.name, error, { recordIndex })
      }
    }
    this.#out[this.#at++] = nullBytes[0] as number
    this.#out[this.#at++] = nullBytes[1] as number
  }

  #addField(step: Step, field: LineField, chunk: Buffer, start: number, end: number, row: number): void {
    if (step === steps.copy) this.#copy(chunk, start, end)
    else if (step === steps.escape) this.#escape(chunk, start, end)
    else if (step === steps.boolean) this.#out[this.#at++] = chunk[start] === 116 ? 49 : 48
    else if (step === steps.hex) this.#copy(chunk, start + 2, end)
    else if (step === steps.text) this.#addText(field, chunk, start, end, row)
    else {
      const last = endOfTime(step, field, chunk, start, end)
      if (last > 0) this.#copy(chunk, start, last)
      else this.#addText(field, chunk, start, end, row)
    }
  }

  #copy(chunk: Buffer, start: number, end: number): void {
    const out = this.#out
    let at = this.#at
    if (end - start > 64) {
      this.#at += chunk.copy(out, at, start, end)
      return
    }
    for (let from = start; from < end; from++) out[at++] = chunk[from] as number
    this.#at = at
  }

  #escape(chunk: Buffer, start: number, end: number): void {
    const out = this.#out
    let at = this.#at
    for (let from = start; from < end; from++) {
      const byte = chunk[from] as number
      const letter = byte <= backslash ? (letters[byte] as number) : 0
      if (letter === 0) out[at++] = byte
      else {
        out[at++] = backslash
        out[at++] = letter
      }
    }
    this.#at = at
  }

  /** A value of an unusual form, which a text makes ready or refuses. */
  #addText(field: LineField, chunk: Buffer, start: number, end: number, recordIndex: number): void {
    try {
      this.#at += this.#out.write(field.encode(chunk.toString('utf8', start, end)), this.#at)
    } catch (error) {
      throw refused('column', field.name, error, { recordIndex })
    }
  }
}

/** Where a date or a time in UTC ends that the column takes as it is. 0 for any other. */
function endOfTime(step: Step, { kind }: LineField, chunk: Buffer, start: number, end: number): number {
  if (step === steps.date) return end - start === 10 && chunk[start + 4] === dash ? end : 0
  const isTime = step === steps.time
  const zone = !isTime && chunk[end - 3] === plus && chunk[end - 2] === 48 && chunk[end - 1] === 48 ? 3 : 0
  const last = end - zone
  const fraction = start + (isTime ? 8 : 19)
  const mark = isTime ? chunk[start + 2] === colon : chunk[start + 4] === dash
  if (!mark || last < fraction) return 0
  if (last === fraction) return last
  const isFraction = chunk[fraction] === dot && isDigit(chunk[last - 1]) && last - fraction - 1 <= kind.digits
  return isFraction && isAllDigits(chunk, fraction + 1, last) ? last : 0
}

function isAllDigits(chunk: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (!isDigit(chunk[at])) return false
  return true
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57
}

const digits: ReadonlySet<unknown> = new Set(['integer', 'number', 'text', 'json'])
const letterTypes: ReadonlySet<unknown> = new Set(['text', 'json', 'interval'])

/** Undefined for a column whose values need more than their bytes. */
function stepOf({ column, kind: { storage, sqlType } }: LineField): Step | undefined {
  const isText = storage === 'text' || storage === 'json'
  switch (column?.type) {
    case 'boolean':
      return storage === 'float' || storage === 'integer' || storage === 'number' || storage === 'bits'
        ? steps.boolean
        : undefined
    case 'integer':
      return digits.has(storage) || storage === 'float' ? steps.copy : undefined
    case 'bigint':
      return digits.has(storage) ? steps.copy : storage === 'float' ? steps.text : undefined
    case 'float':
    case 'decimal':
      if (storage === 'float') return column.type === 'float' && sqlType === 'double' ? steps.copy : steps.text
      return storage === 'number' || isText ? steps.copy : undefined
    case 'date':
      return storage === 'date' ? steps.date : storage === 'text' ? steps.copy : undefined
    case 'time':
      return storage === 'time' ? steps.time : storage === 'text' ? steps.copy : undefined
    case 'timestamp':
    case 'timestamptz':
      return storage === 'timestamp' ? steps.timestamp : storage === 'text' ? steps.copy : undefined
    case 'bytes':
      return storage === 'bytes' ? steps.hex : undefined
    default:
      return isText && letterTypes.has(column?.type) ? steps.escape : undefined
  }
}

function int32(chunk: Buffer, at: number): number {
  return (
    ((chunk[at] as number) << 24) |
    ((chunk[at + 1] as number) << 16) |
    ((chunk[at + 2] as number) << 8) |
    (chunk[at + 3] as number)
  )
}

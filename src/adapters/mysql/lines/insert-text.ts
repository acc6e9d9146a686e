import { JobError } from '../../../adapter.js'
import { quoted, quotedList } from '../client/index.js'
import type { Storage } from '../table/index.js'
import type { LineGroup } from './batch-lines.js'
import type { LineField } from './line-field.js'

/** SQL around the value of a field, by how its column stores values. Others are texts, which the server converts. */
const wraps: Partial<Record<Storage, readonly [before: string, after: string]>> = {
  bytes: ['unhex(', ')'],
  geometry: ['unhex(', ')'],
  bits: ['cast(', ' as unsigned)'],
}

/** The `load data` statement of lines with these fields. */
export function loadStatement(table: string, fields: readonly LineField[]): string {
  const variables = new Map(
    fields.flatMap(({ name, kind }, index) => (wraps[kind.storage] ? [[name, `@headgate_${index}`] as const] : [])),
  )
  const targets = fields.map(({ name }) => variables.get(name) ?? quoted(name))
  const set = fields.flatMap(({ name, kind }) => {
    const [before, after] = wraps[kind.storage] ?? []
    return before === undefined ? [] : [`${quoted(name)} = ${before}${variables.get(name)}${after}`]
  })
  return `load data local infile 'headgate' into table ${table} character set utf8mb4
    fields terminated by '\\t' enclosed by '' escaped by '\\\\' lines terminated by '\\n'
    (${targets.join(', ')})${set.length > 0 ? ` set ${set.join(', ')}` : ''}`
}

/** The beginning of an `insert` of such lines. */
export function insertHead(table: string, fields: readonly LineField[]): string {
  return `insert into ${table} (${quotedList(fields.map(({ name }) => name))}) values `
}

/** A statement for some of the lines of a group. */
export interface InsertStatement {
  readonly text: Buffer
  /** The index of its first line in the group, and the number of its lines. */
  readonly first: number
  readonly count: number
}

/** Where a statement is written between. */
export interface InsertFrame {
  readonly head: string
  readonly tail: string
}

const tab = 9
const lineFeed = 10
const quote = 39
const backslash = 92
const letterN = 78

const nullText = Buffer.from('null')
const rowStart = Buffer.from('(')
const fieldBreak = Buffer.from(',')
const rowEnd = Buffer.from(')')

/** Makes `insert` statements of lines. The escapes of lines are those of texts in SQL, apart from the quote. */
export class InsertText {
  readonly #frame: { readonly head: Buffer; readonly tail: Buffer }
  readonly #before: readonly Buffer[]
  readonly #after: readonly Buffer[]
  readonly #maxLength: number
  #out = Buffer.allocUnsafe(1 << 16)
  #at = 0

  /** Statements have up to about `maxLength` bytes, unless one line has more. */
  constructor(fields: readonly LineField[], { head, tail }: InsertFrame, maxLength: number) {
    this.#frame = { head: Buffer.from(head), tail: Buffer.from(tail) }
    this.#before = fields.map(({ kind }) => Buffer.from(`${wraps[kind.storage]?.[0] ?? ''}'`))
    this.#after = fields.map(({ kind }) => Buffer.from(`'${wraps[kind.storage]?.[1] ?? ''}`))
    this.#maxLength = maxLength
  }

  /** The statements of the lines from `start` up to, not including, `end`. */
  *statements(
    { pieces }: Pick<LineGroup, 'pieces'>,
    start = 0,
    end = Number.POSITIVE_INFINITY,
  ): Generator<InsertStatement> {
    let line = 0
    let first = start
    this.#begin()
    for (const piece of pieces) {
      for (let at = 0; at < piece.length && line < end; line++) {
        const next = piece.indexOf(lineFeed, at)
        if (line >= start) {
          if (line > first && this.#at + 2 * (next - at) > this.#maxLength) {
            yield this.#finish(first, line - first)
            first = line
            this.#begin()
          }
          this.#addRow(piece, at, next, line > first)
        }
        at = next + 1
      }
    }
    if (line > first) yield this.#finish(first, line - first)
  }

  #begin(): void {
    this.#at = 0
    this.#add(this.#frame.head)
  }

  #finish(first: number, count: number): InsertStatement {
    this.#add(this.#frame.tail)
    return { text: Buffer.from(this.#out.subarray(0, this.#at)), first, count }
  }

  #addRow(piece: Buffer, start: number, end: number, isNext: boolean): void {
    if (isNext) this.#add(fieldBreak)
    this.#add(rowStart)
    const width = this.#before.length
    let field = 0
    for (let at = start; at <= end; field++) {
      const next = endOfField(piece, at, end)
      if (field >= width) throw brokenLine()
      if (field > 0) this.#add(fieldBreak)
      this.#addField(piece, at, next, field)
      at = next + 1
    }
    if (field !== width) throw brokenLine()
    this.#add(rowEnd)
  }

  #addField(piece: Buffer, start: number, end: number, field: number): void {
    if (end - start === 2 && piece[start] === backslash && piece[start + 1] === letterN) {
      this.#add(nullText)
      return
    }
    this.#add(this.#before[field] as Buffer)
    this.#reserve(2 * (end - start))
    const out = this.#out
    let at = this.#at
    for (let from = start; from < end; from++) {
      const byte = piece[from] as number
      if (byte === quote) out[at++] = backslash
      out[at++] = byte
      // What follows a backslash belongs to it.
      if (byte === backslash) out[at++] = piece[++from] as number
    }
    this.#at = at
    this.#add(this.#after[field] as Buffer)
  }

  #add(bytes: Buffer): void {
    this.#reserve(bytes.length)
    this.#out.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#out.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#out.length, this.#at + length))
    this.#out.copy(larger, 0, 0, this.#at)
    this.#out = larger
  }
}

function endOfField(piece: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && piece[at] !== tab) at++
  return at
}

/** A datasource has promised that a value has no tab and no line feed, and has given one. */
function brokenLine(): JobError {
  return new JobError('target', 'Expected records whose columns with `isPlain` have no control characters, got some.')
}

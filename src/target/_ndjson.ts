import { type Column, JobError, type RecordBatch, type Row } from '../index.js'
import { isOpaque, isWrapper, nameOf } from './_opaque.js'

/** How `bigint` and `decimal` are written: as JSON strings, or as JSON numbers, whatever their size. */
export type BigNumbers = 'string' | 'number'

/** How long a piece grows before it is given away, in UTF-16 code units: larger ones cost the garbage collector more. */
const chunkLength = 16_384

/** A column, ready to be written. */
interface Field {
  /** What stands before the value: the name, and the comma before it. */
  readonly prefix: string
  /** The place of the value in a row. */
  readonly index: number
  readonly encode: (raw: unknown) => string
}

/** Turns batches into lines of JSON: `JSON.stringify` for values that databases have and JSON has not. */
export class NdjsonEncoder {
  readonly #bigNumbers: BigNumbers
  #columns: readonly Column[] | undefined
  #fields: readonly Field[] = []

  constructor(bigNumbers: BigNumbers) {
    this.#bigNumbers = bigNumbers
  }

  /** The lines of a batch, in pieces of whole lines. */
  *chunks(batch: RecordBatch): Generator<string> {
    const lineAt = batch.isRaw ? this.#rowLines(batch) : this.#recordLines(batch)
    let chunk = ''
    for (let index = 0; index < batch.length; index++) {
      chunk += lineAt(index)
      if (chunk.length < chunkLength) continue
      yield chunk
      chunk = ''
    }
    if (chunk !== '') yield chunk
  }

  #recordLines(batch: RecordBatch): (index: number) => string {
    const records = batch.records()
    return (index) => {
      const line = this.json(records[index])
      if (line?.startsWith('{')) return `${line}\n`
      throw new JobError('target', `Expected a record that JSON shows as an object, got ${line ?? 'nothing'}.`)
    }
  }

  #rowLines({ columns, rows }: RecordBatch): (index: number) => string {
    if (columns !== this.#columns) {
      this.#fields = this.#fieldsOf(columns)
      this.#columns = columns
    }
    const fields = this.#fields
    return (index) => lineOf(fields, rows[index] as Row)
  }

  /** The fields in the order of an object's keys; of several columns of one name, the last one counts, as in an object. */
  #fieldsOf(columns: readonly Column[]): Field[] {
    const places = Object.fromEntries(columns.map(({ name }, index) => [name, index]))
    return Object.entries(places).map(([name, index], place) => ({
      prefix: `${place > 0 ? ',' : ''}${encodeText(name)}:`,
      index,
      encode: this.#encoderOf(columns[index] as Column),
    }))
  }

  #encoderOf({ name, type, element, isPlain, decode }: Column): Field['encode'] {
    const encode = (value: unknown) => this.#value(value, name) ?? 'null'
    if (element === 'json' && decode) return (raw) => arrayOfJson(typeof raw === 'string' ? decode(raw) : raw)
    if (type === 'json') return (raw) => (typeof raw === 'string' ? onOneLine(raw) : encode(raw))
    // The text that would be decoded is what would be written: to read and print numbers costs more than all the rest.
    if (decode === Number) return (raw) => bareNumber(raw) ?? encode(Number(raw))
    const isBare = this.#bigNumbers === 'number' && (type === 'bigint' || type === 'decimal')
    const shortcut = isBare ? bareNumber : isPlain ? quoted : undefined
    const encodeType = shortcut ? (value: unknown) => shortcut(value) ?? encode(value) : encode
    return decode ? (raw) => encodeType(decode(raw as string)) : encodeType
  }

  /** The JSON of a value of any depth; `undefined` for what JSON leaves out. */
  json(value: unknown): string | undefined {
    return this.#value(value, '')
  }

  #value(value: unknown, key: string): string | undefined {
    const shown = this.#shallow(value, key)
    return typeof shown === 'object' ? this.#nested(shown) : shown
  }

  /** The JSON of a value, or the object or array whose members are still to be written. */
  #shallow(value: unknown, key: string): string | object | undefined {
    switch (typeof value) {
      case 'string':
        return encodeText(value)
      case 'number':
        return Number.isFinite(value) ? String(value) : `"${value}"`
      case 'boolean':
        return value ? 'true' : 'false'
      case 'bigint':
        return this.#bigNumbers === 'number' ? String(value) : `"${value}"`
      case 'object':
        return value === null ? 'null' : this.#object(value, key)
      default:
        return undefined
    }
  }

  #object(value: object, key: string): string | object | undefined {
    if (value instanceof Uint8Array) return `"\\\\x${hexOf(value)}"`
    if (value instanceof Date && Number.isNaN(value.getTime())) return `"${value}"`
    const shown = 'toJSON' in value && typeof value.toJSON === 'function' ? value.toJSON(key) : value
    if (typeof shown !== 'object' || shown === null) return this.#shallow(shown, key)
    if (isWrapper(shown)) return this.#shallow(shown.valueOf(), key)
    if (isOpaque(shown)) throw new JobError('target', `Expected a value that JSON can hold, got ${nameOf(shown)}.`)
    return shown
  }

  /** The JSON of an object or array. No recursion: records come from outside, and may be nested deeper than the stack. */
  #nested(root: object): string {
    let level: Level | undefined = levelOf(root, undefined)
    let text = level.isArray ? '[' : '{'
    // Those that the level is in. One that is in itself has no end.
    const outer = new Set<object>()
    while (level) {
      const { value, names, isArray, length } = level as Level
      if (level.next === length) {
        text += isArray ? ']' : '}'
        level = level.parent
        outer.delete(level?.value ?? root)
        continue
      }
      const name: string | number = names?.[level.next] ?? level.next
      level.next++
      const member = this.#shallow((value as Record<string | number, unknown>)[name], String(name))
      if (member === undefined && !isArray) continue
      text += level.isFilled ? ',' : ''
      level.isFilled = true
      if (!isArray) text += `${encodeText(String(name))}:`
      if (typeof member !== 'object') {
        text += member ?? 'null'
        continue
      }
      outer.add(value)
      if (outer.has(member)) throw holdsItself(String(name))
      level = levelOf(member, level)
      text += level.isArray ? '[' : '{'
    }
    return text
  }
}

/** An object or array whose members are being written. */
interface Level {
  readonly value: object
  /** The one that it is a member of. */
  readonly parent: Level | undefined
  readonly isArray: boolean
  /** The names of an object's members. */
  readonly names: readonly string[] | undefined
  readonly length: number
  /** The place of the member that comes next. */
  next: number
  /** Whether a member was written. */
  isFilled: boolean
}

function levelOf(value: object, parent: Level | undefined): Level {
  const isArray = Array.isArray(value)
  const names = isArray ? undefined : Object.keys(value)
  const length = names?.length ?? (value as unknown[]).length
  return { value, parent, isArray, names, length, next: 0, isFilled: false }
}

function holdsItself(name: string): JobError {
  return new JobError('target', `Expected a value that JSON can hold, got one that holds itself, in \`${name}\`.`)
}

/** The JSON of an array whose elements are the text of JSON: written as they are, as a column of JSON is. */
function arrayOfJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(arrayOfJson).join(',')}]`
  return typeof value === 'string' ? onOneLine(value) : 'null'
}

function lineOf(fields: readonly Field[], row: Row): string {
  let line = '{'
  for (let place = 0; place < fields.length; place++) {
    const { prefix, index, encode } = fields[place] as Field
    const raw = row[index]
    line += prefix + (raw === null || raw === undefined ? 'null' : encode(raw))
  }
  return `${line}}\n`
}

/** Text with a quote, a backslash, a control character or a surrogate, which may stand alone. */
const needsEscape = /[^ !#-[\]-\ud7ff\ue000-\uffff]/

function encodeText(text: string): string {
  return needsEscape.test(text) ? JSON.stringify(text) : `"${text}"`
}

function quoted(value: unknown): string | undefined {
  return typeof value === 'string' ? `"${value}"` : undefined
}

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

function bareNumber(value: unknown): string | undefined {
  return typeof value === 'string' && jsonNumber.test(value) ? value : undefined
}

/** JSON text without the line breaks that may stand between its tokens: inside strings they are escaped already. */
function onOneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]/g, ' ') : json
}

function hexOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex')
}

import { type Column, JobError, type RecordBatch, type Row } from '../../adapter.js'
import { maxDepth, memberCheck, shownPath, tooLargeError } from './member-count.js'
import { invalidDate, isOpaque, isWrapper, notJson, refused } from './opaque-values.js'

/** How `bigint` and `decimal` are written: as JSON strings, or as JSON numbers, whatever their size. */
export type BigNumbers = 'string' | 'number'

/** How bytes are written: as Postgres shows them, or as search engines take them. */
export type BytesForm = 'hex' | 'base64'

/** The length at which a chunk is yielded, in UTF-16 code units. Larger ones cost the garbage collector more. */
const chunkLength = 16_384

/** A column, prepared for writing. */
interface Field {
  readonly name: string
  /** The text before the value: the name, and a comma if needed. */
  readonly prefix: string
  /** The index of the value in a row. */
  readonly index: number
  readonly encode: (raw: unknown) => string
}

/** Encodes batches as lines of JSON, including values that databases have and JSON lacks. */
export class NdjsonEncoder {
  readonly #bigNumbers: BigNumbers
  readonly #bytes: BytesForm
  #columns: readonly Column[] | undefined
  #fields: readonly Field[] = []

  constructor(bigNumbers: BigNumbers, bytes: BytesForm = 'hex') {
    this.#bigNumbers = bigNumbers
    this.#bytes = bytes
  }

  /** The lines of a batch, in chunks of complete lines. */
  *chunks(batch: RecordBatch): Generator<string> {
    const lineAt = this.linesOf(batch)
    let chunk = ''
    for (let index = 0; index < batch.length; index++) {
      chunk += lineAt(index)
      if (chunk.length < chunkLength) continue
      yield chunk
      chunk = ''
    }
    if (chunk !== '') yield chunk
  }

  /** What encodes one record of a batch, by its index. */
  linesOf(batch: RecordBatch): (index: number) => string {
    return batch.isRaw ? this.#rowLines(batch) : this.#recordLines(batch)
  }

  #recordLines(batch: RecordBatch): (index: number) => string {
    const records = batch.records()
    return (index) => {
      const line = this.json(records[index])
      if (line?.startsWith('{')) return `${line}\n`
      throw new JobError('target', `Expected a record that JSON writes as an object, got ${line ?? 'nothing'}.`)
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

  /**
   * The fields, in the order of an object's keys. Of several columns with one name, the last one counts, as in an
   * object.
   */
  #fieldsOf(columns: readonly Column[]): Field[] {
    const indexes = Object.fromEntries(columns.map(({ name }, index) => [name, index]))
    return Object.entries(indexes).map(([name, index], position) => ({
      name,
      prefix: `${position > 0 ? ',' : ''}${encodeText(name)}:`,
      index,
      encode: this.#encoderOf(columns[index] as Column),
    }))
  }

  #encoderOf({ name, type, element, isPlain, decode }: Column): Field['encode'] {
    const encode = (value: unknown) => this.#value(value, name) ?? 'null'
    if (element === 'json' && decode) return (raw) => arrayOfJson(typeof raw === 'string' ? decode(raw) : raw)
    if (type === 'json') return (raw) => (typeof raw === 'string' ? onOneLine(raw) : encode(raw))
    // The raw text is what would be written. Parsing and printing numbers would cost more than everything else.
    if (decode === Number) return (raw) => bareNumber(raw) ?? encode(Number(raw))
    const isBare = this.#bigNumbers === 'number' && (type === 'bigint' || type === 'decimal')
    const shortcut = isBare ? bareNumber : isPlain ? quoted : undefined
    const encodeType = shortcut ? (value: unknown) => shortcut(value) ?? encode(value) : encode
    return decode ? (raw) => encodeType(decode(raw as string)) : encodeType
  }

  /** The JSON of a value of any depth; `undefined` for what JSON omits. */
  json(value: unknown): string | undefined {
    return this.#value(value, '')
  }

  #value(value: unknown, key: string): string | undefined {
    const shown = this.#shallow(value, key)
    if (typeof shown !== 'object') return shown
    const levels: Levels = { inner: levelOf(shown, undefined) }
    try {
      return this.#nested(shown, levels)
    } catch (error) {
      // Long texts that are shared: the engine limits the length of a string.
      if (!isTooLong(error)) throw error
      throw tooLargeError('longer than a string can be', pathOf(levels.inner))
    }
  }

  /** The JSON of a value, or an object or array whose members are not written yet. */
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
      case 'undefined':
        return undefined
      default:
        throw notJson(value)
    }
  }

  #object(value: object, key: string): string | object | undefined {
    if (value instanceof Uint8Array)
      return this.#bytes === 'hex' ? `"\\\\x${textOf(value, 'hex')}"` : `"${textOf(value, 'base64')}"`
    if (value instanceof Date && Number.isNaN(value.getTime())) throw invalidDate()
    const shown = 'toJSON' in value && typeof value.toJSON === 'function' ? value.toJSON(key) : value
    if (typeof shown !== 'object' || shown === null) return this.#shallow(shown, key)
    if (isWrapper(shown)) return this.#shallow(shown.valueOf(), key)
    if (isOpaque(shown)) throw notJson(shown)
    return shown
  }

  #member(level: Level, name: string | number): string | object | undefined {
    try {
      return this.#shallow((level.value as Record<string | number, unknown>)[name], String(name))
    } catch (error) {
      throw isTooLong(error) ? error : refused('property', pathOf(level), error)
    }
  }

  /**
   * The JSON of an object or array, without recursion: records come from outside and may be nested deeper than the
   * stack.
   */
  #nested(root: object, levels: Levels): string {
    let level: Level | undefined = levels.inner
    let text = level.isArray ? '[' : '{'
    // The objects around the current level, to detect circular references.
    const outer = new Set<object>()
    let members = level.length
    const check = memberCheck(root)
    while (level) {
      // Counted as soon as an array is met: a sparse one may have four billion.
      check(members, () => pathOf(level))
      const { value, names, isArray, length } = level as Level
      if (level.next === length) {
        text += isArray ? ']' : '}'
        level = level.parent
        outer.delete(level?.value ?? root)
        continue
      }
      const name: string | number = names?.[level.next] ?? level.next
      level.next++
      const member = this.#member(level, name)
      if (member === undefined && !isArray) continue
      text += level.isFilled ? ',' : ''
      level.isFilled = true
      if (!isArray) text += `${encodeText(String(name))}:`
      if (typeof member !== 'object') {
        text += member ?? 'null'
        continue
      }
      outer.add(value)
      if (outer.has(member)) throw circularError(pathOf(level))
      if (outer.size > maxDepth) throw tooLargeError(`nested more than ${maxDepth} deep`, pathOf(level))
      level = levels.inner = levelOf(member, level)
      members += level.length
      text += level.isArray ? '[' : '{'
    }
    return text
  }
}

/** The place of the member that is being written, such as `a.b[0]`. */
function pathOf(level: Level | undefined): string {
  const names: string[] = []
  // The names of the innermost members would be cut anyway.
  for (let outer = level; outer; outer = outer.parent) names.push(nameIn(outer))
  return shownPath(names.reverse())
}

/** The name of the member that is being written. Empty before the first one. */
function nameIn({ names, next }: Level): string {
  if (next === 0) return ''
  return names ? `.${names[next - 1]}` : `[${next - 1}]`
}

/** An object or array whose members are being written. */
interface Level {
  readonly value: object
  /** The level that contains it. */
  readonly parent: Level | undefined
  readonly isArray: boolean
  /** The names of the members of an object. */
  readonly names: readonly string[] | undefined
  readonly length: number
  /** The index of the next member. */
  next: number
  /** Whether a member was written. */
  isFilled: boolean
}

/** The innermost level of a value that is being written. */
interface Levels {
  inner: Level
}

function levelOf(value: object, parent: Level | undefined): Level {
  const isArray = Array.isArray(value)
  const names = isArray ? undefined : Object.keys(value)
  const length = names?.length ?? (value as unknown[]).length
  return { value, parent, isArray, names, length, next: 0, isFilled: false }
}

function isTooLong(error: unknown): boolean {
  return error instanceof RangeError && error.message === 'Invalid string length'
}

function circularError(name: string): JobError {
  return new JobError('target', `Expected a value that JSON can hold, got a circular reference in \`${name}\`.`)
}

/** The JSON of an array whose elements are JSON text, which is written unchanged. */
function arrayOfJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(arrayOfJson).join(',')}]`
  return typeof value === 'string' ? onOneLine(value) : 'null'
}

function lineOf(fields: readonly Field[], row: Row): string {
  let line = '{'
  for (let position = 0; position < fields.length; position++) {
    const { name, prefix, index, encode } = fields[position] as Field
    const raw = row[index]
    try {
      line += prefix + (raw === null || raw === undefined ? 'null' : encode(raw))
    } catch (error) {
      throw refused('property', name, error)
    }
  }
  return `${line}}\n`
}

/** Matches a quote, a backslash, a control character or a surrogate, which may be unpaired. */
const needsEscape = /[^ !#-[\]-\ud7ff\ue000-\uffff]/

/** The JSON of a text. */
export function encodeText(text: string): string {
  return needsEscape.test(text) ? JSON.stringify(text) : `"${text}"`
}

function quoted(value: unknown): string | undefined {
  return typeof value === 'string' ? `"${value}"` : undefined
}

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

function bareNumber(value: unknown): string | undefined {
  return typeof value === 'string' && jsonNumber.test(value) ? value : undefined
}

/** Removes line breaks between the tokens of JSON text. Line breaks inside strings are escaped already. */
function onOneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]/g, ' ') : json
}

function textOf({ buffer, byteOffset, byteLength }: Uint8Array, form: BytesForm): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString(form)
}

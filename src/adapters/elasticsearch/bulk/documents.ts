import { type Column, JobError, RecordBatch, type Row } from '../../../adapter.js'
import { encodeText, NdjsonEncoder } from '../../shared/index.js'

/** How records become documents. */
export interface DocumentOptions {
  readonly operation: 'index' | 'create' | 'update'
  /** The columns of the `_id`. Empty where the server makes it. */
  readonly id: readonly string[]
  readonly routing?: string | undefined
  readonly version?: string | undefined
  /** The column that says whether a record deletes its document. */
  readonly deleted?: string | undefined
  readonly bigNumbers: 'number' | 'string'
}

/** A record that cannot become a document, or that the server refuses. */
export interface Refused {
  readonly index: number
  readonly reason: unknown
}

/** The documents of a batch, as lines of a `_bulk`. */
export interface Documents {
  /** The actions and the sources, one after the other. Nothing of a refused record. */
  readonly bytes: Buffer
  /** Where each of them ends in the bytes. */
  readonly ends: readonly number[]
  /** Their `_id`. Absent where the server makes it. */
  readonly ids: readonly string[] | undefined
  /** The indexes of those that can be sent. */
  readonly sendable: readonly number[]
  readonly refused: readonly Refused[]
}

/** Maximum length of an `_id`, in bytes. */
const maxIdBytes = 512

/** The most that is taken for a batch before its size is known, in bytes. */
const largestGuess = 1 << 22

/** Gives a decoded value of a record, by its index. */
type ValueAt = (index: number) => unknown

/** Makes documents of batches. */
export class DocumentEncoder {
  readonly #options: DocumentOptions
  readonly #encoder: NdjsonEncoder
  /** About how many bytes a batch has: as many as the one before. */
  #size = 1 << 12

  constructor(options: DocumentOptions) {
    this.#options = options
    this.#encoder = new NdjsonEncoder(options.bigNumbers, 'base64')
  }

  documentsOf(batch: RecordBatch): Documents {
    const lineAt = this.#encoder.linesOf(withoutMeta(batch))
    const actionAt = this.#actions(batch)
    const isDeleted = this.#deletions(batch)
    const isUpdate = this.#options.operation === 'update'
    const ids: string[] | undefined = this.#options.id.length > 0 ? [] : undefined
    const lines = new LineBuffer(this.#size)
    const ends: number[] = []
    const sendable: number[] = []
    const refused: Refused[] = []
    for (let index = 0; index < batch.length; index++) {
      try {
        const deletes = isDeleted?.(index) ?? false
        const action = actionAt(index, deletes, ids)
        if (deletes) lines.add(action)
        else if (isUpdate) lines.add(`${action}{"doc":${lineAt(index).slice(0, -1)},"doc_as_upsert":true}\n`)
        else lines.add(action + lineAt(index))
        sendable.push(index)
      } catch (reason) {
        if (ids) ids[index] = ''
        refused.push({ index, reason })
      }
      ends.push(lines.size)
    }
    this.#size = Math.min(largestGuess, lines.size + (lines.size >>> 3))
    return { bytes: lines.bytes, ends, ids, sendable, refused }
  }

  /** The line of the action of a record. Adds its `_id` to `ids`. */
  #actions(batch: RecordBatch): (index: number, deletes: boolean, ids: string[] | undefined) => string {
    const { operation, routing, version } = this.#options
    const idAt = this.#ids(batch)
    const routingAt = routing === undefined ? undefined : valuesOf(batch, routing)
    const versionAt = version === undefined ? undefined : valuesOf(batch, version)
    // Two writers of one document would fail an update.
    const more = operation === 'update' ? ',"retry_on_conflict":3' : ''
    if (!idAt && !routingAt) return () => `{"${operation}":{}}\n`
    return (index, deletes, ids) => {
      const id = idAt?.(index)
      if (id !== undefined) ids?.push(id)
      const parts = [id === undefined ? '' : `"_id":${encodeText(id)}`]
      const route = routingAt?.(index)
      if (route !== undefined && route !== null) parts.push(`"routing":${encodeText(textOf(route, routing as string))}`)
      if (versionAt) parts.push(`"version":${versionOf(versionAt(index), version as string)},"version_type":"external"`)
      const meta = parts.length === 1 ? parts[0] : parts.filter((part) => part !== '').join(',')
      return deletes ? `{"delete":{${meta}}}\n` : `{"${operation}":{${meta}${more}}}\n`
    }
  }

  #ids(batch: RecordBatch): ((index: number) => string) | undefined {
    const { id: names } = this.#options
    const columns = names.map((name) => valuesOf(batch, name))
    const [first] = columns
    if (!first) return undefined
    if (columns.length === 1) return (index) => checkedId(textOf(first(index), names[0] as string))
    // The JSON of an array of texts: no two lists of texts have the same.
    return (index) => checkedId(JSON.stringify(columns.map((at, n) => textOf(at(index), names[n] as string))))
  }

  #deletions(batch: RecordBatch): ((index: number) => boolean) | undefined {
    const { deleted } = this.#options
    if (deleted === undefined) return undefined
    const valueAt = valuesOf(batch, deleted)
    return (index) => {
      const value = valueAt(index)
      return value !== null && value !== undefined && value !== false && String(value) !== '0'
    }
  }
}

/** What a document has beside its source, as the datasource gives it. Servers refuse it in a source. */
const meta = ['_id', '_routing']

function withoutMeta(batch: RecordBatch): RecordBatch {
  if (batch.isRaw) return withoutMetaColumns(batch)
  const records = batch.records()
  // Objects tell their columns only after all of them were looked through.
  if (!records.some((record) => meta.some((name) => Object.hasOwn(record, name)))) return batch
  return RecordBatch.fromRecords(records.map(({ _id, _routing, ...source }) => source))
}

function withoutMetaColumns(batch: RecordBatch): RecordBatch {
  const { columns } = batch
  if (!columns.some(({ name }) => meta.includes(name))) return batch
  const isOwn = (_: unknown, at: number) => !meta.includes((columns[at] as Column).name)
  const rows = batch.rows.map((row) => row.filter(isOwn))
  return RecordBatch.fromRows(columns.filter(isOwn), rows)
}

/** The decoded values of a column, so that raw rows and objects give the same. Throws when the batch has no such column. */
function valuesOf(batch: RecordBatch, name: string): ValueAt {
  if (!batch.isRaw) {
    const records = batch.records()
    return (index) => (Object.hasOwn(records[index] as object, name) ? records[index]?.[name] : undefined)
  }
  const column = batch.indexOf(name)
  const { decode, type } = batch.columns[column] ?? {}
  const { rows } = batch
  // The text of a whole number is that of the number.
  if (!decode || type === 'integer') return (index) => (rows[index] as Row)[column]
  return (index) => {
    const raw = (rows[index] as Row)[column]
    return raw === null || raw === undefined ? raw : decode(raw as string)
  }
}

/** The text of a value in an `_id` or a routing. */
function textOf(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString()
  const shown = value === '' ? 'an empty text' : value === null || value === undefined ? 'none' : `a ${typeof value}`
  throw new JobError(
    'target',
    `Expected a text, a number, a boolean or a date in the column \`${name}\`, got ${shown}.`,
  )
}

function checkedId(id: string): string {
  if (id.length * 3 <= maxIdBytes || Buffer.byteLength(id) <= maxIdBytes) return id
  throw new JobError('target', `Expected an \`_id\` of up to ${maxIdBytes} bytes, got ${Buffer.byteLength(id)}.`)
}

function versionOf(value: unknown, name: string): string {
  const text = String(value)
  if (/^\d{1,19}$/.test(text) && BigInt(text) < 2n ** 63n) return text
  throw new JobError('target', `Expected a whole number from 0 up in the column \`${name}\` of versions.`)
}

/** The length from which a text is measured before it is written, in UTF-16 code units: room for any text of that length would take too much. */
const longLine = 1 << 16

/** Collects lines as bytes: texts that wait for an answer would cost the garbage collector more than all else. */
class LineBuffer {
  #buffer: Buffer
  size = 0

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafe(size)
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.size)
  }

  add(line: string): void {
    const room = line.length > longLine ? Buffer.byteLength(line) : line.length * 3
    if (room > this.#buffer.length - this.size) this.#grow(this.size + room)
    this.size += this.#buffer.write(line, this.size)
  }

  #grow(size: number): void {
    const larger = Buffer.allocUnsafe(Math.max(size, 2 * this.#buffer.length))
    this.#buffer.copy(larger, 0, 0, this.size)
    this.#buffer = larger
  }
}

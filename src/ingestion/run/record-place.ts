import { JobError, type RecordPlace } from '../../core/base/index.js'
import { isSecretName, type Redactor } from '../../core/redaction/index.js'
import type { Column, RecordBatch } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'
import { keyOf } from './key-text.js'

/** Maximum length of a key in a message, in characters. */
const maxLength = 100

/** About how much of memory one key takes that is not kept as bytes of the server. */
const keySize = 400

/** The values of the primary key column in a batch, for messages. */
export interface RecordKeys {
  /** About how much they hold of memory, in bytes. */
  readonly size: number
  /** The key of a record, by its index: its name and its value, secrets redacted. `undefined` when there is none. */
  at(index: number): string | undefined
}

export const noKeys: RecordKeys = { size: 0, at: () => undefined }

/** A batch, as messages name it. */
export interface NamedBatch {
  /** Its number since the job began from the beginning, from 0. */
  readonly number: number
  /** The number of its first record in this run, from 1. */
  readonly first: number
  readonly keys: RecordKeys
}

/** What a batch writer needs to say at which record it failed. */
export interface RecordPlacesOptions {
  readonly plan: Pick<IngestionPlan, 'pkField' | 'partition'>
  readonly redactor: Redactor
}

/** Says at which records a run failed. Records are numbered from 1 in the order in which the run reads them. */
export class RecordPlaces {
  readonly #options: RecordPlacesOptions
  /** How many records of the run the target holds durably. */
  durable = 0

  constructor(options: RecordPlacesOptions) {
    this.#options = options
  }

  /** The place of the record at `index` in a batch, or of the records from `start` up to, not including, `end`. */
  of(batch: NamedBatch, phase: RecordPlace['phase'], records: number | Slice): RecordPlace {
    const { number, first, keys } = batch
    const isOne = typeof records === 'number'
    const name = isOne ? record(first + records) : range(first + records.start, first + records.end - 1)
    const key = isOne ? keys.at(records) : undefined
    const text = `Batch ${number}, ${name} of ${this.#run}${key === undefined ? '' : ` (${key})`}.`
    return { batch: number, ...(isOne && { recordIndex: records }), phase, text }
  }

  /** The place of an error about a record that is not durable, which may be any up to the number `last`. */
  upTo(last: number): RecordPlace {
    if (last <= this.durable) return { phase: 'target' }
    const [initial = '', ...rest] = range(this.durable + 1, last)
    return { phase: 'target', text: `${initial.toUpperCase()}${rest.join('')} of ${this.#run}.` }
  }

  /** The keys of a batch as it was read. Call before the transform, which may change records. */
  keysOf(batch: RecordBatch): RecordKeys {
    const { pkField } = this.#options.plan
    if (pkField === undefined) return noKeys
    try {
      return this.#keysIn(batch, pkField)
    } catch {
      return noKeys
    }
  }

  #keysIn(batch: RecordBatch, pkField: string): RecordKeys {
    const { encoded } = batch
    const index = batch.indexOf(pkField)
    const column = batch.columns[index] as Column
    // Decoding one column of all records takes longer than to keep their bytes for a while.
    if (encoded) {
      const at = (record: number) => this.#shown(encoded.slice(record, record + 1).lastValue(index), column)
      return { size: batch.byteLength, at }
    }
    const values = batch.valuesOf(pkField)
    const size = values.reduce<number>(
      (sum, value) => sum + keySize + (typeof value === 'string' ? value.length : 0),
      0,
    )
    return { size, at: (record) => this.#shown(values[record], column) }
  }

  #shown(raw: unknown, column: Column): string | undefined {
    const { name } = column
    try {
      const text = keyOf(raw, column)
      if (text === undefined) return undefined
      return `${name} ${isSecretName(name) ? '***' : this.#options.redactor.shorten(text, maxLength)}`
    } catch {
      return undefined
    }
  }

  get #run(): string {
    return this.#options.plan.partition ? 'this run of the partition' : 'this run'
  }
}

/** A slice of a batch: from `start` up to, not including, `end`. */
export interface Slice {
  readonly start: number
  readonly end: number
}

function range(first: number, last: number): string {
  return first === last ? record(first) : `records ${shown(first)} to ${shown(last)}`
}

function record(number: number): string {
  return `record ${shown(number)}`
}

function shown(number: number): string {
  return number.toLocaleString('en-US')
}

/** What failed, by the code of an error. */
export function phaseOf(error: unknown): RecordPlace['phase'] {
  const code = JobError.isInstance(error) ? error.code : undefined
  return code === 'schema' || code === 'transform' ? code : 'target'
}

import { errorMessages, JobError } from '../core/errors.js'
import { keptKeys } from './_stored.js'
import { type Column, type JobRecord, RecordBatch, type Row } from './batch.js'
import type { DeadLetter } from './failures.js'
import type { OpenContext, Target, TargetContext, TargetWriter } from './target.js'

const parse = (raw: string): unknown => JSON.parse(raw)

/** The columns of a dead letter: typed, so that a target may know what to make of them. */
const columns: readonly Column[] = [
  { name: 'type', type: 'text' },
  { name: 'id', type: 'text' },
  { name: 'executionId', type: 'text' },
  { name: 'key', type: 'text' },
  { name: 'time', type: 'timestamptz' },
  { name: 'phase', type: 'text' },
  { name: 'error', type: 'json', decode: parse },
  { name: 'record', type: 'json', decode: parse },
]

/** What a target that keeps checkpoints keeps with the dead letters. */
interface Kept {
  /** The keys of those that came after the checkpoint that the job may go on from. */
  readonly keys: readonly string[]
}

/** Where the records of one execution go that failed. */
export class DeadLetters {
  readonly #target: Target
  #context!: TargetContext
  #isResumable = false
  #writer: TargetWriter | undefined
  /** Those that are still to be written. */
  #rows: Row[] = []
  /** The keys of those that no checkpoint passes over yet. */
  #keys: string[] = []
  /** The keys of those that the target held when it was opened, as a crash came before the checkpoint: they may come again. */
  #known = new Set<string>()
  #isFlushed = true
  #position: unknown

  constructor(target: Target) {
    this.#target = target
  }

  /** Opens the target, where the checkpoint that the job goes on from has left it. */
  async open(context: OpenContext): Promise<void> {
    this.#context = context
    this.#isResumable = context.isResumable
    this.#position = context.position
    this.#writer = await this.#targeting(async () => this.#target.open(context))
    this.#known = new Set(context.isResumable ? keptKeys(this.#writer.checkpoint) : [])
    this.#isFlushed = false
  }

  /** Takes a record that failed. */
  put({ error, record, ...letter }: DeadLetter): void {
    const row = { ...letter, error: JSON.stringify(error, toJson), record: jsonOf(record) }
    if (!this.#known.delete(letter.key)) this.#rows.push(columns.map(({ name }) => row[name as keyof DeadLetter]))
    this.#keys.push(letter.key)
  }

  /** Hands to the target what was taken. */
  async write(): Promise<void> {
    const rows = this.#rows
    if (rows.length === 0) return
    const { type, id, executionId, signal } = this.#context
    const idempotencyKey = `${rows[0]?.[keyColumn]}+${rows.length}`
    const context = { type, id, executionId, signal, idempotencyKey }
    await this.#targeting(async () => this.#writer?.write(RecordBatch.fromRows(columns, rows), context))
    this.#rows = []
    this.#isFlushed = false
  }

  /** Makes durable what was taken. Gives where the target then stands. */
  async flush(): Promise<unknown> {
    await this.write()
    if (this.#isFlushed || !this.#writer) return this.#position
    const kept: Kept | null = this.#isResumable ? { keys: [...this.#known, ...this.#keys] } : null
    this.#position = await this.#targeting(async () => this.#writer?.flush?.(kept))
    this.#isFlushed = true
    return this.#position
  }

  /** Whether there are some that the checkpoint in storage does not pass over yet. */
  get isAhead(): boolean {
    return this.#keys.length > 0
  }

  /** The checkpoint that passes over all that were taken is in storage. */
  settle(): void {
    this.#keys = []
  }

  async commit(): Promise<void> {
    await this.#targeting(async () => this.#writer?.commit?.())
    this.#writer = undefined
  }

  async abort(reason: unknown): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await this.#targeting(async () => writer?.abort?.(reason))
  }

  async #targeting<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      throw new JobError('target', `Could not write to dead-letter target [${this.#target.kind}].`, { cause: error })
    }
  }
}

const keyColumn = columns.findIndex(({ name }) => name === 'key')

/** The first record of a batch, as far as it can be read. */
export function recordOf(batch: RecordBatch): JobRecord {
  try {
    return batch.records()[0] ?? {}
  } catch {
    return Object.fromEntries(batch.columns.map(({ name }, index) => [name, batch.rows[0]?.[index]]))
  }
}

/** The JSON of a record, whatever is in it: text stands for what JSON has not, and for a field that cannot be read. */
function jsonOf(record: JobRecord): string {
  try {
    return JSON.stringify(record, toJson)
  } catch {
    return JSON.stringify(Object.fromEntries(namesOf(record).map((name) => [writable(name), readable(record, name)])))
  }
}

function namesOf(record: JobRecord): string[] {
  try {
    return Object.keys(record)
  } catch {
    return []
  }
}

function readable(record: JobRecord, name: string): unknown {
  try {
    return JSON.parse(JSON.stringify(record[name], toJson) ?? 'null')
  } catch (error) {
    return writable(`Unreadable: ${errorMessages(error)[0]}`)
  }
}

function toJson(this: Record<string, unknown>, key: string, shown: unknown): unknown {
  const own = this[key]
  if (own instanceof Uint8Array) return `\\x${Array.from(own, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
  if (own instanceof Date && Number.isNaN(own.getTime())) return String(own)
  switch (typeof shown) {
    case 'number':
      return Number.isFinite(shown) ? shown : String(shown)
    case 'string':
      return writable(shown)
    case 'bigint':
    case 'symbol':
      return String(shown)
    case 'function':
      return `[Function: ${shown.name}]`
    default:
      return hasUnwritableName(shown) ? withWritableNames(shown) : shown
  }
}

/** What JSON can say and a column of text or JSON of a database cannot hold: a zero, and half of a character. */
const unwritable = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** The text with its code, such as `\u0000`, for what cannot be stored everywhere. */
function writable(text: string): string {
  return text.replace(unwritable, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function hasUnwritableName(shown: unknown): shown is object {
  if (typeof shown !== 'object' || shown === null || Array.isArray(shown)) return false
  return Object.keys(shown).some((name) => name.search(unwritable) >= 0)
}

function withWritableNames(shown: object): object {
  return Object.fromEntries(Object.entries(shown).map(([name, value]) => [writable(name), value]))
}

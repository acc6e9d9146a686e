import { callTarget, JobError } from '../../core/base/index.js'
import { keyOf } from '../../core/model/index.js'
import {
  type Column,
  type JobRecord,
  type OpenContext,
  RecordBatch,
  type Row,
  type Target,
  type TargetAbort,
  type TargetContext,
  type TargetWriter,
} from '../contract/index.js'
import type { DeadLetter } from '../definition/index.js'
import { checkpointIn, flushed, openTarget } from './adapter-answers.js'
import { recordJson, toJson } from './record-json.js'
import { keptKeys } from './stored-checkpoint.js'

const parse = (raw: string): unknown => JSON.parse(raw)

/** The columns of a dead letter, typed so that a target can create a table. */
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

/** The checkpoint of a dead-letter target. */
interface Kept {
  /** The keys of dead letters after the checkpoint that the job may resume from. */
  readonly keys: readonly string[]
}

/** Writes the failed records of one execution to the dead-letter target. */
export class DeadLetters {
  readonly #target: Target
  #context!: TargetContext
  #isResumable = false
  #writer: TargetWriter | undefined
  /** Dead letters that are not written yet. */
  #rows: Row[] = []
  /** The keys of dead letters that no checkpoint has passed yet. */
  #keys: string[] = []
  /** The keys that the target held when it was opened, after a crash before the checkpoint. They may be put again. */
  #known = new Set<string>()
  #isFlushed = true
  #position: unknown

  constructor(target: Target) {
    this.#target = target
  }

  /** Opens the target at the position of the checkpoint that the job resumes from. */
  async open(context: OpenContext): Promise<void> {
    this.#context = context
    this.#isResumable = context.isResumable
    this.#position = context.position
    const { writer, resume } = await this.#targeting(() => openTarget(this.#target, context))
    this.#writer = writer
    this.#known = new Set(context.isResumable ? keptKeys(checkpointIn(resume)) : [])
    this.#isFlushed = false
  }

  /** Adds a failed record. */
  put({ error, record, ...letter }: DeadLetter): void {
    const row = { ...letter, error: JSON.stringify(error, toJson), record: recordJson(record) }
    if (!this.#known.delete(letter.key)) this.#rows.push(columns.map(({ name }) => row[name as keyof DeadLetter]))
    this.#keys.push(letter.key)
  }

  /** Writes added records to the target. */
  async write(): Promise<void> {
    const rows = this.#rows
    if (rows.length === 0) return
    const { executionId, signal, log, params = {} } = this.#context
    const idempotencyKey = `${rows[0]?.[keyColumn]}+${rows.length}`
    const context = { ...keyOf(this.#context), executionId, signal, idempotencyKey, params, ...(log && { log }) }
    await this.#targeting(() =>
      callTarget('write', () => this.#writer?.write(RecordBatch.fromRows(columns, rows), context)),
    )
    this.#rows = []
    this.#isFlushed = false
  }

  /** Makes added records durable. Returns the position of the target. */
  async flush(): Promise<unknown> {
    await this.write()
    if (this.#isFlushed || !this.#writer) return this.#position
    const kept: Kept | null = this.#isResumable ? { keys: [...this.#known, ...this.#keys] } : null
    this.#position = await this.#targeting(() => flushed(this.#writer, kept))
    this.#isFlushed = true
    return this.#position
  }

  /** Whether there are dead letters that the checkpoint in storage has not passed yet. */
  get isAhead(): boolean {
    return this.#keys.length > 0
  }

  /** Called when storage holds a checkpoint that passes all added records. */
  settle(): void {
    this.#keys = []
  }

  async commit(): Promise<void> {
    await this.#targeting(() => callTarget<unknown>('commit', () => this.#writer?.commit?.()))
    this.#writer = undefined
  }

  async abort(abort: TargetAbort): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await this.#targeting(() => callTarget('abort', () => writer?.abort?.(abort)))
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

/** The first record of a batch, as far as it is readable. */
export function recordOf(batch: RecordBatch): JobRecord {
  try {
    return batch.records()[0] ?? {}
  } catch {
    return Object.fromEntries(batch.columns.map(({ name }, index) => [name, batch.rows[0]?.[index]]))
  }
}

import { checkedAnswer, rule, thrownBy } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import {
  type BatchOptions,
  type Column,
  type Cursor,
  type EncodedOptions,
  type Query,
  type ReadBatch,
  type ReadCursor,
  RecordBatch,
  type TargetWriter,
} from '../contract/index.js'
import type { IngestionPlan, QueryVariables } from '../definition/index.js'
import { checkedBatches } from './adapter-answers.js'
import { cursorPosition, variablesOf } from './checkpoint.js'
import type { RunProgress } from './progress.js'
import { type CountStart, countRecords } from './record-count.js'
import type { RunMeter } from './run-meter.js'

/** Builds the read of a run from its current position. */
export class Reading {
  readonly #plan: IngestionPlan
  readonly #progress: RunProgress
  readonly #context: ExecutionContext
  /** How many records were read before. */
  readonly #before: number
  /** The columns of the query, once the datasource has told them. */
  #columns: readonly Column[] | undefined

  constructor(plan: IngestionPlan, progress: RunProgress, context: ExecutionContext) {
    this.#plan = plan
    this.#progress = progress
    this.#context = context
    this.#before = progress.written.read
  }

  /** The columns of the records that the target would get, when it has got none and they are known. */
  get columnsOfNone(): readonly Column[] | undefined {
    const hasRead = this.#progress.written.read > this.#before
    return hasRead || this.#plan.changesRecords ? undefined : this.#columns
  }

  /** Reads the batches, of at most `left` records. */
  batches(writer: TargetWriter, left: number, signal: AbortSignal): AsyncGenerator<ReadBatch> {
    const { datasource, cursor, partition } = this.#plan
    const options = this.#optionsFor(writer, left, signal)
    if (cursor && datasource.readByCursor) {
      const byCursor = { ...options, cursor: this.#cursorOf(cursor, left) }
      return checkedBatches('readByCursor', datasource.readByCursor(this.#query, byCursor), this.#context)
    }
    const lastId = this.#progress.isResumed ? this.#progress.checkpoint.lastId : undefined
    const byQuery = { ...options, lastId, ...(partition && { range: partition.range }) }
    return checkedBatches('read', datasource.read(this.#query, byQuery), this.#context)
  }

  /** Tells a meter the total of the job. Call it beside the read, which neither waits for it nor fails with it. Never rejects. */
  async measureTotal(meter: RunMeter, signal: AbortSignal): Promise<void> {
    const left = await countRecords(this.#plan, this.#context, () => this.#countStart, signal)
    if (left !== undefined) meter.expect(left, this.#plan.limit)
  }

  get #countStart(): CountStart {
    const { cursor, limit } = this.#plan
    const { lastId } = this.#progress.isResumed ? this.#progress.checkpoint : {}
    return { variables: this.#variables, lastId, cursor: cursor && this.#cursorOf(cursor, limit) }
  }

  /** The query that resumes from the current position. */
  get #query(): Query {
    return this.#plan.query.render(this.#variables)
  }

  get #variables(): QueryVariables {
    return {
      ...(this.#progress.isResumed && variablesOf(this.#progress.checkpoint)),
      ...this.#plan.partition?.range,
    }
  }

  #optionsFor(writer: TargetWriter, left: number, signal: AbortSignal): BatchOptions {
    const { batchSize, batchBytes } = this.#plan
    return {
      signal,
      batchSize: Math.min(batchSize, left),
      batchBytes,
      warn: (message) => this.#context.warnOnce(message),
      log: (text) => this.#context.log(text),
      onColumns: (columns) => {
        this.#columns = RecordBatch.fromRows(columns, []).columns
      },
      ...this.#encoded(writer),
    }
  }

  #encoded(writer: TargetWriter): Pick<BatchOptions, 'encoded'> {
    const { pkField, cursor, readsValues } = this.#plan
    if (readsValues || !writer.acceptsEncoded) return {}
    const keys = [...(pkField === undefined ? [] : [pkField]), ...(cursor?.columns ?? [])]
    const ask: EncodedOptions['accepts'] = (...format) => {
      try {
        return writer.acceptsEncoded?.(...format) as boolean
      } catch (error) {
        throw thrownBy('target', 'acceptsEncoded', error)
      }
    }
    const accepts: EncodedOptions['accepts'] = (...format) =>
      checkedAnswer<boolean>('target', 'acceptsEncoded() of the target', rule.flag, ask(...format))
    return { encoded: { accepts, keys } }
  }

  #cursorOf(cursor: Cursor, limit: number): ReadCursor {
    const position = cursorPosition(this.#progress.checkpoint)
    return {
      ...cursor,
      position,
      isStart: this.#progress.checkpoint.sequence === 0,
      limit,
      onNullsSkipped: (withoutCursor) => this.#progress.report({ withoutCursor }),
      ...this.#partition(),
    }
  }

  #partition(): Pick<ReadCursor, 'range' | 'snapshot' | 'onSnapshotLost'> {
    const { partition } = this.#plan
    if (!partition) return {}
    const { range, snapshot } = partition
    return {
      range,
      ...(snapshot !== undefined && { snapshot }),
      onSnapshotLost: () => this.#progress.report({ split: true }),
    }
  }
}

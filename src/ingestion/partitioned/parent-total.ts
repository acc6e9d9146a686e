import { anySignal, createAbortController } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { PartitionPlan } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'
import { type CountStart, countRecords, type ParentCheckpoint, type RunMeter, variablesOf } from '../run/index.js'
import type { PartitionProgress } from './partition-progress.js'

/** The total of an ingestion with partitions: the records of all of them, counted once beside them. */
export class ParentTotal {
  readonly #plan: IngestionPlan
  readonly #context: ExecutionContext
  readonly #meter: RunMeter
  readonly #over = createAbortController()
  /** How many records the partitions read from their beginnings. */
  #whole: number | undefined

  constructor(plan: IngestionPlan, context: ExecutionContext, meter: RunMeter) {
    this.#plan = plan
    this.#context = context
    this.#meter = meter
  }

  /** Counts the records of all partitions, which do not wait for it. Never rejects. */
  async count(before: ParentCheckpoint, scheme: PartitionPlan): Promise<void> {
    const signal = anySignal([this.#context.signal, this.#over.signal])
    const whole = await countRecords(this.#plan, this.#context, () => this.#startOf(before, scheme), signal)
    if (!signal.aborted) this.#whole = whole
  }

  /** Tells the meter the total, once it is known. `read` is the number of records that this execution has counted. */
  update(partitions: readonly PartitionProgress[], read: number): void {
    if (this.#whole === undefined) return
    const readBefore = partitions.reduce((sum, { counted }) => sum + (counted?.read ?? 0), 0)
    this.#meter.expectTotal(read + Math.max(0, this.#whole - readBefore))
  }

  /** Stops counting. */
  stop(): void {
    this.#over.abort()
  }

  /** Call when all is read: the count gives way to the number of records. */
  end(read: number): void {
    if (this.#whole !== undefined) this.#meter.expectTotal(read)
    this.#whole = undefined
  }

  /** Where the partitions began. Those that continue have read earlier records too. */
  #startOf(before: ParentCheckpoint, { position, isContinued }: PartitionPlan): CountStart {
    const { cursor } = this.#plan
    const isStart = before.sequence === 0
    const reading = { position, isStart, limit: Number.POSITIVE_INFINITY, onNullsSkipped: () => undefined }
    return {
      variables: isContinued ? {} : variablesOf(before),
      lastId: undefined,
      cursor: cursor && { ...cursor, ...reading },
    }
  }
}

import type { ExecutionContext } from '../../core/execution/index.js'
import { type Column, type IngestionDetail, type IngestionSpeed, ownValue, type ReadBatch } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'

/** Measures an attempt of an execution: what it adds to the detail that is reported anyway. */
export class RunMeter {
  readonly #context: Pick<ExecutionContext, 'attempt' | 'clock'>
  readonly #column: string | undefined
  readonly #begunAt: number
  readonly #before: number
  #bytes: number | undefined = 0
  #position: IngestionPosition | undefined
  #total: number | undefined
  #last: { readonly read: number; readonly speed: IngestionSpeed } | undefined

  /** `read` is the number of records that earlier attempts have read. */
  constructor(context: Pick<ExecutionContext, 'attempt' | 'clock'>, plan: Pick<IngestionPlan, 'cursor'>, read: number) {
    this.#context = context
    this.#column = plan.cursor?.columns[0]
    this.#begunAt = context.clock.now()
    this.#before = read
  }

  /** Call after each batch that was written. Costs nothing per record. */
  add(read: ReadBatch): void {
    const { batch, isReplay } = read
    // The size of other rows would have to be summed up value by value.
    this.#bytes = batch.encoded && this.#bytes !== undefined ? this.#bytes + batch.byteLength : undefined
    if (this.#column !== undefined && !isReplay) this.#position = positionIn(read, this.#column) ?? this.#position
  }

  /** Call when it is known how many records this attempt reads, at most `limit` in all of its execution. */
  expect(left: number, limit: number): void {
    this.expectTotal(Math.min(this.#before + left, limit))
  }

  /** Call when it is known how many records the execution reads in all. */
  expectTotal(total: number): void {
    if (total === this.#total) return
    this.#total = total
    this.#last = undefined
  }

  /** Call when all is read: an estimate gives way to the number of records. */
  end(read: number): void {
    if (this.#total !== undefined) this.expectTotal(read)
  }

  /** The measures when `read` records are durable. Unchanged while that number is. */
  at(read: number): IngestionSpeed {
    if (this.#last?.read !== read) this.#last = { read, speed: this.#measure(read) }
    return this.#last.speed
  }

  #measure(read: number): IngestionSpeed {
    const { attempt, clock } = this.#context
    const now = clock.now()
    const seconds = (now - this.#begunAt) / 1000
    const speed: IngestionSpeed = { attempt }
    if (seconds > 0) speed.rowsPerSecond = Math.round((read - this.#before) / seconds)
    if (this.#bytes) {
      speed.bytes = this.#bytes
      if (seconds > 0) speed.bytesPerSecond = Math.round(this.#bytes / seconds)
    }
    if (this.#position) {
      speed.position = this.#position.text
      if (this.#position.time !== undefined) speed.lag = Math.max(0, now - this.#position.time)
    }
    this.#measureRest(speed, read)
    return speed
  }

  #measureRest(speed: IngestionSpeed, read: number): void {
    if (this.#total === undefined) return
    const total = Math.max(this.#total, read)
    speed.total = total
    speed.percent = total === 0 ? 100 : Math.floor((1000 * read) / total) / 10
    if (read === total) speed.eta = 0
    else if (speed.rowsPerSecond) speed.eta = Math.round(((total - read) / speed.rowsPerSecond) * 1000)
  }
}

interface IngestionPosition {
  readonly text: string
  /** The position in epoch milliseconds, if it is a time. */
  readonly time?: number
}

/** The longest text of a position in a detail. */
const maxText = 200

/** Where the first column of a cursor stands after a batch. */
function positionIn({ batch, parallel }: ReadBatch, name: string): IngestionPosition | undefined {
  const { type, decode } = batch.columns[batch.indexOf(name)] as Column
  const raw = parallel ? ownValue(parallel.reached, name) : batch.lastValueOf(name)
  if (raw === null || raw === undefined) return undefined
  const value = decode && typeof raw === 'string' ? decode(raw) : raw
  // A timestamp without a zone, or a number, may count from anywhere.
  const isTime = value instanceof Date || (type === 'timestamptz' && typeof value === 'string')
  const time = isTime ? new Date(value as string | Date).getTime() : Number.NaN
  if (Number.isNaN(time)) return { text: String(typeof raw === 'object' ? value : raw).slice(0, maxText) }
  return { text: new Date(time).toISOString(), time }
}

/** The same context, which adds the measures of a meter to each detail that is reported. */
export function measured(context: ExecutionContext, meter: RunMeter): ExecutionContext {
  return {
    ...context,
    progress({ detail, ...update }) {
      const read = (detail as IngestionDetail | undefined)?.read
      context.progress(
        read === undefined
          ? { ...update, ...(detail && { detail }) }
          : { ...update, detail: { ...detail, ...meter.at(read) } },
      )
    },
  }
}

import type { JobContext } from '../core/job.js'
import type { Plan } from './_plan.js'
import type { Reach } from './_reach.js'
import { cursorPosition, variablesOf } from './checkpoint.js'
import type { ReadCursor } from './cursor.js'
import type { Query, ReadOptions } from './datasource.js'
import type { TargetWriter } from './target.js'

/** What is read from where a run has come to, for the target that takes it. */
export class Reading {
  readonly #plan: Plan
  readonly #reach: Reach
  readonly #context: JobContext

  constructor(plan: Plan, reach: Reach, context: JobContext) {
    this.#plan = plan
    this.#reach = reach
    this.#context = context
  }

  /** The query that goes on from there. */
  get query(): Query {
    const { query } = this.#plan
    return query.render({
      ...(this.#reach.isResumed && variablesOf(this.#reach.checkpoint)),
      ...this.#plan.part?.range,
    })
  }

  /** How it is read: `left` records at most. */
  optionsFor(writer: TargetWriter, left: number, signal: AbortSignal): ReadOptions {
    const { batchSize, batchBytes, part, cursor } = this.#plan
    return {
      signal,
      batchSize: Math.min(batchSize, left),
      batchBytes,
      lastId: this.#reach.isResumed ? this.#reach.checkpoint.lastId : undefined,
      cursor: this.#cursor(left),
      ...(part && !cursor && { range: part.range }),
      warn: (message) => warnOnce(this.#context, message),
      ...this.#encoded(writer),
    }
  }

  #encoded(writer: TargetWriter): Pick<ReadOptions, 'encoded'> {
    const { pkField, cursor, readsValues } = this.#plan
    if (readsValues || !writer.takesEncoded) return {}
    const keys = [...(pkField === undefined ? [] : [pkField]), ...(cursor?.columns ?? [])]
    return { encoded: { isTaken: writer.takesEncoded.bind(writer), keys } }
  }

  #cursor(limit: number): ReadOptions['cursor'] {
    const { cursor } = this.#plan
    if (!cursor) return undefined
    const position = cursorPosition(this.#reach.checkpoint)
    return {
      ...cursor,
      position,
      limit,
      leaveOut: (withoutCursor) => this.#reach.tell({ withoutCursor }),
      ...this.#part(),
    }
  }

  #part(): Pick<ReadCursor, 'range' | 'snapshot' | 'lostSnapshot'> {
    const { part } = this.#plan
    if (!part) return {}
    const { range, snapshot } = part
    return { range, ...(snapshot !== undefined && { snapshot }), lostSnapshot: () => this.#reach.tell({ split: true }) }
  }
}

/** What operators were told of an execution: all its tries have the same signal. */
const warnings = new WeakMap<AbortSignal, Set<string>>()

/** Once per execution is enough. */
function warnOnce({ type, id, executionId, signal, logger }: JobContext, message: string): void {
  const told = warnings.get(signal) ?? new Set()
  if (!told.has(message)) logger.warn({ type, id, executionId }, `Job [${type}/${id}]: ${message}`)
  warnings.set(signal, told.add(message))
}

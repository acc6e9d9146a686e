import {
  type Clock,
  JobError,
  type JobRecord,
  type OpenContext,
  type RecordBatch,
  systemClock,
  type Target,
  type TargetWriter,
  type WriteContext,
} from '../index.js'
import { hang, pause } from './_wait.js'

/** What goes wrong in a target. Batches are counted in each execution, from 1. */
export interface TargetFaults {
  /** Fails to write that batch. Default: none. */
  failAt?: number
  /** Refuses every batch that has such a record, and takes nothing of it. Default: none. */
  refuses?: (record: JobRecord) => boolean
  /** Whether every flush fails. Default `false`. */
  failFlush?: boolean
  /** Whether the commit fails. Default `false`. */
  failCommit?: boolean
  /** What is thrown then. Default: a `JobError` with the code `target`. */
  error?: unknown
  /** Whether only the first failure happens: after it, all faults are gone. Default `false`. */
  once?: boolean
  /** Never comes to an end with that batch, until it is aborted. Default: none. */
  hangAt?: number
  /** How long every write takes, in milliseconds of `clock`. Default 0. */
  delay?: number
  /** The clock of `delay`. Default: the machine's. */
  clock?: Clock
}

/** How a {@link CollectingTarget} works. */
export interface CollectingTargetOptions extends TargetFaults {
  /** As of `Target`. Default `append`. */
  strategy?: 'append' | 'replace'
}

/** A call to a target, and what it was told or gave. */
export type TargetCall<Item extends object = JobRecord> =
  | { name: 'open'; context: OpenContext }
  | { name: 'write'; batch: RecordBatch<Item>; context: WriteContext }
  | { name: 'flush'; position: number }
  | { name: 'commit' }
  | { name: 'abort'; reason: unknown }

/**
 * A target in memory, with faults to order. It is cut back to the checkpoint that a job goes on from, so that every record
 * is there once.
 */
export interface CollectingTarget<Item extends object = JobRecord> extends Target<Item> {
  /** What goes wrong from now on. */
  faults: TargetFaults
  /** The records that the world sees: with `append` as they are written, with `replace` those of the last commit. */
  readonly records: readonly Item[]
  /** Every batch that was taken, in order, also those that were taken back. */
  readonly batches: readonly RecordBatch<Item>[]
  /** Every call, in order, also those that were ordered to fail. */
  readonly calls: readonly TargetCall<Item>[]
}

/** Makes a target that keeps what it is given, for the tests of a job. */
export function collectingTarget<Item extends object = JobRecord>(
  options: CollectingTargetOptions = {},
): CollectingTarget<Item> {
  const { strategy = 'append', ...faults } = options
  const batches: RecordBatch<Item>[] = []
  const calls: TargetCall<Item>[] = []
  let written: Item[] = []
  let committed: Item[] = []
  const target: CollectingTarget<Item> = {
    kind: 'collecting',
    strategy,
    isAtomic: true,
    faults,
    batches,
    calls,
    get records() {
      return strategy === 'append' ? written : committed
    },
    open(context) {
      calls.push({ name: 'open', context })
      const start = startOf(context)
      const mustRestart = start > written.length
      written = mustRestart ? [] : written.slice(0, start)
      return { mustRestart, ...writer() }
    },
  }

  function startOf({ position, isResumed }: OpenContext): number {
    if (isResumed) return typeof position === 'number' ? position : written.length
    return strategy === 'append' ? written.length : 0
  }

  function writer(): TargetWriter<Item> {
    let batchNumber = 0
    return {
      async write(batch, context) {
        batchNumber++
        calls.push({ name: 'write', batch, context })
        await suffer(target, batchNumber, batch, context.signal)
        batches.push(batch)
        written.push(...batch.records())
      },
      async flush() {
        calls.push({ name: 'flush', position: written.length })
        if (target.faults.failFlush) fail(target)
        return written.length
      },
      async commit() {
        calls.push({ name: 'commit' })
        if (target.faults.failCommit) fail(target)
        committed = written
      },
      async abort(reason) {
        calls.push({ name: 'abort', reason })
      },
    }
  }

  return target
}

async function suffer<Item extends object>(
  target: { faults: TargetFaults },
  batchNumber: number,
  batch: RecordBatch<Item>,
  signal: AbortSignal,
): Promise<void> {
  const { delay = 0, clock = systemClock, hangAt, failAt, refuses } = target.faults
  if (delay > 0) await pause(clock, delay, signal)
  if (batchNumber === hangAt) await hang(signal)
  const isRefused = refuses !== undefined && batch.records().some((record) => refuses(record as JobRecord))
  if (batchNumber === failAt || isRefused) fail(target)
}

function fail(target: { faults: TargetFaults }): never {
  const { error = new JobError('target', 'The collecting target failed as ordered.'), once } = target.faults
  if (once) target.faults = {}
  throw error
}

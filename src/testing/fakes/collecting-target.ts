import {
  checkOptions,
  type OpenContext,
  type RecordBatch,
  type Rule,
  rule,
  systemClock,
  type TargetAbort,
  type TargetWriter,
  type WriteContext,
} from '../../adapter.js'
import { type Clock, JobError, type JobRecord, type Target } from '../../index.js'
import { faultRules, withCheckedFaults } from './fault-rules.js'
import { hang, pause } from './wait.js'

/** The faults of a target. Batches are counted from 1 in each execution. */
export interface TargetFaults {
  /** The number of a batch whose write fails. Default: none. */
  failAt?: number
  /** Rejects every batch with such a record, and stores nothing of it. Default: none. */
  refuses?: (record: JobRecord) => boolean
  /** Whether every flush fails. Default `false`. */
  failFlush?: boolean
  /** Whether the commit fails. Default `false`. */
  failCommit?: boolean
  /** The error of a failure. Default: a `JobError` with the code `target`. */
  error?: unknown
  /** Whether only the first failure happens. All faults are then removed. Default `false`. */
  once?: boolean
  /** The number of a batch whose write hangs until it is aborted. Default: none. */
  hangAt?: number
  /** How long every write takes, in milliseconds of `clock`. Default 0. */
  delay?: number
  /** The clock of `delay`. Default: the system clock. */
  clock?: Clock
}

/** The options of {@link collectingTarget}. */
export interface CollectingTargetOptions extends TargetFaults {
  /** The `strategy` of the target. Default `append`. */
  strategy?: 'append' | 'replace'
}

const targetFaultRules = {
  failAt: rule.optional(rule.whole(1)),
  refuses: rule.optional(rule.aFunction),
  failFlush: rule.optional(rule.flag),
  failCommit: rule.optional(rule.flag),
  hangAt: rule.optional(rule.whole(1)),
  ...faultRules,
} satisfies Record<keyof TargetFaults, Rule>

const optionRules = { strategy: rule.optional(rule.oneOf('append', 'replace')), ...targetFaultRules }

/** A call to a target, with its arguments or its result. */
export type TargetCall<Item extends object = JobRecord> =
  | { name: 'open'; context: OpenContext }
  | { name: 'write'; batch: RecordBatch<Item>; context: WriteContext }
  | { name: 'flush'; position: number }
  | { name: 'commit' }
  | ({ name: 'abort' } & TargetAbort)

/**
 * A target in memory that can fail on demand, with partitions too. When a job resumes, the target truncates to the checkpoint, so that it holds every
 * record once.
 */
export interface CollectingTarget<Item extends object = JobRecord> extends Target<Item> {
  /** The faults of later calls. Throws `invalid_options` when it is set to what is not valid. */
  faults: TargetFaults
  /** The visible records, those of partitions one after the other: with `append` all written ones, with `replace` those of the last commit. */
  readonly records: readonly Item[]
  /** Every written batch, in order, including those that were truncated later. */
  readonly batches: readonly RecordBatch<Item>[]
  /** Every call, in order, including failed ones. */
  readonly calls: readonly TargetCall<Item>[]
}

/** Creates a target in memory, for tests of a job. Throws `invalid_options` when an option is unknown or not valid. */
export function collectingTarget<Item extends object = JobRecord>(
  options: CollectingTargetOptions = {},
): CollectingTarget<Item> {
  checkOptions('options', options, optionRules)
  const { strategy = 'append', ...faults } = options
  const batches: RecordBatch<Item>[] = []
  const calls: TargetCall<Item>[] = []
  /** What is written, by partition. Without partitions, all of it has one key. */
  const stores = new Map<number, Item[]>()
  let committed: readonly Item[] = []
  const everything = () => [...stores].sort(([one], [other]) => one - other).flatMap(([, records]) => records)
  const target: CollectingTarget<Item> = {
    kind: 'collecting',
    strategy,
    capabilities: { writesAtomically: true, writesPartitions: true },
    faults,
    batches,
    calls,
    get records() {
      return strategy === 'append' ? everything() : committed
    },
    open(context) {
      calls.push({ name: 'open', context })
      const { partition = -1 } = context
      const written = stores.get(partition) ?? []
      const start = startOf(context, strategy, written.length)
      const mustRestart = start > written.length
      stores.set(partition, mustRestart ? [] : written.slice(0, start))
      return { writer: writer(partition), resume: mustRestart ? 'restart' : 'position' }
    },
  }

  function writer(partition: number): TargetWriter<Item> {
    const written = stores.get(partition) as Item[]
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
        committed = everything()
      },
      async abort(abort) {
        calls.push({ name: 'abort', ...abort })
      },
    }
  }
  return withCheckedFaults(target, targetFaultRules)
}

/** Where an execution goes on in what is written. */
function startOf({ position, isResumed }: OpenContext, strategy: Target['strategy'], written: number): number {
  if (isResumed) return typeof position === 'number' ? position : written
  return strategy === 'append' ? written : 0
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
  const { error = new JobError('target', 'The collecting target failed on demand.'), once } = target.faults
  if (once) target.faults = {}
  throw error
}

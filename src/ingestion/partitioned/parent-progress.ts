import type { ProgressUpdate } from '../../core/model/index.js'
import { addedUp, type IngestionDetail, type PartitionPlan, type RefreshEffect } from '../contract/index.js'
import { type IngestionPlan, withFieldCount } from '../definition/index.js'
import { addedTo, type ParentCheckpoint, variablesOf, withQuery, writtenBy } from '../run/index.js'
import { partitionList } from './partition-list.js'
import { PartitionProgress } from './partition-progress.js'

/** Where a parent starts from. */
interface Start {
  readonly plan: Pick<IngestionPlan, 'cursor' | 'isResumable' | 'query'>
  readonly before: ParentCheckpoint
  readonly scheme: PartitionPlan
  /** The counts of earlier tries, and of what earlier executions have not reported. */
  readonly counted: IngestionDetail
  readonly fullRefresh: RefreshEffect | undefined
}

interface ParentProgress {
  readonly detail: IngestionDetail
  /** What to report while partitions are unfinished. */
  readonly update: ProgressUpdate<ParentCheckpoint, IngestionDetail>
  /** The checkpoint once all partitions are done. */
  readonly finished: ParentCheckpoint
}

/** The combined progress of all partitions of a job. */
export function parentProgress(partitions: readonly PartitionProgress[], start: Start): ParentProgress {
  const { plan, scheme, counted } = start
  const { scheme: _, position: __, deadLetters: ___, ...before } = start.before
  const sum = PartitionProgress.sum(partitions)
  const split = before.sequence > 0 || scheme.isResumed || sum.detail.split === true
  const detail = {
    ...addedUp(sum.detail, counted),
    ...(scheme.snapshot !== undefined && { consistency: 'snapshot' as const }),
    split,
    ...(start.fullRefresh && { fullRefresh: start.fullRefresh }),
  }
  const { read, failed, skipped } = addedTo(before, sum.detail)
  // Partitions that resume from their own checkpoints have counted earlier records.
  const written = sum.written + (scheme.isContinued ? 0 : writtenBy(before))
  const { lastId, maxPrimaryKey, lastRecordTimestamp, lastRecord } = sum.last ?? {}
  const finished = {
    ...before,
    ...variablesOf({ lastId, maxPrimaryKey, lastRecordTimestamp, lastRecord } as ParentCheckpoint),
    ...(sum.last?.cursor !== undefined && { cursor: sum.last.cursor }),
    ...(!plan.cursor && plan.isResumable && { bounds: scheme.bounds }),
    ...{ sequence: before.sequence + (sum.last ? 1 : 0), read, written, failed, skipped },
  }
  const countedOfAll = partitions.map(({ counted }) => counted ?? null)
  const all = { ...start.before, read, failed, skipped, scheme: { ...scheme, counted: countedOfAll } }
  const checkpoint = withFieldCount(all)
  const reached = lastId ?? before.lastId
  const shown = { ...detail, partitions: partitionList(partitions) }
  const update = { count: detail.read, detail: shown, checkpoint, ...(reached !== undefined && { lastId: reached }) }
  return { detail, update, finished: withQuery(finished, plan) }
}

import type { ExecutionRecord } from '../../core/model/index.js'
import type { Partition } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'
import {
  type Checkpoint,
  checkResumable,
  cursorPosition,
  type Holder,
  storedPartitionCheckpoint,
} from '../run/index.js'

/**
 * Throws `checkpoint` when a partition could not resume from its checkpoint in storage. The parent checks all of them before any writes,
 * as what the sound ones write would stay.
 */
export function checkPartition(record: ExecutionRecord | undefined, plan: IngestionPlan, partition: Partition): void {
  const checkpoint = storedPartitionCheckpoint(record?.checkpoint)
  if (checkpoint) checkPosition('storage', checkpoint, plan, partition)
}

/** The same check for a checkpoint of this holder, whose fields are valid. */
export function checkPosition(holder: Holder, checkpoint: Checkpoint, plan: IngestionPlan, partition: Partition): void {
  if (checkpoint.scheme !== partition.scheme || !plan.isResumable) return
  checkResumable(holder, checkpoint, { ...plan, partition })
  if (plan.cursor && !checkpoint.isDone) cursorPosition(checkpoint)
}

import type { OpenContext } from '../../../adapter.js'
import { digestOf } from '../digest.js'

/** The largest number of partitions of a job. */
const maxPartitions = 256

/** What a row has at the end of its execution once that may not write any more. It sorts before every later execution. */
export const resetSuffix = '+reset'

type Writer = Pick<OpenContext, 'type' | 'id' | 'partition'>

/** Identifies the row of a writer for a table, which is known by these names. */
export function keyOf(writer: Writer, table: readonly string[]): Buffer {
  return digestOf(JSON.stringify([...writerOf(writer), ...table]))
}

/** Identifies the writer: a job, or a partition under the name that earlier versions gave it, so that its row is found. */
function writerOf({ type, id, partition }: Writer): string[] {
  return partition === undefined ? [type, id] : [`_${type}`, `${id}#${partition}`]
}

/** The keys of all partitions that a job may have. */
export function partitionKeysOf({ type, id }: Writer, table: readonly string[]): Buffer[] {
  return Array.from({ length: maxPartitions }, (_, partition) => keyOf({ type, id, partition }, table))
}

/** Whether an execution is later than another one. Ids of one job compare bytewise. */
export function isLater(execution: unknown, than: string): boolean {
  return Buffer.from(String(execution)).compare(Buffer.from(than)) > 0
}

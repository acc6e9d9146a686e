import type { OpenContext } from '../../../adapter.js'
import { digestOf } from '../../shared/index.js'
import { quoted } from '../client/index.js'
import { advisory, type TableRef } from '../table/index.js'

/** The largest number of partitions of a job. */
const maxPartitions = 256

/** What a row has at the end of its execution once that may not write any more. It sorts before every later execution. */
export const resetSuffix = '+reset'

type Writer = Pick<OpenContext, 'type' | 'id' | 'partition'>

/** Identifies the row of a writer for a table. */
export function keyOf(writer: Writer, table: TableRef): Buffer {
  return digestOf(JSON.stringify([...writerOf(writer), ...namesOf(table)]))
}

/** Identifies the writer: a job, or a partition under the name that earlier versions gave it, so that its row is found. */
function writerOf({ type, id, partition }: Writer): string[] {
  return partition === undefined ? [type, id] : [`_${type}`, `${id}#${partition}`]
}

/** Identifies a table: by its title, unless a name contains a dot. */
function namesOf({ title, schema, name }: TableRef): string[] {
  return title.split('.').length === 2 ? [title] : [schema, name]
}

/** The keys of all partitions that a job may have. */
export function partitionKeysOf({ type, id }: Writer, table: TableRef): Buffer[] {
  return Array.from({ length: maxPartitions }, (_, partition) => keyOf({ type, id, partition }, table))
}

/** The advisory lock of the transactions of a writer. */
export function lockOf(key: Buffer): string {
  return String(key.readBigInt64BE())
}

/** SQL for the execution of a row that may not write any more. */
export function disowned(execution: string): string {
  return `case when right(${execution}, ${resetSuffix.length}) = '${resetSuffix}' then ${execution} else ${execution} || '${resetSuffix}' end`
}

/** SQL for a checkpoint with the partitions that the stored one lists. */
export function withBegunOf(stored: string, checkpoint: string): string {
  const joined = `left(${checkpoint}::text, -1) || ',"begun":' || (${stored}->'begun')::text || '}'`
  return `case when ${stored}->'begun' is null then ${checkpoint}::json else (${joined})::json end`
}

/** The statements that create the checkpoint table, given as SQL. */
export function createCheckpoints(table: string): string {
  return `select pg_advisory_xact_lock(${advisory.checkpoint}); create table if not exists ${table} (
    key bytea primary key, type text not null, id text not null, target text not null,
    execution text collate ${quoted('C')} not null, checkpoint json, changed_at timestamptz not null default now()
  ) with (fillfactor = 50)`
}

/** Ids of one job compare bytewise. */
export function isLater(execution: unknown, than: string): boolean {
  return Buffer.from(String(execution)).compare(Buffer.from(than)) > 0
}

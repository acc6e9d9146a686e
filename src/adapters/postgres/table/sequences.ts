import { quoted, type WriteSession } from '../client/index.js'
import type { TableRef } from './table.js'

/**
 * The sequences of these columns. Only for columns that lead a unique index: elsewhere a repeated number is no error,
 * and the index returns the highest one at once. Sequences that the role may not read or set are left alone.
 */
const sequencesQuery = `
  select attname as name, seqrelid::text as sequence, seqincrement > 0 as is_rising
  from pg_attribute
    join pg_sequence on seqrelid = pg_get_serial_sequence($1, attname)::regclass
  where attrelid = $1::regclass
    and attname = any($2)
    and not attisdropped
    and exists (
      select
      from pg_index
      where indrelid = attrelid
        and indisunique
        and indpred is null
        and indkey[0] = attnum
    )
    and has_sequence_privilege(seqrelid, 'update')
    and has_sequence_privilege(seqrelid, 'select')
    and has_column_privilege(attrelid, attnum, 'select')`

/** Raises the sequences of written columns to their highest values, so that the next number is free. */
export async function raiseToRows(
  session: WriteSession,
  { sql }: TableRef,
  written: ReadonlySet<string>,
): Promise<void> {
  for (const { name, sequence, is_rising } of await session.query(sequencesQuery, [sql, [...written]])) {
    const [farthest, isBeyond] = is_rising ? ['max', '>'] : ['min', '<']
    await session.query(`
      select setval(seqrelid::regclass, farthest) from pg_sequence, (select ${farthest}(${quoted(String(name))})::int8 from ${sql}) as rows (farthest)
      where seqrelid = ${sequence}::oid and farthest between seqmin and seqmax
        and (pg_sequence_last_value(seqrelid::regclass) is null and farthest ${isBeyond}= seqstart
          or farthest ${isBeyond} pg_sequence_last_value(seqrelid::regclass))`)
  }
}

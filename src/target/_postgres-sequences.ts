import { quoted } from '../postgres/identifiers.js'
import type { Session } from './_postgres-session.js'
import type { Place } from './_postgres-table.js'

/**
 * Sequences that number these columns. Only where a unique index leads with the column: a number that comes twice is no error elsewhere,
 * and the index gives the highest one at once. A role that may not read or set them leaves them alone.
 */
const sequencesQuery = `
  select attname as name, seqrelid::text as sequence, seqincrement > 0 as is_rising
  from pg_attribute join pg_sequence on seqrelid = pg_get_serial_sequence($1, attname)::regclass
  where attrelid = $1::regclass and attname = any($2) and not attisdropped
    and exists (select from pg_index where indrelid = attrelid and indisunique and indpred is null and indkey[0] = attnum)
    and has_sequence_privilege(seqrelid, 'update') and has_sequence_privilege(seqrelid, 'select')
    and has_column_privilege(attrelid, attnum, 'select')`

/** Sets the sequences of columns that records had to the values that they have come to: the next number is free then. */
export async function raiseToRows(session: Session, { sql }: Place, written: ReadonlySet<string>): Promise<void> {
  for (const { name, sequence, is_rising } of await session.query(sequencesQuery, [sql, [...written]])) {
    const [farthest, isBeyond] = is_rising ? ['max', '>'] : ['min', '<']
    await session.query(`
      select setval(seqrelid::regclass, farthest) from pg_sequence, (select ${farthest}(${quoted(String(name))})::int8 from ${sql}) as rows (farthest)
      where seqrelid = ${sequence}::oid and farthest between seqmin and seqmax
        and (pg_sequence_last_value(seqrelid::regclass) is null and farthest ${isBeyond}= seqstart
          or farthest ${isBeyond} pg_sequence_last_value(seqrelid::regclass))`)
  }
}

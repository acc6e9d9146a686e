import { JobError, type Row } from '../../../adapter.js'
import { parseKept, resetSuffix } from '../../shared/index.js'
import { bytesLiteral, literal, type MysqlTableName } from '../client/index.js'
import { refOf, type TableRef } from '../table/index.js'
import type { WriteSession } from '../write/index.js'

/** Where the checkpoints of a table are: in its database, unless another one is named. */
export function checkpointsRef(session: WriteSession, wanted: MysqlTableName, table: TableRef): TableRef {
  return refOf(session, { database: table.database, ...wanted })
}

/** Creates the table of checkpoints when it is missing. Only then does the user need the right. The server commits before. */
export async function ensureCheckpoints(
  session: WriteSession,
  { database, name, sql, title }: TableRef,
): Promise<void> {
  const found = await session.query(
    `select engine from information_schema.tables where table_schema = ${literal(database)} and table_name = ${literal(name)}`,
  )
  const [[engine] = []] = found
  if (found.length === 0) await session.query(createCheckpoints(sql))
  else if (String(engine).toLowerCase() !== 'innodb')
    throw new JobError(
      'target',
      `Expected \`${title}\`, which holds the checkpoints of jobs, to be a table of InnoDB, found one of ${engine}.`,
    )
}

/** Texts compare bytewise. Ids are too long for a key, which is a digest. */
function createCheckpoints(table: string): string {
  return `create table if not exists ${table} (
    \`key\` binary(32) primary key, type longtext not null, id longtext not null, target varchar(200) not null,
    execution longblob not null, checkpoint longtext, changed_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6)
  ) engine = InnoDB row_format = dynamic character set utf8mb4 collate utf8mb4_bin`
}

/** A row of the table of checkpoints. */
export interface CheckpointRow {
  readonly execution: string
  /** The checkpoint, or undefined for none. Throws `checkpoint` for a damaged one, which a reset replaces. */
  readonly checkpoint: unknown
}

/** Reads the row with a key. With `locks`, no other transaction changes it until this one ends. */
export async function readRow(
  session: WriteSession,
  table: TableRef,
  key: Buffer,
  { locks }: { readonly locks: boolean },
): Promise<CheckpointRow | undefined> {
  const [row] = await session.query(
    `select convert(execution using utf8mb4), checkpoint from ${table.sql} where \`key\` = ${bytesLiteral(key)}${locks ? ' for update' : ''}`,
  )
  return row && rowOf(row)
}

function rowOf([execution, checkpoint]: Row): CheckpointRow {
  return {
    execution: String(execution),
    get checkpoint() {
      return checkpoint === null ? undefined : parseKept(checkpoint)
    },
  }
}

/** SQL for a list of keys. */
export function keyList(keys: readonly Buffer[]): string {
  return keys.map(bytesLiteral).join(', ')
}

/** SQL for a checkpoint. */
export function checkpointLiteral(checkpoint: unknown): string {
  return checkpoint === null || checkpoint === undefined ? 'null' : literal(JSON.stringify(checkpoint))
}

/** SQL for the execution of a row that may not write any more. */
export function disowned(execution: string): string {
  const suffix = literal(resetSuffix)
  return `if(right(${execution}, ${resetSuffix.length}) = ${suffix}, ${execution}, concat(${execution}, ${suffix}))`
}

import { JobError } from '../../adapter.js'
import { sqlOf, type WriteSession } from './client/index.js'
import { refuseHidden, Upsert } from './copy/index.js'
import { checkSwap } from './replace/index.js'
import { Locks, parseTableName, refuseTruncate, type Table } from './table/index.js'
import { defaultCheckpoints, defaultLockTimeout, type PostgresTargetOptions } from './target-options.js'

/**
 * Throws `invalid_options` for what a full refresh of the table could not do. Changes nothing. A table that does not exist, and will be
 * created, has no obstacles.
 */
export async function checkRefresh(
  session: WriteSession,
  options: PostgresTargetOptions,
  requireTable: () => Promise<Table | undefined>,
): Promise<void> {
  try {
    const table = await requireTable()
    if (table) await checkEffect(session, options, table)
  } catch (error) {
    if (!JobError.isInstance(error) || error.code !== 'target' || error.isTransient) throw error
    throw new JobError('invalid_options', `A full refresh is not possible. ${error.message}`, { cause: error.cause })
  }
}

/** What every run does with the table comes first: it would fail the full refresh too. */
async function checkEffect(session: WriteSession, options: PostgresTargetOptions, table: Table): Promise<void> {
  const { strategy, swap = 'rows', mode, key = [], onFullRefresh, lockTimeout = defaultLockTimeout } = options
  const locks = new Locks(parseTableName(options.table), lockTimeout)
  if (strategy === 'replace') return locks.transaction(session, () => checkSwap(session, table, swap))
  if (mode === 'upsert') await locks.transaction(session, () => new Upsert(table, { key: [key].flat() }).check(session))
  if (onFullRefresh !== 'truncate') return
  await refuseTruncate(session, table)
  const checkpoints = parseTableName(options.checkpoints ?? defaultCheckpoints)
  await refuseHidden(session, sqlOf({ schema: table.schema, ...checkpoints }), table)
}

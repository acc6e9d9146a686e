import { JobError } from '../../adapter.js'
import { checkUpsert } from './copy/index.js'
import { swapOf } from './replace/index.js'
import { foreignKeysOf, type Table } from './table/index.js'
import type { MysqlTargetOptions } from './target-options.js'
import type { WriteSession } from './write/index.js'

/** How many obstacles an error names. */
const maxNamed = 5

/**
 * Throws `invalid_options` for what a full refresh of the table could not do. Changes nothing. A table that does not exist, and will be
 * created, has no obstacles.
 */
export async function checkRefresh(
  session: WriteSession,
  options: MysqlTargetOptions,
  requireTable: () => Promise<Table | undefined>,
): Promise<void> {
  try {
    const table = await requireTable()
    if (!table) return
    if (options.strategy === 'replace') await swapOf(session, table, options.swap)
    if (options.mode === 'upsert') checkUpsert(table, [options.key ?? []].flat())
    if (options.onFullRefresh === 'truncate') await refuseReferred(session, table)
  } catch (error) {
    if (!JobError.isInstance(error) || error.code !== 'target' || error.isTransient) throw error
    throw new JobError('invalid_options', `A full refresh is not possible. ${error.message}`, { cause: error.cause })
  }
}

/** Throws `target` for a table that foreign keys of other tables refer to: its rows cannot be deleted, or rows of others with them. */
export async function refuseReferred(session: WriteSession, { database, name, title }: Table): Promise<void> {
  const keys = await foreignKeysOf(session, { database, name })
  const found = keys.filter(({ isReference, isOwn }) => isReference && !isOwn)
  if (found.length === 0) return
  const named = found.slice(0, maxNamed).map((key) => `${key.name} of ${key.database}.${key.table}`)
  const more = found.length > maxNamed ? [`${found.length - maxNamed} more`] : []
  throw new JobError(
    'target',
    `Foreign keys refer to \`${title}\`: ${[...named, ...more].join(', ')}. Its rows could not be deleted, or rows of other tables would be deleted ` +
      `with them: drop the foreign keys, or merge with \`mode: 'upsert'\`. Or remove the rows yourself, and call \`reset\` in place of the full refresh.`,
  )
}

import { setTimeout } from 'node:timers/promises'
import { JobError } from '../../../adapter.js'
import { literal, quoted, quotedList } from '../client/index.js'
import type { TargetTools } from '../copy/index.js'
import { foreignKeysOf, type Table } from '../table/index.js'
import { isLockFailure, type WriteSession } from '../write/index.js'
import type { StagingTable } from './staging-table.js'

/** How a table is replaced. */
export type SwapName = 'rename' | 'rows'

/** How often a swap tries to get the lock on the table. */
const maxTries = 10

/** What would be lost with the table, or would still refer to the old one, when another table takes its name. */
export async function renameObstacles(session: WriteSession, { database, name }: Table): Promise<string[]> {
  const [schema, own] = [literal(database), literal(name)]
  const keys = await foreignKeysOf(session, { database, name })
  const triggers = await session.query(
    `select trigger_name from information_schema.triggers where event_object_schema = ${schema} and event_object_table = ${own}`,
  )
  const [[kind] = []] = await session.query(
    `select table_type from information_schema.tables where table_schema = ${schema} and table_name = ${own}`,
  )
  const found = [
    ...keys.map((key) => `the foreign key ${key.name} of ${key.table}`),
    ...triggers.map(([trigger]) => `the trigger ${trigger}`),
    ...(kind === 'SYSTEM VERSIONED' ? ['its history of rows'] : []),
  ]
  const hidden = (await seesTriggers(session, { database, name }))
    ? []
    : ['triggers, which the user may not see: grant it `trigger`']
  return [...found.sort(), ...hidden]
}

/** Whether a grant of the user lets it see the triggers of the table. The server lists no others, and does not say so. */
async function seesTriggers(
  session: WriteSession,
  { database, name }: Pick<Table, 'database' | 'name'>,
): Promise<boolean> {
  const scopes = new Set(['*.*', `${quoted(database)}.*`, `${quoted(database)}.${quoted(name)}`])
  const grants = await session.query('show grants')
  return grants.some(([grant]) => {
    const [, privileges = '', scope = ''] = /^GRANT (.*) ON (?:TABLE )?(\*\.\*|`.*) TO /i.exec(String(grant)) ?? []
    // In the name of a database, a backslash stands before what else would be a wildcard.
    return /\b(?:ALL PRIVILEGES|TRIGGER)\b/i.test(privileges) && scopes.has(scope.replace(/\\([_%])/g, '$1'))
  })
}

/** Throws `target` when the table cannot be replaced in that way. Returns the way. Default: `rename`, unless something stands against it. */
export async function swapOf(session: WriteSession, table: Table, wanted: SwapName | undefined): Promise<SwapName> {
  if (wanted === 'rows') return 'rows'
  const obstacles = await renameObstacles(session, table)
  if (obstacles.length === 0) return 'rename'
  if (wanted === undefined) return 'rows'
  throw new JobError(
    'target',
    `The swap \`rename\` would lose what depends on \`${table.title}\`: ${obstacles.join(', ')}. Use the swap \`rows\`.`,
  )
}

/**
 * Gives the staging table the name of the table, and drops the old one. The server commits `rename table` at once. Before it, other jobs are
 * told that their rows are removed. After it, the checkpoint is removed: a run that finds one without a staging table starts from the beginning.
 */
export async function swapByRename(tools: TargetTools, staging: StagingTable, table: Table): Promise<void> {
  const { session, fence } = tools
  await fence.transaction(session, () => fence.markEmptied(session))
  await renameWhenFree(tools, `rename table ${table.sql} to ${staging.old}, ${staging.sql} to ${table.sql}`)
  await fence.transaction(session, () => fence.keep(session, null))
  await session.query(`drop table if exists ${staging.old}`)
}

/** All later statements on the table queue behind one that waits for its lock, so each attempt waits only briefly, and pauses as long. */
async function renameWhenFree({ session, limits, context }: TargetTools, rename: string): Promise<void> {
  const pause = Math.max(1, Math.ceil(limits.lockTimeout / 1000 / maxTries))
  await session.query(`set session lock_wait_timeout = ${pause}`)
  for (let tries = 1; ; tries++) {
    context.signal.throwIfAborted()
    try {
      await session.decide(rename, 0)
      return
    } catch (error) {
      if (tries === maxTries || !isLockFailure(error)) throw error
    }
    await setTimeout(pause * 1000, undefined, { signal: context.signal })
  }
}

/** Changes the rows of the table into those of the staging table, in one transaction with the checkpoint. Readers never wait. */
export async function swapByRows({ session, fence }: TargetTools, staging: StagingTable, table: Table): Promise<void> {
  await fence.begin(session, { table })
  try {
    await fence.markEmptied(session)
    for (const statement of rowStatements(table, staging.sql)) await session.query(statement)
    await fence.keep(session, null)
    await session.decide('commit')
  } catch (error) {
    await session.rollback()
    throw error
  }
  await session.query(`drop table if exists ${staging.sql}`)
}

/**
 * Deletes come first, because new rows may reuse their unique values. Rows that stay are not deleted, as rows of other tables may refer to
 * them. The server leaves rows that do not change as they are. Without a primary key, all rows are deleted and inserted.
 */
function rowStatements({ sql, columns, keys }: Table, staging: string): string[] {
  const names = [...columns.keys()]
  const list = quotedList(names)
  const key = keys.find(({ name, isPartial }) => name === 'PRIMARY' && !isPartial)?.columns
  if (!key) return [`delete from ${sql}`, `insert into ${sql} (${list}) select ${list} from ${staging}`]
  const same = key.map((name) => `headgate_t.${quoted(name)} = headgate_s.${quoted(name)}`).join(' and ')
  const first = quoted(key[0] as string)
  return [
    `delete headgate_t from ${sql} headgate_t left join ${staging} headgate_s on ${same} where headgate_s.${first} is null`,
    `update ${sql} headgate_t join ${staging} headgate_s on ${same}
      set ${names.map((name) => `headgate_t.${quoted(name)} = headgate_s.${quoted(name)}`).join(', ')}`,
    `insert into ${sql} (${list}) select ${names.map((name) => `headgate_s.${quoted(name)}`).join(', ')}
      from ${staging} headgate_s left join ${sql} headgate_t on ${same} where headgate_t.${first} is null`,
  ]
}

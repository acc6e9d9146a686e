import {
  type CheckpointReset,
  JobError,
  type OpenContext,
  type OpenTarget,
  type Target,
  type TargetCapabilities,
} from '../../adapter.js'
import { connectionSecrets, defaultMaxShrink, ResetExecutions } from '../shared/index.js'
import { openAppendWriter } from './append/index.js'
import {
  connectionsOf,
  failure,
  handleErrors,
  openPool,
  type PostgresClient,
  type PostgresPool,
  sqlOf,
  type TableName,
  WriteSession,
} from './client/index.js'
import { Fence, type TargetTools } from './copy/index.js'
import { checkRefresh } from './refresh-check.js'
import { openReplaceWriter } from './replace/index.js'
import { findTable, findTableRef, Locks, parseTableName, type Table } from './table/index.js'
import {
  checkTargetOptions,
  defaultCheckpoints,
  defaultLockTimeout,
  type PostgresTargetOptions,
} from './target-options.js'

export type { PostgresClient, PostgresPool, PostgresTargetOptions, TableName }

/**
 * Writes records to a Postgres table with COPY: appends them, merges them on a key, or replaces the table. Exactly
 * once: the checkpoint of the job commits in one transaction with the records, and only the last execution of a job
 * can commit.
 *
 * Throws `invalid_options` here. Opening and writing throw `target`, with the driver's error as `cause`, or
 * `lease_lost` when a later execution has taken over.
 */
export function postgresTarget(options: PostgresTargetOptions): Target {
  checkTargetOptions(options)
  const { pool, connectionString, connections = 1, strategy = 'append' } = options
  if (connectionString !== undefined) openPool('target', connectionString)
  return {
    kind: 'postgres',
    secrets: connectionSecrets(connectionString, pool),
    strategy,
    capabilities: {
      writesAtomically: true,
      writesIdempotently: options.mode === 'upsert',
      writesPartitions: true,
      writesDuringFlush: connectionCountOf(options, {}) > 1,
      ...refreshOf(options),
    },
    ...(options.columns && { sourceColumns: Object.keys(options.columns) }),
    // Its own pool is as large as one execution needs.
    needs: (context) => (pool ? connectionsOf(pool).need(connectionCountOf(options, context)) : []),
    async open(context) {
      if (pool) return open(pool, async () => {}, options, context)
      const own = openPool('target', connectionString as string, connections)
      return open(own, () => own.end(), options, context)
    },
    async resetCheckpoint(request) {
      if (pool) return resetCheckpoint(pool, async () => {}, options, request)
      const own = openPool('target', connectionString as string, 1)
      return resetCheckpoint(own, () => own.end(), options, request)
    },
    check: (signal) =>
      withSession(options, signal, 'open', async (session) => {
        await requireTable(session, options)
      }),
    checkFullRefresh: (signal) =>
      withSession(options, signal, 'check', (session) =>
        checkRefresh(session, options, () => requireTable(session, options)),
      ),
  }
}

async function open(
  pool: PostgresPool,
  end: () => Promise<void>,
  options: PostgresTargetOptions,
  context: OpenContext,
): Promise<OpenTarget> {
  handleErrors(pool)
  const wanted = parseTableName(options.table)
  const locks = new Locks(wanted, options.lockTimeout ?? defaultLockTimeout)
  const sessions: WriteSession[] = []
  try {
    for (let index = 0; index < connectionCountOf(options, context); index++)
      sessions.push(await WriteSession.open(pool, context.signal, options.silenceTimeout))
    const session = sessions[0] as WriteSession
    const table = await requireTable(session, options)
    const ref = table ?? (await findTableRef(session, wanted))
    const fence = new Fence(ref, parseTableName(options.checkpoints ?? defaultCheckpoints), context, locks)
    const tools = { pool, session, sessions, ref, fence, locks, context, shape: options, end }
    return await openWriter(tools, table, options)
  } catch (error) {
    const [first] = sessions
    const cause = first ? await locks.explain(error, first) : error
    await Promise.all(sessions.map((session) => session.release()))
    await end()
    throw failure('target', `Could not open the table ${sqlOf(wanted)}`, cause)
  }
}

/** The table to write to. `undefined` when it does not exist yet and will be created. */
async function requireTable(session: WriteSession, options: PostgresTargetOptions): Promise<Table | undefined> {
  const wanted = parseTableName(options.table)
  const table = await findTable(session, wanted)
  if (table || options.createTable) return table
  throw new JobError('target', `Expected a table ${sqlOf(wanted)} to write to, found none.`)
}

/** Runs `work` on a connection. What it throws says that the table could not be opened, or what else could not be done with it. */
async function withSession(
  options: PostgresTargetOptions,
  signal: AbortSignal,
  what: string,
  work: (session: WriteSession) => Promise<void>,
): Promise<void> {
  const own = options.pool ? undefined : openPool('target', options.connectionString as string, 1)
  const pool = (options.pool ?? own) as PostgresPool
  handleErrors(pool)
  try {
    const session = await WriteSession.open(pool, signal, options.silenceTimeout)
    await work(session).finally(() => session.release())
  } catch (error) {
    throw failure('target', `Could not ${what} the table ${sqlOf(parseTableName(options.table))}`, error)
  } finally {
    await own?.end()
  }
}

/** Sets the checkpoint of a job in the checkpoint table. */
async function resetCheckpoint(
  pool: PostgresPool,
  end: () => Promise<void>,
  options: PostgresTargetOptions,
  request: CheckpointReset,
): Promise<void> {
  handleErrors(pool)
  const { type, id, checkpoint, executionId = '', signal } = request
  const wanted = parseTableName(options.table)
  const locks = new Locks(wanted, options.lockTimeout ?? defaultLockTimeout)
  try {
    const session = await WriteSession.open(pool, signal, options.silenceTimeout)
    try {
      const ref = (await findTable(session, wanted)) ?? (await findTableRef(session, wanted))
      const context = { type, id, executionId }
      const fence = new Fence(ref, parseTableName(options.checkpoints ?? defaultCheckpoints), context, locks)
      await fence.reset(session, checkpoint, new ResetExecutions(request))
    } finally {
      await session.release()
    }
  } catch (error) {
    throw failure('target', `Could not reset the checkpoint of ${sqlOf(wanted)}`, error)
  } finally {
    await end()
  }
}

/** What a full refresh does to the table. Nothing where it is refused, or where the table is replaced anyway. */
function refreshOf({
  strategy,
  mode,
  onFullRefresh,
}: PostgresTargetOptions): Pick<TargetCapabilities, 'onFullRefresh'> {
  if (strategy === 'replace') return {}
  const effect = onFullRefresh ?? (mode === 'upsert' ? 'merge' : 'refuse')
  return effect === 'refuse' ? {} : { onFullRefresh: effect }
}

function openWriter(
  tools: TargetTools,
  table: Table | undefined,
  {
    strategy,
    swap = 'rows',
    maxShrink = defaultMaxShrink,
    mode,
    key = [],
    skipUnchanged = false,
  }: PostgresTargetOptions,
): Promise<OpenTarget> {
  if (strategy === 'replace') return openReplaceWriter(tools, table, { swap, maxShrink })
  return openAppendWriter(tools, table, mode === 'upsert' ? { key: [key].flat(), skipUnchanged } : undefined)
}

/** The number of connections. Dead letters and `replace` need one transaction after the other, on one connection. */
function connectionCountOf(
  { connections = 1, strategy }: PostgresTargetOptions,
  { toleratesFailures }: Pick<OpenContext, 'toleratesFailures'>,
): number {
  return strategy === 'replace' || toleratesFailures ? 1 : connections
}

import {
  type CheckpointReset,
  JobError,
  type OpenContext,
  type OpenTarget,
  type Target,
  type TargetCapabilities,
} from '../../adapter.js'
import { defaultMaxShrink, defaultSilenceTimeout, ResetExecutions } from '../shared/index.js'
import { openAppendWriter } from './append/index.js'
import {
  type CallbackPool,
  callbackPoolOf,
  failure,
  type MysqlTableName,
  needOf,
  openPool,
  parseTableName,
  sqlOf,
} from './client/index.js'
import { checkpointsRef, Fence, type TargetTools } from './copy/index.js'
import { checkRefresh } from './refresh-check.js'
import { openReplaceWriter } from './replace/index.js'
import { findTable, refOf, type Table } from './table/index.js'
import {
  checkTargetOptions,
  defaultCheckpoints,
  defaultLockTimeout,
  type MysqlTargetOptions,
} from './target-options.js'
import { type SessionLimits, WriteSession } from './write/index.js'

export type { MysqlTableName, MysqlTargetOptions }

/**
 * Writes records to a table of MySQL or MariaDB: appends them, merges them on a key, or replaces the table. Exactly once: the checkpoint of the job commits in
 * one transaction with the records, and only the last execution of a job can commit. The server refuses values that it cannot store as they
 * are.
 *
 * Throws `invalid_options` here. Opening and writing throw `target`, with the driver's error as `cause`, or `lease_lost` when a later
 * execution has taken over.
 */
export function mysqlTarget(options: MysqlTargetOptions): Target {
  checkTargetOptions(options)
  if (options.connectionString !== undefined) openPool('target', options.connectionString)
  return {
    kind: 'mysql',
    strategy: options.strategy ?? 'append',
    capabilities: {
      writesAtomically: true,
      writesIdempotently: options.mode === 'upsert',
      writesPartitions: true,
      ...refreshOf(options),
    },
    ...(options.columns && { sourceColumns: Object.keys(options.columns) }),
    // Its own pool is as large as one execution needs.
    needs: () => (options.pool ? needOf(callbackPoolOf(options.pool), 1) : []),
    async open(context) {
      const { pool, end } = poolOf(options)
      return open(pool, end, options, context)
    },
    resetCheckpoint: (request) => resetCheckpoint(options, request),
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

function poolOf({ pool, connectionString }: MysqlTargetOptions): { pool: CallbackPool; end: () => Promise<void> } {
  if (pool) return { pool: callbackPoolOf(pool), end: async () => {} }
  const own = openPool('target', connectionString as string)
  return { pool: own, end: () => own.end() }
}

function limitsOf({
  lockTimeout = defaultLockTimeout,
  silenceTimeout = defaultSilenceTimeout,
}: MysqlTargetOptions): SessionLimits {
  return { lockTimeout, silenceTimeout }
}

async function open(
  pool: CallbackPool,
  end: () => Promise<void>,
  options: MysqlTargetOptions,
  context: OpenContext,
): Promise<OpenTarget> {
  const limits = limitsOf(options)
  let session: WriteSession | undefined
  let fence: Fence | undefined
  try {
    session = await WriteSession.open(pool, context.signal, limits)
    const table = await requireTable(session, options)
    const ref = table ?? refOf(session, parseTableName(options.table))
    fence = fenceOf(session, ref, options, context)
    const shape = { columns: options.columns, key: [options.key ?? []].flat() }
    const tools = { pool, session, limits, ref, fence, context, shape, end }
    return await openWriter(tools, table, options)
  } catch (error) {
    await session?.release(fence?.last)
    await end()
    throw failure('target', `Could not open the table ${sqlOf(parseTableName(options.table))}`, error)
  }
}

function fenceOf(
  session: WriteSession,
  ref: TargetTools['ref'],
  { checkpoints = defaultCheckpoints }: MysqlTargetOptions,
  context: ConstructorParameters<typeof Fence>[3],
): Fence {
  return new Fence(session, ref, checkpointsRef(session, parseTableName(checkpoints), ref), context)
}

/** The table to write to. `undefined` when it does not exist yet and will be created. */
async function requireTable(session: WriteSession, options: MysqlTargetOptions): Promise<Table | undefined> {
  const wanted = parseTableName(options.table)
  const table = await findTable(session, wanted)
  if (table || options.createTable) return table
  throw new JobError('target', `Expected a table ${sqlOf(wanted)} to write to, found none.`)
}

/** Runs `work` on a connection. What it throws says that the table could not be opened, or what else could not be done with it. */
async function withSession(
  options: MysqlTargetOptions,
  signal: AbortSignal,
  what: string,
  work: (session: WriteSession) => Promise<void>,
): Promise<void> {
  const { pool, end } = poolOf(options)
  try {
    const session = await WriteSession.open(pool, signal, limitsOf(options))
    await work(session).finally(() => session.release())
  } catch (error) {
    throw failure('target', `Could not ${what} the table ${sqlOf(parseTableName(options.table))}`, error)
  } finally {
    await end()
  }
}

/** Sets the checkpoint of a job in the table of checkpoints. */
async function resetCheckpoint(options: MysqlTargetOptions, request: CheckpointReset): Promise<void> {
  const { type, id, checkpoint, executionId = '', signal } = request
  await withSession(options, signal, 'reset the checkpoint of', async (session) => {
    const wanted = parseTableName(options.table)
    const ref = (await findTable(session, wanted)) ?? refOf(session, wanted)
    const fence = fenceOf(session, ref, options, { type, id, executionId })
    await fence.reset(session, checkpoint, new ResetExecutions(request))
  })
}

/** What a full refresh does to the table. Nothing where it is refused, or where the table is replaced anyway. */
function refreshOf({ strategy, mode, onFullRefresh }: MysqlTargetOptions): Pick<TargetCapabilities, 'onFullRefresh'> {
  if (strategy === 'replace') return {}
  const effect = onFullRefresh ?? (mode === 'upsert' ? 'merge' : 'refuse')
  return effect === 'refuse' ? {} : { onFullRefresh: effect }
}

function openWriter(
  tools: TargetTools,
  table: Table | undefined,
  { strategy, swap, maxShrink = defaultMaxShrink, mode, key = [] }: MysqlTargetOptions,
): Promise<OpenTarget> {
  if (strategy === 'replace') return openReplaceWriter(tools, table, { swap, maxShrink })
  return openAppendWriter(tools, table, mode === 'upsert' ? [key].flat() : undefined)
}

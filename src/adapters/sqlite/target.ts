import { JobError, type OpenContext, type OpenTarget, type Target, type TargetCapabilities } from '../../adapter.js'
import { ResetExecutions } from '../shared/index.js'
import { defaultLockTimeout, SqliteFile } from './client/index.js'
import { findTable, refuseReferred, type Table } from './table/index.js'
import { checkTargetOptions, defaultCheckpoints, type SqliteTargetOptions } from './target-options.js'
import { Fence, openAppendWriter, RowWriter, tableFailure, WriteSession } from './write/index.js'

export type { SqliteTargetOptions }

/**
 * Writes records to a table of a SQLite file: appends them, or merges them on a key. Exactly once: the checkpoint of the job commits in one
 * transaction with the records, and only the last execution of a job can commit. Values that SQLite would change are refused.
 *
 * A transaction is open from the first record until the next checkpoint. Meanwhile, nobody else can write to the file, and anybody can read
 * it. Throws `invalid_options` here. Opening and writing throw `target`, with the driver's error as `cause`, or `lease_lost` when a later
 * execution has taken over.
 */
export function sqliteTarget(options: SqliteTargetOptions): Target {
  checkTargetOptions(options)
  const file = new SqliteFile('target', options)
  const { table: name, checkpoints = defaultCheckpoints, mode } = options
  return {
    kind: 'sqlite',
    capabilities: { writesAtomically: true, writesIdempotently: mode === 'upsert', ...refreshOf(options) },
    ...(options.columns && { sourceColumns: Object.keys(options.columns) }),
    open: (context) => open(file, options, context),
    async resetCheckpoint(request) {
      const { type, id, checkpoint, executionId = '', signal } = request
      await withSession(file, options, signal, 'reset the checkpoint of', async (session) => {
        const fence = new Fence(file.path, name, checkpoints, { type, id, executionId })
        await fence.reset(session, checkpoint, new ResetExecutions(request))
      })
    },
    check: (signal) =>
      withSession(file, options, signal, 'open', async (session) => {
        prepared(session, options)
      }),
    checkFullRefresh: (signal) =>
      withSession(file, options, signal, 'check', async (session) => checkRefresh(session, options)),
  }
}

function sessionOf(
  file: SqliteFile,
  { lockTimeout = defaultLockTimeout, createTable = false }: SqliteTargetOptions,
  signal: AbortSignal,
): Promise<WriteSession> {
  return WriteSession.open(file, { signal, lockTimeout, creates: createTable })
}

/** How long recording a loss may take, in milliseconds. */
const recordTimeout = 5000

async function open(file: SqliteFile, options: SqliteTargetOptions, context: OpenContext): Promise<OpenTarget> {
  const { table: name, columns, key, mode, skipUnchanged = false, checkpoints = defaultCheckpoints } = options
  let session: WriteSession | undefined
  try {
    session = await sessionOf(file, options, context.signal)
    const table = requireTable(session, options)
    return await openAppendWriter(
      {
        session,
        fence: new Fence(file.path, table?.name ?? name, checkpoints, context),
        context,
        name: table?.name ?? name,
        shape: { columns, key: [key ?? []].flat() },
        merges: mode === 'upsert',
        skipsUnchanged: skipUnchanged,
        reopen: () => sessionOf(file, options, AbortSignal.timeout(recordTimeout)),
      },
      table,
    )
  } catch (error) {
    session?.close()
    throw tableFailure('open', name, error)
  }
}

/** The table to write to. `undefined` when it does not exist yet and will be created. */
function requireTable({ connection }: WriteSession, { table, createTable }: SqliteTargetOptions): Table | undefined {
  const found = findTable(connection, table)
  if (found || createTable) return found
  throw new JobError('target', `Expected a table \`${table}\` to write to, found none.`)
}

/** The table, when records could be written to it. */
function prepared(session: WriteSession, options: SqliteTargetOptions): Table | undefined {
  const table = requireTable(session, options)
  const { mode, key = [], columns } = options
  if (table && mode === 'upsert')
    new RowWriter(session, table, { columns, key: [key].flat(), onRowDropped: () => undefined })
  return table
}

/** Throws `invalid_options` for what a full refresh of the table could not do. Changes nothing. */
function checkRefresh(session: WriteSession, options: SqliteTargetOptions): void {
  try {
    const table = prepared(session, options)
    if (table && options.onFullRefresh === 'truncate') refuseReferred(session.connection, table)
  } catch (error) {
    if (!JobError.isInstance(error) || error.code !== 'target' || error.isTransient) throw error
    throw new JobError('invalid_options', `A full refresh is not possible. ${error.message}`, { cause: error.cause })
  }
}

/** Runs `work` on a connection, unless the file does not exist yet and will be created. What it throws says that the table could not be opened, or what else could not be done with it. */
async function withSession(
  file: SqliteFile,
  options: SqliteTargetOptions,
  signal: AbortSignal,
  what: string,
  work: (session: WriteSession) => Promise<void>,
): Promise<void> {
  let session: WriteSession | undefined
  try {
    signal.throwIfAborted()
    if (options.createTable && !file.exists) return
    session = await sessionOf(file, options, signal)
    await work(session)
  } catch (error) {
    throw signal.aborted ? signal.reason : tableFailure(what, options.table, error)
  } finally {
    session?.close()
  }
}

/** What a full refresh does to the table. Nothing where it is refused. */
function refreshOf({ mode, onFullRefresh }: SqliteTargetOptions): Pick<TargetCapabilities, 'onFullRefresh'> {
  const effect = onFullRefresh ?? (mode === 'upsert' ? 'merge' : 'refuse')
  return effect === 'refuse' ? {} : { onFullRefresh: effect }
}

import type { OpenContext } from '../../../adapter.js'
import {
  emptiedMarkOf,
  isBegun,
  isLater,
  type KeptRows,
  keyOf,
  laterExecution,
  markOf,
  mayHaveRows,
  partitionKeysOf,
  type ResetExecutions,
  withPartition,
} from '../../shared/index.js'
import { bytesLiteral, literal } from '../client/index.js'
import { namesOf, shapeOf, type Table, type TableRef } from '../table/index.js'
import type { WriteSession } from '../write/index.js'
import {
  type CheckpointRow,
  checkpointLiteral,
  disowned,
  ensureCheckpoints,
  keyList,
  readRow,
} from './checkpoint-rows.js'
import { markEmptied, markFoundEmpty } from './emptied-jobs.js'
import { FenceErrors } from './fence-errors.js'
import { SessionLock } from './session-lock.js'

/** What a fence knows of the execution. */
type FenceContext = Pick<OpenContext, 'type' | 'id' | 'partition' | 'executionId' | 'scheme' | 'ifReset' | 'warn'>

/** What a transaction checks of its table. */
export interface TransactionChecks {
  /** The table, which must be as it was found. */
  readonly table?: Table | undefined
  /** Whether the table must have rows. */
  readonly expectsRows?: boolean
}

/**
 * Stores the checkpoint of a job beside the table, in a row that also names the execution that may write. A transaction commits records and
 * checkpoint together or not at all. It locks the row from its beginning, so no other execution takes over while it is open, and it does
 * not begin once one has.
 *
 * Statements such as `rename table` commit at once. An execution therefore holds a lock of its session too, which the server gives back
 * when the session has ended: a later execution ends that session, and waits for the lock, before it does anything.
 *
 * Later means a higher id, because the UUID in it is ordered by time. An epoch would start again with a new storage.
 */
export class Fence {
  readonly checkpoints: TableRef
  readonly #table: TableRef
  readonly #context: FenceContext
  readonly #names: readonly string[]
  readonly #key: Buffer
  readonly #lock: SessionLock
  readonly #errors: FenceErrors
  /** The row, as the open transaction has locked it. */
  #row: CheckpointRow | undefined
  /** What this partition has told its job: whether it has written rows. Undefined before its first checkpoint. */
  #toldRows: boolean | undefined
  /** The mark of an earlier removal of the rows, which the job has answered. Undefined while it need not have rows. */
  #knownMark: string | undefined
  /** Whether the job starts from the beginning with its next checkpoint. */
  #isRestarting = false

  constructor(session: WriteSession, table: TableRef, checkpoints: TableRef, context: FenceContext) {
    this.checkpoints = checkpoints
    this.#table = table
    this.#context = context
    this.#names = namesOf(session, table)
    this.#key = keyOf(context, this.#names)
    this.#lock = new SessionLock(this.#key)
    this.#errors = new FenceErrors(table, context)
  }

  /** Marks the tables of the job with eight letters and digits. */
  get mark(): string {
    return markOf(this.#key)
  }

  /** Whether a transaction has failed because the table lost all rows. */
  get hasLostRows(): boolean {
    return this.#errors.haveLostRows
  }

  /** The statements that let the lock of the session go. */
  get last(): readonly string[] {
    return [this.#lock.release]
  }

  /**
   * Lets no transaction commit from now on once another job has removed the rows that the job counts on. What the row of the job says of an
   * earlier removal is known. Partitions begin after their job has answered it.
   */
  countOnRows(kept: unknown): void {
    const { ifReset } = this.#context
    if (ifReset === undefined || ifReset === 'continue') return
    this.#knownMark = emptiedMarkOf(kept)
  }

  /** The job starts from the beginning: the next checkpoint removes those of its partitions, none of which can commit from then on. */
  restart(): void {
    this.#isRestarting = this.#context.partition === undefined
  }

  /** Takes over from earlier executions. Returns the checkpoint that they left, if any. */
  async takeOver(session: WriteSession): Promise<unknown> {
    const { type, id, executionId } = this.#context
    await ensureCheckpoints(session, this.checkpoints)
    const known = await readRow(session, this.checkpoints, this.#key, { locks: false })
    if (known && isLater(known.execution, executionId)) throw this.#laterError(known)
    await this.#lock.take(session)
    return session.transaction(async () => {
      const before = await readRow(session, this.checkpoints, this.#key, { locks: true })
      if (before && isLater(before.execution, executionId)) throw this.#laterError(before)
      await session.query(
        `insert into ${this.checkpoints.sql} (\`key\`, type, id, target, execution)
          values (${bytesLiteral(this.#key)}, ${literal(type)}, ${literal(id)}, ${literal(this.#table.title)}, ${literal(executionId)})
          on duplicate key update execution = ${literal(executionId)}, target = ${literal(this.#table.title)}`,
      )
      return before?.checkpoint
    })
  }

  #laterError({ execution }: CheckpointRow): Error {
    return laterExecution(this.#context, this.#table.title, execution)
  }

  /** Works on in another session. False when another execution may have taken over. */
  async retake(session: WriteSession): Promise<boolean> {
    if (!(await this.#lock.tryTake(session))) return false
    const row = await readRow(session, this.checkpoints, this.#key, { locks: false })
    return row?.execution === this.#context.executionId
  }

  /**
   * Begins a transaction. Throws when a later execution has taken over, another job has removed the rows, or the table was altered or has
   * lost all rows. The table cannot be altered until the transaction ends.
   */
  async begin(session: WriteSession, checks: TransactionChecks = {}): Promise<void> {
    await session.begin()
    try {
      await this.#check(session, checks)
    } catch (error) {
      await session.rollback()
      throw error
    }
  }

  /** Runs `work` in such a transaction. */
  async transaction<Answer>(session: WriteSession, work: () => Promise<Answer>): Promise<Answer> {
    return session.transaction(async () => {
      await this.#check(session, {})
      return work()
    })
  }

  async #check(session: WriteSession, { table, expectsRows = false }: TransactionChecks): Promise<void> {
    this.#row = await readRow(session, this.checkpoints, this.#key, { locks: true })
    if (this.#row?.execution !== this.#context.executionId) throw this.#errors.lost()
    if (await this.#isMarked(session)) throw this.#errors.emptied()
    if (!table) return
    // This also keeps others from altering the table until the transaction ends.
    const isEmpty = await this.#isEmpty(session, table)
    if ((await shapeOf(session, table)) !== table.shape) throw this.#errors.altered()
    if (expectsRows && isEmpty) throw this.#errors.emptied()
  }

  async #isEmpty(session: WriteSession, { sql }: Table): Promise<boolean> {
    const found = await session.query(`select 1 from ${sql} limit 1`).catch((error: unknown) => {
      throw Object(error).errno === missingTable ? this.#errors.altered(error) : error
    })
    return found.length === 0
  }

  /** Whether another job has removed the rows that the job counts on. */
  async #isMarked(session: WriteSession): Promise<boolean> {
    if (this.#knownMark === undefined) return false
    const isPartition = this.#context.partition !== undefined
    const row = isPartition ? await readRow(session, this.checkpoints, this.#jobKey, { locks: false }) : this.#row
    const mark = emptiedMarkOf(row?.checkpoint)
    return mark !== '' && mark !== this.#knownMark
  }

  /** Stores the checkpoint in the open transaction; `null` removes it. What partitions have told stays. */
  async keep(session: WriteSession, checkpoint: unknown): Promise<void> {
    const { partition } = this.#context
    if (this.#isRestarting) await this.#disownPartitions(session)
    const { begun } = Object(this.#row?.checkpoint) as KeptRows
    const tellsBegun = partition === undefined && !this.#isRestarting && begun !== undefined && checkpoint !== null
    this.#isRestarting = false
    const kept = tellsBegun ? { ...(checkpoint as object), begun } : checkpoint
    await session.query(
      `update ${this.checkpoints.sql} set checkpoint = ${checkpointLiteral(kept)}, changed_at = current_timestamp(6)
        where \`key\` = ${bytesLiteral(this.#key)}`,
    )
    await this.#tellJob(session, checkpoint)
  }

  /**
   * Changes the stored checkpoint of the job, also in one of its partitions, in a transaction of its own. `execution` is that of the job. Has
   * no effect once a later execution has taken over.
   */
  async amend(session: WriteSession, change: (checkpoint: object, execution: string) => object): Promise<void> {
    await session.transaction(async () => {
      const own = await readRow(session, this.checkpoints, this.#key, { locks: true })
      if (own?.execution === this.#context.executionId) await this.#amend(session, change)
    })
  }

  async #amend(session: WriteSession, change: (checkpoint: object, execution: string) => object): Promise<void> {
    const row = await readRow(session, this.checkpoints, this.#jobKey, { locks: true })
    if (!row) return
    const { checkpoint, execution } = row
    if (typeof checkpoint !== 'object' || checkpoint === null) return
    const changed = change(checkpoint, execution)
    if (changed === checkpoint) return
    await session.query(
      `update ${this.checkpoints.sql} set checkpoint = ${checkpointLiteral(changed)} where \`key\` = ${bytesLiteral(this.#jobKey)}`,
    )
  }

  /**
   * The first commit of a partition says so in the row of the job, which shows later whether the row of the partition was deleted. Its first
   * commit of rows makes the job count on them.
   */
  async #tellJob(session: WriteSession, kept: unknown): Promise<void> {
    const { partition, scheme } = this.#context
    if (partition === undefined || scheme === undefined || typeof kept !== 'object' || kept === null) return
    const hasRows = mayHaveRows(kept)
    if (this.#toldRows === hasRows) return
    this.#toldRows = hasRows
    await this.#amend(session, (job: KeptRows) => withPartition(job, { partition, scheme }, kept))
  }

  /** Whether the row of this partition was deleted or changed, which has stored a checkpoint according to the row of its job. */
  async isForgotten(session: WriteSession, kept: unknown): Promise<boolean> {
    const { partition, scheme } = this.#context
    if (partition === undefined || scheme === undefined || Object(kept).scheme === scheme) return false
    const job = await readRow(session, this.checkpoints, this.#jobKey, { locks: false })
    return isBegun(job?.checkpoint, { partition, scheme })
  }

  /** The key of the row of the job, also in one of its partitions. */
  get #jobKey(): Buffer {
    const { type, id } = this.#context
    return keyOf({ type, id }, this.#names)
  }

  get #partitionKeys(): Buffer[] {
    return partitionKeysOf(this.#context, this.#names)
  }

  /** In the open transaction, before it removes all rows of the table: lets the other jobs that append to it know. */
  markEmptied(session: WriteSession): Promise<void> {
    return markEmptied(session, this.checkpoints, this.#table, this.#context)
  }

  /**
   * Before the job writes to the table: marks the other jobs when it is empty, and the job itself when that knows of its loss. Such a job has
   * nothing to lose by what others mark until then.
   */
  async markFoundEmpty(session: WriteSession, table: Table, knowsOwn: boolean): Promise<void> {
    const own = knowsOwn && this.#context.partition === undefined ? this.#key : undefined
    const isEmpty = () => this.#isEmpty(session, table)
    await markFoundEmpty(session, this.checkpoints, this.#table, { ...this.#context, own, isEmpty })
    if (own) this.countOnRows((await readRow(session, this.checkpoints, own, { locks: false }))?.checkpoint)
  }

  /** Before a transaction in which the job removes all rows itself: no partition may hold a lock, and no row need be there any more. */
  async prepareEmptying(session: WriteSession): Promise<void> {
    this.#knownMark = undefined
    await this.#evictPartitions(session)
  }

  /** In that transaction: lets other jobs know. The job counts on what it writes from now on. */
  async empty(session: WriteSession): Promise<void> {
    await this.markEmptied(session)
    this.restart()
    this.countOnRows(this.#row?.checkpoint)
  }

  /** Removes the checkpoints of the partitions of the job. No execution of a partition that has begun can commit from then on. */
  async #disownPartitions(session: WriteSession): Promise<void> {
    await this.#evictPartitions(session)
    await session.query(
      `update ${this.checkpoints.sql} set checkpoint = null, execution = ${disowned('execution')}
        where \`key\` in (${keyList(this.#partitionKeys)})`,
    )
  }

  async #evictPartitions(session: WriteSession): Promise<void> {
    const keys = await session.query(
      `select hex(\`key\`) from ${this.checkpoints.sql} where \`key\` in (${keyList(this.#partitionKeys)})`,
    )
    for (const [hex] of keys) await new SessionLock(Buffer.from(String(hex), 'hex')).evict(session)
  }

  /**
   * Changes the checkpoint of the job, and removes those of its partitions. No execution that has begun can commit from then on. Throws
   * `lease_lost` when one has taken over since the reset began.
   */
  async reset(session: WriteSession, checkpoint: unknown, executions: ResetExecutions): Promise<void> {
    const { type, id } = this.#context
    await ensureCheckpoints(session, this.checkpoints)
    const find = async (locks: boolean) => {
      const row = await readRow(session, this.checkpoints, this.#key, { locks })
      if (await executions.refuse(row?.execution)) throw this.#errors.lost()
      return row?.execution
    }
    await find(false)
    await this.#lock.evict(session)
    await this.#evictPartitions(session)
    await session.transaction(async () => {
      const before = await find(true)
      const execution = literal(executions.after(before))
      const stored = checkpointLiteral(checkpoint)
      // A row that was not there may have come since.
      await session.query(
        `insert into ${this.checkpoints.sql} (\`key\`, type, id, target, execution, checkpoint)
          values (${bytesLiteral(this.#key)}, ${literal(type)}, ${literal(id)}, ${literal(this.#table.title)}, ${execution}, ${stored})
          on duplicate key update checkpoint = ${stored},
            execution = if(execution = ${literal(before ?? '')}, ${execution}, ${disowned('execution')})`,
      )
      await this.#disownPartitions(session)
      await this.#boundPartitions(session, executions)
    })
  }

  /** A partition that another clock has begun would keep all later executions from it. */
  async #boundPartitions(session: WriteSession, executions: ResetExecutions): Promise<void> {
    const rows = await session.query(
      `select hex(\`key\`), convert(execution using utf8mb4) from ${this.checkpoints.sql} where \`key\` in (${keyList(this.#partitionKeys)})`,
    )
    for (const [key, execution] of rows) {
      const after = executions.afterPartition(String(execution))
      if (after === execution) continue
      await session.query(
        `update ${this.checkpoints.sql} set execution = ${literal(after)} where \`key\` = x'${key}' and execution = ${literal(String(execution))}`,
      )
    }
  }

  /** The error for a table that was altered. */
  altered(cause: unknown): Error {
    return this.#errors.altered(cause)
  }
}

/** The number of the error for a table that is missing. */
const missingTable = 1146

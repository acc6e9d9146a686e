import type { OpenContext } from '../../../adapter.js'
import {
  digestOf,
  emptiedMarkOf,
  hasOtherScheme,
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
import { dollarQuoted, quoted, sqlOf, type TableName, type WriteSession } from '../client/index.js'
import type { Guard, Locks, TableRef } from '../table/index.js'
import type { EmptiedCheck } from './emptied-check.js'
import { isMarkedSince, markEmptied, markFoundEmpty } from './emptied-jobs.js'
import { orDenied } from './fence-denied.js'
import {
  altered,
  alteredError,
  alteredState,
  emptied,
  emptiedError,
  emptiedState,
  FenceErrors,
  lostState,
  raiseIf,
} from './fence-errors.js'
import {
  begunPattern,
  boundPartitions,
  decodedKeys,
  disowned,
  ensureCheckpoints,
  hexOf,
  keptIn,
  lockOf,
  namesOf,
  settings,
  terminateHolders,
  withBegunOf,
} from './fence-rows.js'

/** What a fence knows of the execution. */
type FenceContext = Pick<OpenContext, 'type' | 'id' | 'partition' | 'executionId' | 'scheme' | 'ifReset' | 'warn'>

/**
 * Stores the checkpoint of a job next to the table, in a row that also names the execution that may write. A
 * transaction commits records and checkpoint together or not at all. A transaction of an execution that a later one
 * has followed cannot commit.
 *
 * Later means a higher id, because the UUID in it is ordered by time. An epoch would start again with a new storage.
 */
export class Fence {
  readonly #table: TableRef
  /** The checkpoint table, as SQL. */
  readonly checkpoints: string
  /** The schema of the checkpoint table, as SQL. */
  readonly schema: string
  readonly #context: FenceContext
  readonly #locks: Locks
  /** The key of the row of the job. Ids are too long for an index. */
  readonly #key: Buffer
  /** A hash of the execution id, which is arbitrary text and cannot be part of SQL. */
  readonly #executionHash: string
  /** The advisory lock of the transactions of the job, which `pg_locks` shows. */
  readonly #lock: string
  readonly #errors: FenceErrors
  /** What this partition has told its job: whether it has written rows. Undefined before its first checkpoint. */
  #toldRows: boolean | undefined
  /** The SQL condition that the checkpoint of the job has a mark of another job that has removed its rows. Undefined while it need not have rows. */
  #isMarked: string | undefined
  /** Whether the job starts from the beginning with its next checkpoint. */
  #isRestarting = false

  constructor(table: TableRef, checkpoints: TableName, context: FenceContext, locks: Locks) {
    this.#table = table
    this.schema = quoted(checkpoints.schema ?? table.schema)
    this.checkpoints = sqlOf({ schema: table.schema, ...checkpoints })
    this.#context = context
    this.#errors = new FenceErrors(table, context)
    this.#locks = locks
    locks.watch(this.checkpoints)
    this.#key = keyOf(context, namesOf(table))
    this.#executionHash = digestOf(context.executionId).toString('hex')
    this.#lock = lockOf(this.#key)
  }

  /** Marks the tables of the job with eight letters and digits. */
  get mark(): string {
    return markOf(this.#key)
  }

  /** Whether a transaction has failed because the table lost all rows. */
  get hasLostRows(): boolean {
    return this.#errors.haveLostRows
  }

  /**
   * Lets no transaction commit from now on once another job has removed the rows that the job counts on. What the row of the job says of an
   * earlier removal is known. Partitions begin after their job has answered it.
   */
  countOnRows(kept: unknown): void {
    const { ifReset, partition } = this.#context
    if (ifReset === undefined || ifReset === 'continue') return
    this.#isMarked = isMarkedSince(partition === undefined ? emptiedMarkOf(kept) : '')
  }

  /** The job starts from the beginning: the next checkpoint removes those of its partitions, none of which can commit from then on. */
  restart(): void {
    this.#isRestarting = this.#context.partition === undefined
  }

  /** Takes over from earlier executions. Returns the checkpoint that they left, if any. */
  async takeOver(session: WriteSession): Promise<unknown> {
    const claim = () => this.#locks.transaction(session, () => this.#claim(session))
    const kept = await orDenied(session, this, claim)
    // Also evicts an execution that began its transaction just before the takeover.
    await this.#evict(session)
    return typeof kept === 'string' ? JSON.parse(kept) : undefined
  }

  async #claim(session: WriteSession): Promise<unknown> {
    await ensureCheckpoints(session, this.checkpoints)
    const { type, id, executionId } = this.#context
    if (await this.#isOutOfDate(session)) throw this.#errors.lost()
    const [known] = await session.query(`select execution from ${this.checkpoints} where key = $1`, [this.#key])
    if (known && isLater(known.execution, executionId))
      throw laterExecution(this.#context, this.#table.title, String(known.execution))
    await this.#evict(session)
    const [claimed] = await session.query(
      `insert into ${this.checkpoints} as kept (key, type, id, target, execution) values ($1, $2, $3, $4, $5)
        on conflict (key) do update set type = excluded.type, id = excluded.id, execution = excluded.execution, changed_at = now()
        where kept.execution <= excluded.execution
        returning checkpoint::text`,
      [this.#key, type, id, this.#table.title, executionId],
    )
    if (!claimed) throw this.#errors.lost()
    return claimed.checkpoint
  }

  /**
   * Begins a transaction together with the next statement. That statement fails when a later execution has taken over,
   * the table has changed, or has lost all rows. After it, the table cannot be altered until the transaction ends.
   */
  begin(session: WriteSession, guard?: Partial<Guard>, emptiedCheck?: EmptiedCheck): void {
    session.prefixNext(this.#beginning(session, guard, emptiedCheck))
  }

  /** Fails the next statement when the table has lost all rows. */
  requireRows(session: WriteSession, { isEmptied }: EmptiedCheck): void {
    if (isEmptied) session.prefixNext(`do ${dollarQuoted(`begin ${raiseIf(isEmptied, emptied, emptiedState)} end`)}`)
  }

  /** Runs `work` in such a transaction. It waits for locks for `lockTimeout` milliseconds, or for the default time. */
  async transaction<Answer>(session: WriteSession, work: () => Promise<Answer>, lockTimeout?: number): Promise<Answer> {
    try {
      return await session.transaction(this.#beginning(session, {}, undefined, lockTimeout), work)
    } catch (error) {
      throw this.#errors.explain(error)
    }
  }

  #beginning(
    session: WriteSession,
    { lock, shape }: Partial<Guard> = {},
    emptiedCheck?: EmptiedCheck,
    lockTimeout?: number,
  ): string {
    const body = `begin
      perform pg_advisory_xact_lock_shared(${this.#lock});
      ${raiseIf(this.#hasTakenOver, 'another execution has taken over', lostState)}
      ${lock ? `${lock};` : ''}
      ${this.#isMarked ? raiseIf(this.#jobIs(this.#isMarked), emptied, emptiedState) : ''}
      ${shape ? raiseIf(shape, altered, alteredState) : ''}
      ${emptiedCheck?.isEmptied ? raiseIf(emptiedCheck.isEmptied, emptied, emptiedState) : ''}
    end`
    return `${this.#locks.begin(session, lockTimeout)}; ${settings}; do ${dollarQuoted(body)}`
  }

  /** Throws when the table has changed. */
  async checkTable(session: WriteSession, { shape }: Guard): Promise<void> {
    const [found] = await session.queryUntimed(`select ${shape} as is_altered`)
    if (found?.is_altered !== true) return
    throw alteredError()
  }

  /**
   * Stores the checkpoint; `null` removes it. Throws when a later execution has taken over, another job has removed the rows, or the table has
   * lost all rows from before the transaction, so that nothing is committed. Returns the place of a row.
   */
  async keep(
    session: WriteSession,
    checkpoint: unknown,
    emptiedCheck?: EmptiedCheck,
    rows = { withoutOwn: false },
  ): Promise<unknown> {
    const { partition, executionId } = this.#context
    // Partitions that begin at the same time add themselves to the row of the job.
    const text = partition === undefined && !this.#isRestarting ? withBegunOf('checkpoint', '$3', '$4') : '$3'
    const pattern = text === '$3' ? [] : [begunPattern]
    // A transaction that cannot lock the table may have checked the mark before another one set it.
    const isMarked = partition === undefined ? this.#isMarked : this.#isMarked && this.#jobIs(this.#isMarked)
    if (this.#isRestarting) await this.#disownPartitions(session)
    this.#isRestarting = false
    const [kept] = await session.query(
      `update ${this.checkpoints} set checkpoint = ${text}, changed_at = now()
        where key = $1 and execution = $2 and not (${isMarked ?? 'false'})
        returning ${emptiedCheck?.placeOf(rows) ?? 'null'} as place`,
      [this.#key, executionId, checkpoint === null ? null : JSON.stringify(checkpoint), ...pattern],
    )
    if (!kept) throw (await this.#isHeld(session)) ? emptiedError() : this.#errors.lost()
    await this.#tellJob(session, checkpoint)
    if (emptiedCheck?.expectsRows && kept.place === null) throw emptiedError()
    return kept.place
  }

  async #isHeld(session: WriteSession): Promise<boolean> {
    const [found] = await session.query(`select ${this.#hasTakenOver} as has_taken_over`)
    return found?.has_taken_over === false
  }

  /**
   * Changes the stored checkpoint of the job, also in one of its partitions. `execution` is that of the job. Has no effect once a later
   * execution has taken over.
   */
  async amend(session: WriteSession, change: (checkpoint: object, execution: string) => object): Promise<void> {
    await this.#locks.transaction(session, () => this.#amend(session, change))
  }

  async #amend(session: WriteSession, change: (checkpoint: object, execution: string) => object): Promise<void> {
    const key = this.#jobKey
    const [kept] = await session.query(
      `select checkpoint::text, execution from ${this.checkpoints}
        where key = $1 and not (${this.#hasTakenOver}) for update`,
      [key],
    )
    if (typeof kept?.checkpoint !== 'string') return
    const before: object = JSON.parse(kept.checkpoint)
    const changed = change(before, String(kept.execution))
    if (changed === before) return
    await session.query(`update ${this.checkpoints} set checkpoint = $2 where key = $1`, [key, JSON.stringify(changed)])
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

  /** Whether the job has ended this partition, or has others by now: a storage that was restored may hold it as one that still runs. */
  async #isOutOfDate(session: WriteSession): Promise<boolean> {
    const { scheme } = this.#context
    return scheme !== undefined && hasOtherScheme(await keptIn(session, this.checkpoints, this.#jobKey), scheme)
  }

  /** Whether the row of this partition was deleted or changed, which has stored a checkpoint according to the row of its job. */
  async isForgotten(session: WriteSession, kept: unknown): Promise<boolean> {
    const { partition, scheme } = this.#context
    if (partition === undefined || scheme === undefined || Object(kept).scheme === scheme) return false
    const find = () => keptIn(session, this.checkpoints, this.#jobKey)
    return isBegun(await this.#locks.transaction(session, find), { partition, scheme })
  }

  /** The key of the row of the job, also in one of its partitions. */
  get #jobKey(): Buffer {
    const { type, id } = this.#context
    return keyOf({ type, id }, namesOf(this.#table))
  }

  /**
   * Ends the open transactions of earlier executions, whose process may be frozen or cut off. Otherwise their locks
   * would block this execution.
   */
  async #evict(session: WriteSession, condition = 'true', locks: readonly string[] = [this.#lock]): Promise<void> {
    await session.queryUntimed(terminateHolders(locks, condition))
  }

  /** Lets other jobs that append to the table know that the open transaction, which has locked it against writers, removes all rows. */
  markEmptied(session: WriteSession): Promise<void> {
    const { type, id, warn } = this.#context
    return markEmptied(session, this.checkpoints, this.#table, { type, id, ...(warn && { warn }) })
  }

  /** Before the job writes to the table: marks the other jobs when it is empty, and the job itself when that knows of its loss. */
  async markFoundEmpty(session: WriteSession, knowsOwn: boolean): Promise<void> {
    const own = knowsOwn && this.#context.partition === undefined ? this.#key : undefined
    const mark = () => markFoundEmpty(session, this.checkpoints, this.#table, { ...this.#context, own })
    const kept = await this.#locks.transaction(session, mark)
    if (kept !== undefined) this.countOnRows(kept)
  }

  /** Before a transaction in which the job removes all rows itself: no partition may hold a lock, and no row need be there any more. */
  async prepareEmptying(session: WriteSession): Promise<void> {
    this.#isMarked = undefined
    await this.#evictPartitions(session)
  }

  /** In that transaction, once it has locked the table: lets other jobs know. The job counts on what it writes from now on. */
  async empty(session: WriteSession): Promise<void> {
    await this.markEmptied(session)
    this.restart()
    const [own] = await session.query(`select checkpoint::text from ${this.checkpoints} where key = $1`, [this.#key])
    this.countOnRows(JSON.parse(String(own?.checkpoint ?? null)))
  }

  /** Removes the checkpoints of the partitions of the job. No execution of a partition that has begun can commit from then on. */
  async #disownPartitions(session: WriteSession): Promise<void> {
    await this.#evictPartitions(session)
    await session.query(
      `update ${this.checkpoints} set checkpoint = null, execution = ${disowned('execution')}, changed_at = now()
        where key = any(${decodedKeys('$1')})`,
      [hexOf(partitionKeysOf(this.#context, namesOf(this.#table)))],
    )
    await this.#evictPartitions(session)
  }

  #evictPartitions(session: WriteSession): Promise<void> {
    return this.#evict(session, 'true', partitionKeysOf(this.#context, namesOf(this.#table)).map(lockOf))
  }

  /**
   * Changes the checkpoint of the job, and removes those of its partitions. No execution that has begun can commit from then on. Throws
   * `lease_lost` when one has taken over since the reset began.
   */
  async reset(session: WriteSession, checkpoint: unknown, executions: ResetExecutions): Promise<void> {
    const { type, id } = this.#context
    const text = checkpoint === null ? null : JSON.stringify(checkpoint)
    const work = async () => {
      await ensureCheckpoints(session, this.checkpoints)
      // In the order in which a job that removes the rows locks them.
      const rows = await session.query(
        `select encode(key, 'hex') as key, execution from ${this.checkpoints} where key = any(${decodedKeys('$1')}) order by key for update`,
        [hexOf([this.#key, ...partitionKeysOf(this.#context, namesOf(this.#table))])],
      )
      const own = rows.find(({ key }) => key === this.#key.toString('hex'))
      const before = own && String(own.execution)
      if (await executions.refuse(before)) throw this.#errors.lost()
      const [reset] = await session.query(
        `insert into ${this.checkpoints} as kept (key, type, id, target, execution, checkpoint) values ($1, $2, $3, $4, $5, $6)
          on conflict (key) do update set execution = excluded.execution, checkpoint = excluded.checkpoint, changed_at = now()
          where kept.execution = $7
          returning execution`,
        [this.#key, type, id, this.#table.title, executions.after(before), text, before ?? null],
      )
      if (!reset) throw this.#errors.lost()
      await this.#disownPartitions(session)
      await boundPartitions(
        session,
        this.checkpoints,
        rows.filter((row) => row !== own),
        executions,
      )
    }
    await orDenied(session, this, () => this.#locks.transaction(session, work))
    await this.#evict(session)
  }

  /** Ends the open transactions of this execution, for a statement that ignores its cancellation. Those of a later execution go on. */
  async terminate(session: WriteSession): Promise<void> {
    await this.#evict(session, `not (${this.#hasTakenOver})`)
  }

  /** The SQL condition that the row of the job fulfils another one. */
  #jobIs(condition: string): string {
    return `exists (select from ${this.checkpoints} where key = decode('${this.#jobKey.toString('hex')}', 'hex') and ${condition})`
  }

  /** The SQL condition that a later execution has taken over. */
  get #hasTakenOver(): string {
    return `not exists (select from ${this.checkpoints} where key = decode('${this.#key.toString('hex')}', 'hex')
      and sha256(convert_to(execution, 'UTF8')) = decode('${this.#executionHash}', 'hex'))`
  }

  /** Translates the errors that `begin` and `keep` raise. Others stay as they are, unless the table was altered. */
  explain(error: unknown, session: WriteSession, guard: Guard | undefined): Promise<unknown> {
    return this.#errors.explainMissing(this.#errors.explain(error), session, guard)
  }
}
